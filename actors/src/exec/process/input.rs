//! Book-keeping of one job's streamed input: what was accepted, what was taken, and how much more may be under way.

use crate::model::limits::MAX_INPUT_BUFFER_BYTES;

/// Where a job's streamed input stands. All counts are bytes from the beginning of the input.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct InputLedger {
    accepted: u64,
    taken: u64,
    is_ended: bool,
    is_closed: bool,
}

/// What of an offer is accepted: `bytes[from..to]`, and whether the input ends there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) end: bool,
}

impl InputLedger {
    /// The count accepted so far, and whether more has a reader.
    pub(super) fn standing(&self) -> (u64, bool) {
        (self.accepted, !self.is_closed && !self.is_ended)
    }

    /// Judges an offer of `len` bytes at `offset`: duplicates are skipped, a gap or a full buffer refuses the rest.
    pub(super) fn offer(&mut self, offset: u64, len: usize, end: bool) -> Option<Accepted> {
        if self.is_ended || self.is_closed || offset > self.accepted {
            return None;
        }
        let from = usize::try_from(self.accepted - offset).ok()?.min(len);
        if offset + (from as u64) < self.accepted {
            return None; // Nothing but duplicates.
        }
        let under_way = usize::try_from(self.accepted - self.taken).unwrap_or(usize::MAX);
        let room = MAX_INPUT_BUFFER_BYTES.saturating_sub(under_way);
        let to = from + room.min(len - from);
        let end = end && to == len;
        if to == from && !end {
            return None;
        }
        self.accepted += (to - from) as u64;
        self.is_ended = end;
        Some(Accepted { from, to, end })
    }

    /// The job took bytes, or closed its end.
    pub(super) fn progress(&mut self, taken: u64, open: bool) {
        self.taken = taken.min(self.accepted);
        self.is_closed |= !open;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_skipped_and_gaps_refused() {
        let mut ledger = InputLedger::default();
        let whole = Accepted { from: 0, to: 10, end: false };
        assert_eq!(ledger.offer(0, 10, false), Some(whole));
        assert_eq!(ledger.offer(0, 10, false), None);
        assert_eq!(ledger.offer(11, 5, false), None);
        let rest = Accepted { from: 3, to: 8, end: true };
        assert_eq!(ledger.offer(7, 8, true), Some(rest));
        assert_eq!(ledger.standing(), (15, false));
        assert_eq!(ledger.offer(15, 1, false), None, "after the end nothing comes");
    }

    #[test]
    fn no_more_than_the_buffer_is_under_way() {
        let mut ledger = InputLedger::default();
        let much = MAX_INPUT_BUFFER_BYTES + 100;
        let got = ledger.offer(0, much, true).unwrap();
        assert_eq!((got.to, got.end), (MAX_INPUT_BUFFER_BYTES, false));
        assert_eq!(ledger.offer(got.to as u64, 100, true), None);
        ledger.progress(40, true);
        let got = ledger.offer(got.to as u64, 100, true).unwrap();
        assert_eq!((got.to, got.end), (40, false));
        ledger.progress(40, false);
        assert!(!ledger.standing().1);
    }

    #[test]
    fn an_end_may_come_alone() {
        let mut ledger = InputLedger::default();
        let end = Accepted { from: 0, to: 0, end: true };
        assert_eq!(ledger.offer(0, 0, true), Some(end));
    }
}
