//! One of a job's output streams: its pipe, read without ever waiting, and what is captured of it. It knows no job.

use std::os::fd::OwnedFd;

use rustix::event::PollFlags;
use rustix::io::Errno;

use crate::exec::capture::Capture;
use crate::exec::frame::Caps;
use crate::exec::spooling::SpoolFolder;
use crate::model::Stream;

/// Pieces read from a stream before everything else has its turn.
const READS_PER_TURN: usize = 8;
/// Output after which a stream gets a larger pipe, in bytes.
const LOUD_BYTES: u64 = 128 * 1024;
const LOUD_PIPE_BYTES: usize = 256 * 1024;

/// One stream's pipe and what was captured of it.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) pipe: Option<OwnedFd>,
    pub(crate) capture: Capture,
    is_loud: bool,
}

impl Intake {
    pub(crate) fn new(stream: Stream, pipe: OwnedFd, caps: Caps) -> Self {
        Self { pipe: Some(pipe), capture: Capture::new(stream, caps), is_loud: false }
    }

    /// Reads what is there, a bounded number of pieces of it.
    pub(crate) fn drain(&mut self, flags: PollFlags, scratch: &mut [u8], folder: &mut SpoolFolder) {
        if flags.is_empty() {
            return;
        }
        if !flags.contains(PollFlags::IN) {
            self.pipe = None; // Hung up, and nothing left in it.
            return;
        }
        for _ in 0..READS_PER_TURN {
            let Some(pipe) = &self.pipe else { return };
            match rustix::io::read(pipe, &mut *scratch) {
                Ok(0) => self.pipe = None,
                Ok(n) => {
                    self.capture.take(&scratch[..n], folder);
                    if n < scratch.len() && n < 4096 {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.pipe = None,
            }
        }
        self.widen();
    }

    fn widen(&mut self) {
        if let Some(pipe) = self.pipe.as_ref().filter(|_| !self.is_loud)
            && self.capture.total() >= LOUD_BYTES
        {
            self.is_loud = true;
            let _ = rustix::pipe::fcntl_setpipe_size(pipe, LOUD_PIPE_BYTES);
        }
    }
}
