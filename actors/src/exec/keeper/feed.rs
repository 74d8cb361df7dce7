//! Feeding a job's standard input from a bounded buffer, without ever waiting for the job. It knows no frames.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

/// Progress is told in steps of this many bytes, and whenever the buffer has run empty.
const TELL_EVERY_BYTES: u64 = 64 * 1024;

/// The writing end of a job's input.
#[derive(Debug)]
pub(crate) struct Feed {
    pipe: Option<OwnedFd>,
    buffer: Vec<u8>,
    written: usize,
    ended: bool,
    taken: u64,
    told: u64,
    told_closed: bool,
}

impl Feed {
    pub(crate) fn new(pipe: OwnedFd, buffer: Vec<u8>, ended: bool) -> Self {
        let mut feed =
            Self { pipe: Some(pipe), buffer, written: 0, ended, taken: 0, told: 0, told_closed: false };
        feed.pump();
        feed
    }

    /// The pipe, while it is open, and whether there is something to write. (An idle pipe is watched too: it tells
    /// when the reader closes.)
    pub(crate) fn pipe(&self) -> Option<(&OwnedFd, bool)> {
        self.pipe.as_ref().map(|pipe| (pipe, self.written < self.buffer.len()))
    }

    /// Whether no more bytes are to come.
    pub(crate) fn is_complete(&self) -> bool {
        self.ended || self.pipe.is_none()
    }

    /// Adds bytes to the buffer; bytes without a reader are dropped.
    pub(crate) fn add(&mut self, bytes: &[u8], end: bool) {
        if self.pipe.is_none() {
            return;
        }
        self.buffer.drain(..self.written);
        self.written = 0;
        self.buffer.extend_from_slice(bytes);
        self.ended |= end;
        self.pump();
    }

    /// Writes what the pipe takes.
    pub(crate) fn pump(&mut self) {
        while self.written < self.buffer.len() {
            let Some(pipe) = &self.pipe else { return };
            match rustix::io::write(pipe, &self.buffer[self.written..]) {
                Ok(n) => {
                    self.written += n;
                    self.taken += n as u64;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => return self.close(),
            }
        }
        self.buffer.clear();
        self.written = 0;
        if self.ended {
            self.pipe = None;
        }
    }

    /// The reader is gone: the rest is dropped.
    pub(crate) fn close(&mut self) {
        self.pipe = None;
        self.buffer = Vec::new();
        self.written = 0;
    }

    /// Bytes taken and whether more are welcome, when that is worth telling.
    pub(crate) fn news(&mut self) -> Option<(u64, bool)> {
        let open = self.pipe.is_some();
        let drained = self.buffer.is_empty() && self.taken > self.told;
        let far = self.taken - self.told >= TELL_EVERY_BYTES;
        let closed = !open && !self.ended && !self.told_closed;
        if !(closed || open && (drained || far)) {
            return None;
        }
        self.told = self.taken;
        self.told_closed = !open;
        Some((self.taken, open))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn pipe() -> (std::fs::File, OwnedFd) {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
        (std::fs::File::from(reader), writer)
    }

    #[test]
    fn everything_arrives_and_then_the_end() {
        let (mut reader, writer) = pipe();
        let mut feed = Feed::new(writer, Vec::new(), false);
        assert_eq!(feed.news(), None);
        feed.add(b"one ", false);
        assert_eq!(feed.news(), Some((4, true)));
        feed.add(b"two", true);
        assert_eq!(feed.news(), None, "nobody asks after the end");
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        assert_eq!(all, "one two");
    }

    #[test]
    fn a_reader_that_is_gone_is_told_once() {
        let (reader, writer) = pipe();
        drop(reader);
        let mut feed = Feed::new(writer, b"x".to_vec(), false);
        assert_eq!(feed.news(), Some((0, false)));
        assert_eq!(feed.news(), None);
        feed.add(b"y", false);
        assert!(feed.pipe().is_none());
    }
}
