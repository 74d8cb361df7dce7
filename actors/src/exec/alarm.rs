//! Points in time to wake up at, kept as a moment and a distance, so that only `clock` is ever asked for the time.

use std::time::Duration;

use crate::clock::{Moment, moment};

/// Rings once a duration has passed since a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alarm {
    since: Moment,
    after: Duration,
}

impl Alarm {
    pub(crate) fn after_ms(ms: u64) -> Self {
        Self::at(moment(), ms)
    }

    pub(crate) fn at(since: Moment, ms: u64) -> Self {
        Self { since, after: Duration::from_millis(ms) }
    }

    /// Time left, zero when it is due.
    pub(crate) fn left(&self) -> Duration {
        self.after.saturating_sub(self.since.elapsed())
    }

    pub(crate) fn is_due(&self) -> bool {
        self.left().is_zero()
    }

    /// The one that rings first.
    pub(crate) fn sooner(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.left() <= self.left() => other,
            _ => self,
        }
    }
}

/// Sleeps, less when a child dies. For processes and threads that nobody else waits on.
pub(crate) fn nap(ms: u64) {
    let time = rustix::event::Timespec::try_from(Duration::from_millis(ms)).ok();
    let _ = rustix::event::poll(&mut [], time.as_ref());
}
