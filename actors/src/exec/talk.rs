//! A conversation with a keeper of our own, job after job. It blocks, and belongs to no executor.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::Duration;

use super::frame::{FromKeeper, Inbox, Plan, Report, Setup, ToKeeper, encode};
use super::process::spawn::keeper_process;
use super::sealed::KeeperProgram;

/// One keeper, which ends with this.
#[derive(Debug)]
pub(super) struct Talk {
    /// None once it is over.
    line: Option<UnixStream>,
    child: Child,
    inbox: Inbox,
}

impl Talk {
    /// Starts a keeper, which may take `patience_ms` to answer anything.
    pub(super) fn open(keeper: &KeeperProgram, setup: Setup, patience_ms: u64) -> io::Result<Self> {
        let (line, child) = keeper_process(keeper)?;
        line.set_nonblocking(false)?;
        line.set_read_timeout(Some(Duration::from_millis(patience_ms)))?;
        let mut talk = Self { line: Some(line), child, inbox: Inbox::default() };
        talk.say(&ToKeeper::Setup(Box::new(setup)))?;
        Ok(talk)
    }

    /// Runs a job to its end.
    pub(super) fn run(&mut self, plan: Plan) -> io::Result<Report> {
        let report = self.converse(plan);
        if report.is_err() {
            // It may be stuck, and nobody else waits for it.
            let _ = self.child.kill();
        }
        report
    }

    fn converse(&mut self, plan: Plan) -> io::Result<Report> {
        self.say(&ToKeeper::Run(Box::new(plan)))?;
        let mut piece = [0; 4096];
        loop {
            match self.inbox.next().map_err(io::Error::other)? {
                Some(FromKeeper::Finished { slot_failed: Some(why), .. }) => {
                    return Err(io::Error::other(why));
                }
                Some(FromKeeper::Finished { report, .. }) => return Ok(*report),
                Some(FromKeeper::Failed { why }) => return Err(io::Error::other(why)),
                Some(_) => continue,
                None => {}
            }
            let line = self.line.as_mut().ok_or(ErrorKind::NotConnected)?;
            match read(line, &mut piece)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                got => self.inbox.push(&piece[..got]),
            }
        }
    }

    fn say(&mut self, frame: &ToKeeper) -> io::Result<()> {
        let bytes = encode(frame, Vec::new()).map_err(io::Error::other)?;
        self.line.as_mut().ok_or(ErrorKind::NotConnected)?.write_all(&bytes)
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // It ends with its lifeline.
        drop(self.line.take());
        let _ = self.child.wait();
    }
}

/// The kernel begins no read anew that has a time limit, whichever signal broke it off.
fn read(line: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match line.read(piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Interrupted(u32);

    impl Read for Interrupted {
        fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
            match self.0.checked_sub(1) {
                Some(left) => {
                    self.0 = left;
                    Err(ErrorKind::Interrupted.into())
                }
                None => {
                    piece[0] = 7;
                    Ok(1)
                }
            }
        }
    }

    #[test]
    fn a_signal_does_not_end_a_conversation() {
        let mut piece = [0; 2];
        assert_eq!(read(&mut Interrupted(2), &mut piece).unwrap(), 1);
        assert_eq!(piece, [7, 0]);
    }
}
