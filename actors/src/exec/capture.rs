//! Keeping a job's output: the head, the last bytes, the sizes. Small output stays in memory; more of it, or output
//! that a follower may want to see, is appended to the spool. It knows no pipes: bytes come in by `take`.
//!
//! A spool that cannot be written never hurts the job: what is lost shows in the sizes, as dropped bytes.

use std::io::Write;

use super::alarm::Alarm;
use super::frame::Caps;
use super::spooling::SpoolFolder;
use crate::model::{Captured, OutputSummary, Stream};

/// Head bytes that may wait in memory before they are written to the spool.
const FLUSH_BYTES: usize = 32 * 1024;
/// Age at which waiting head bytes are written to the spool, in milliseconds: followers see output this late.
const FLUSH_AGE_MS: u64 = 40;

/// One stream as it is captured.
#[derive(Debug)]
pub(crate) struct Capture {
    stream: Stream,
    caps: Caps,
    total: u64,
    /// The first bytes, up to `caps.inline`: enough to hand small output over without a file.
    start: Vec<u8>,
    /// Head bytes that are not in the spool yet.
    waiting: Vec<u8>,
    flush_at: Option<Alarm>,
    /// Head bytes in the spool.
    flushed: u64,
    /// The last bytes after the head; more than `caps.tail` of them between trims.
    tail: Vec<u8>,
    file: Option<std::fs::File>,
    spool_failed: bool,
}

impl Capture {
    pub(crate) fn new(stream: Stream, caps: Caps) -> Self {
        Self {
            stream,
            caps,
            total: 0,
            start: Vec::new(),
            waiting: Vec::new(),
            flush_at: None,
            flushed: 0,
            tail: Vec::new(),
            file: None,
            spool_failed: false,
        }
    }

    /// Bytes that came so far.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Whether the job wrote more than it may.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.total >= self.caps.hard
    }

    /// When the waiting bytes are due in the spool.
    pub(crate) fn flush_alarm(&self) -> Option<Alarm> {
        self.flush_at
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn take(&mut self, bytes: &[u8], folder: &mut SpoolFolder) {
        let head_left = self.head_left();
        self.total += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min(head_left));
        if !head.is_empty() {
            self.take_head(head, folder);
        }
        if !rest.is_empty() {
            self.take_tail(rest);
        }
    }

    /// Writes waiting bytes that have waited long enough.
    pub(crate) fn flush_if_due(&mut self, folder: &mut SpoolFolder) {
        if self.flush_at.is_some_and(|alarm| alarm.is_due()) {
            self.flush(folder);
        }
    }

    /// Ends the stream: hands the kept bytes over when they are few, and leaves them in the spool otherwise.
    pub(crate) fn finish(mut self, folder: &mut SpoolFolder) -> Captured {
        self.trim_tail(0);
        let head = self.flushed + self.waiting.len() as u64;
        let small = head == self.start.len() as u64 && head + self.tail.len() as u64 <= self.caps.inline;
        if small {
            let tail = std::mem::take(&mut self.tail);
            self.start.extend_from_slice(&tail);
            return self.captured(head, tail.len() as u64, true);
        }
        self.flush(folder);
        if self.flushed < self.start.len() as u64 {
            // The spool lost even the beginning; what memory holds of it is better than nothing.
            let head = self.start.len() as u64;
            return self.captured(head, 0, true);
        }
        let tail =
            if self.tail.is_empty() { 0 } else { folder.write_tail(self.stream, &self.tail).unwrap_or(0) };
        let head = self.flushed;
        self.captured(head, tail, false)
    }

    fn captured(&mut self, head_bytes: u64, tail_bytes: u64, inline: bool) -> Captured {
        Captured {
            summary: OutputSummary { total_bytes: self.total, head_bytes, tail_bytes },
            inline: inline.then(|| std::mem::take(&mut self.start)),
        }
    }

    fn head_left(&self) -> usize {
        let taken = self.flushed + self.waiting.len() as u64;
        let gap_before = self.total > taken;
        if self.spool_failed || gap_before {
            0
        } else {
            usize::try_from(self.caps.head.saturating_sub(taken)).unwrap_or(usize::MAX)
        }
    }

    fn take_head(&mut self, bytes: &[u8], folder: &mut SpoolFolder) {
        let room = (self.caps.inline as usize).saturating_sub(self.start.len());
        self.start.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.waiting.extend_from_slice(bytes);
        if self.caps.head <= self.caps.inline {
            // It goes with the report whatever comes, so it needs no disk, and nobody follows it.
        } else if self.waiting.len() > FLUSH_BYTES {
            self.flush(folder);
        } else if self.flush_at.is_none() {
            self.flush_at = Some(Alarm::after_ms(FLUSH_AGE_MS));
        }
    }

    fn take_tail(&mut self, bytes: &[u8]) {
        let cap = self.caps.tail as usize;
        let last = &bytes[bytes.len().saturating_sub(cap)..];
        self.tail.extend_from_slice(last);
        self.trim_tail(cap);
    }

    /// Drops all but the last `caps.tail` bytes, once more than `slack` too many have gathered.
    fn trim_tail(&mut self, slack: usize) {
        let cap = self.caps.tail as usize;
        let extra = self.tail.len().saturating_sub(cap);
        if extra > slack {
            self.tail.drain(..extra);
        }
    }

    fn flush(&mut self, folder: &mut SpoolFolder) {
        self.flush_at = None;
        if self.waiting.is_empty() || self.spool_failed {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        match self.append(&waiting, folder) {
            Ok(()) => {
                self.waiting = waiting;
                self.waiting.clear();
            }
            Err(written) => {
                self.flushed += written;
                self.spool_failed = true;
                self.file = None;
                self.take_tail(&waiting[written as usize..]);
            }
        }
    }

    /// Appends to the stream's file; on failure, says how many bytes got there all the same.
    fn append(&mut self, bytes: &[u8], folder: &mut SpoolFolder) -> Result<(), u64> {
        if self.file.is_none() {
            self.file = Some(folder.create(self.stream.as_str()).map_err(|_| 0_u64)?);
        }
        let Some(file) = self.file.as_mut() else {
            return Err(0);
        };
        let mut written = 0;
        while written < bytes.len() {
            match file.write(&bytes[written..]) {
                Ok(0) => return Err(written as u64),
                Ok(n) => written += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return Err(written as u64),
            }
        }
        self.flushed += written as u64;
        Ok(())
    }
}

#[cfg(test)]
#[path = "capture/tests.rs"]
mod tests;
