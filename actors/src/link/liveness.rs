//! What the silence of a node means. The rule only: who listens, and with which clock, is the Scheduler's business.

/// After how much silence a node is thought of in which way, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivenessTimers {
    /// Between two reports of a node that has no news.
    pub heartbeat_ms: u64,
    /// No new work after this.
    pub suspect_ms: u64,
    /// Its jobs are unknown after this.
    pub unreachable_ms: u64,
    /// Its jobs are given up after this.
    pub lost_ms: u64,
}

impl Default for LivenessTimers {
    fn default() -> Self {
        Self { heartbeat_ms: 5_000, suspect_ms: 15_000, unreachable_ms: 30_000, lost_ms: 600_000 }
    }
}

/// How a node is thought of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeHealth {
    /// Heard lately.
    Ready,
    /// Silent for a while.
    Suspect,
    /// Silent for long.
    Unreachable,
    /// Given up.
    Lost,
}

impl NodeHealth {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Suspect => "suspect",
            Self::Unreachable => "unreachable",
            Self::Lost => "lost",
        }
    }
}

impl LivenessTimers {
    /// Whether the timers are in an order that can work.
    ///
    /// # Errors
    /// The inequality that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.heartbeat_ms * 2 > self.suspect_ms {
            Err("suspect must be at least twice the heartbeat")
        } else if self.suspect_ms > self.unreachable_ms || self.unreachable_ms > self.lost_ms {
            Err("suspect, unreachable and lost must follow one another")
        } else {
            Ok(())
        }
    }

    /// What `silent_ms` of silence mean, when the listener itself was late by `lag_ms`: its own delay is no silence of
    /// the node.
    pub fn judge(&self, silent_ms: u64, lag_ms: u64) -> NodeHealth {
        match silent_ms.saturating_sub(lag_ms) {
            silent if silent < self.suspect_ms => NodeHealth::Ready,
            silent if silent < self.unreachable_ms => NodeHealth::Suspect,
            silent if silent < self.lost_ms => NodeHealth::Unreachable,
            _ => NodeHealth::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_judged_less_the_listeners_own_delay() {
        let timers = LivenessTimers::default();
        timers.check().expect("the defaults are in order");
        assert_eq!(timers.judge(14_999, 0), NodeHealth::Ready);
        assert_eq!(timers.judge(15_000, 0), NodeHealth::Suspect);
        assert_eq!(timers.judge(30_000, 0), NodeHealth::Unreachable);
        assert_eq!(timers.judge(600_000, 0), NodeHealth::Lost);
        assert_eq!(timers.judge(600_000, 599_000), NodeHealth::Ready);
    }

    #[test]
    fn timers_out_of_order_are_refused() {
        let timers = LivenessTimers { suspect_ms: 6_000, ..LivenessTimers::default() };
        assert!(timers.check().is_err());
    }
}
