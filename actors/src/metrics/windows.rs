//! What happened in the last minutes: counts by ten seconds and spreads by minute, in rings that are as long as the
//! longest window. Time is an argument.

use crate::model::spread::{Histogram, Spread};
use crate::model::{EndReason, StoreTotals};
use crate::protocol::metrics::{WINDOW_MINUTES, WindowCounts};

/// Length of one slot of counts, in milliseconds.
const SLOT_MS: i64 = 10_000;
const MINUTE_MS: i64 = 60_000;
/// The longest window, in minutes; one more is under way.
const LONGEST: usize = WINDOW_MINUTES[WINDOW_MINUTES.len() - 1] as usize;
const SLOTS: usize = LONGEST * (MINUTE_MS / SLOT_MS) as usize + 1;
const MINUTES: usize = LONGEST + 1;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Which ten seconds since 1970.
    number: i64,
    accepted: u64,
    ended: [u64; 3],
}

#[derive(Clone, Debug, Default)]
struct Minute {
    number: i64,
    wait_us: Histogram,
    run_us: Histogram,
}

/// The last minutes.
#[derive(Debug)]
pub(super) struct Windows {
    began_ms: i64,
    slots: Vec<Slot>,
    minutes: Vec<Minute>,
}

impl Windows {
    pub(super) fn new(now_ms: i64) -> Self {
        Self {
            began_ms: now_ms,
            slots: vec![Slot::default(); SLOTS],
            minutes: vec![Minute::default(); MINUTES],
        }
    }

    pub(super) fn accepted(&mut self, now_ms: i64) {
        self.slot(now_ms).accepted += 1;
    }

    pub(super) fn waited(&mut self, now_ms: i64, waited_ms: u64) {
        self.minute(now_ms).wait_us.observe(waited_ms.saturating_mul(1000));
    }

    /// A job ended; `wall_us` when it had run.
    pub(super) fn ended(&mut self, now_ms: i64, reason: EndReason, wall_us: Option<u64>) {
        if let Some(at) = StoreTotals::place_of(reason.status()) {
            self.slot(now_ms).ended[at] += 1;
        }
        if let Some(wall_us) = wall_us {
            self.minute(now_ms).run_us.observe(wall_us);
        }
    }

    fn slot(&mut self, now_ms: i64) -> &mut Slot {
        let number = now_ms.div_euclid(SLOT_MS);
        let slot = &mut self.slots[number.rem_euclid(SLOTS as i64) as usize];
        if slot.number != number {
            *slot = Slot { number, ..Slot::default() };
        }
        slot
    }

    fn minute(&mut self, now_ms: i64) -> &mut Minute {
        let number = now_ms.div_euclid(MINUTE_MS);
        let minute = &mut self.minutes[number.rem_euclid(MINUTES as i64) as usize];
        if minute.number != number {
            minute.number = number;
            minute.wait_us.clear();
            minute.run_us.clear();
        }
        minute
    }

    /// The counts of each window, the shortest first, and over how many milliseconds they were counted: the slot in
    /// which a window begins counts as a whole, and nothing was counted before the start.
    pub(super) fn counts(&self, now_ms: i64) -> [WindowCounts; WINDOW_MINUTES.len()] {
        WINDOW_MINUTES.map(|minutes| {
            let first = (now_ms - i64::from(minutes) * MINUTE_MS).div_euclid(SLOT_MS);
            let last = now_ms.div_euclid(SLOT_MS);
            // Of one slot more than there are, the oldest is the one under way.
            let first = first.max(last - SLOTS as i64 + 1);
            let since_ms = (first * SLOT_MS).max(self.began_ms);
            let span_ms = now_ms.saturating_sub(since_ms).max(1).unsigned_abs();
            let mut counts = WindowCounts { minutes, span_ms, accepted: 0, ended: [0; 3] };
            for slot in self.slots.iter().filter(|slot| (first..=last).contains(&slot.number)) {
                counts.accepted += slot.accepted;
                counts.ended.iter_mut().zip(slot.ended).for_each(|(sum, more)| *sum += more);
            }
            counts
        })
    }

    /// How waits and run times were spread over the longest window, in microseconds.
    pub(super) fn spreads(&self, now_ms: i64) -> (Spread, Spread) {
        let last = now_ms.div_euclid(MINUTE_MS);
        let (mut wait, mut run) = (Histogram::default(), Histogram::default());
        let first = last - LONGEST as i64;
        for minute in self.minutes.iter().filter(|minute| (first..=last).contains(&minute.number)) {
            wait.add(&minute.wait_us);
            run.add(&minute.run_us);
        }
        (wait.spread(), run.spread())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_800_000_000_000;

    #[test]
    fn each_window_has_what_happened_in_it_and_forgets_what_is_older() {
        let mut windows = Windows::new(START);
        // One a second for twenty minutes.
        for second in 0..1200_i64 {
            windows.accepted(START + second * 1000);
            windows.ended(START + second * 1000, EndReason::Exited, Some(7));
        }
        let now = START + 1_199_999;
        for counts in windows.counts(now) {
            let per_second = counts.accepted as f64 * 1000.0 / counts.span_ms as f64;
            assert!((0.9..=1.1).contains(&per_second), "{counts:?}");
            assert!(counts.span_ms <= u64::from(counts.minutes) * 60_000 + 10_000, "{counts:?}");
            assert_eq!(counts.ended, [counts.accepted, 0, 0]);
        }
        let (_, run) = windows.spreads(now);
        assert!((900..=960).contains(&run.count) && run.max == 7, "{run:?}");
        let later = now + 3_600_000;
        assert!(windows.counts(later).iter().all(|counts| counts.accepted == 0));
        assert_eq!(windows.spreads(later).1, Spread::default());
    }

    #[test]
    fn nothing_is_counted_over_the_time_before_the_start() {
        let mut windows = Windows::new(START + 5_000);
        windows.waited(START + 6_000, 3);
        windows.ended(START + 7_000, EndReason::User, None);
        for counts in windows.counts(START + 9_000) {
            assert_eq!((counts.span_ms, counts.ended), (4_000, [0, 0, 1]));
        }
        let (wait, run) = windows.spreads(START + 9_000);
        assert_eq!((wait.count, wait.max, run.count), (1, 3_000, 0));
        // A clock that goes back does no harm.
        windows.accepted(START - 100_000_000);
        assert_eq!(windows.counts(START)[0].span_ms, 1);
    }
}
