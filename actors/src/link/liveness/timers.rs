//! The times after which silence means something, and the inequalities without which they would contradict each other.
//! It refuses to know what a configuration looks like.

use super::NodeHealth;

/// After how much silence what is thought and done, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivenessTimers {
    /// H: between two reports of a node that has no news.
    pub heartbeat_ms: u64,
    /// L: no new work after this.
    pub suspect_ms: u64,
    /// U: its jobs are unknown after this.
    pub unreachable_ms: u64,
    /// D of `on_disconnect: keep`, the default: its jobs are given up after this.
    pub lost_ms: u64,
    /// K: a node that had no answer for so long ends the jobs that must not outlive its connection
    /// (`on_disconnect: kill`), counted from when it sent the last report that was answered.
    pub fence_ms: u64,
    /// The time between TERM and KILL that such an end takes at most.
    pub fence_grace_ms: u64,
    /// D of `on_disconnect: kill`: such jobs are given to others after this.
    pub fenced_lost_ms: u64,
    /// What a busy machine may be late with a timer.
    pub slack_ms: u64,
    /// F: so long after its start a coordinator gives up no node, for it may not have been heard yet.
    pub recovery_ms: u64,
    /// A kill that is not acknowledged for so long makes its node unfit for more work.
    pub kill_unacked_ms: u64,
    /// Longest that a poll is held.
    pub poll_hold_ms: u64,
}

/// An inequality of the timers that does not hold, with what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimerError {
    /// A timer is zero.
    #[error("{timer} is 0: every timer of silence must be longer than nothing")]
    Zero {
        /// Which one.
        timer: &'static str,
    },
    /// Two heartbeats, late by a fifth, must fit before a node is suspect.
    #[error(
        "suspect ({suspect_ms} ms) must be at least 2.4 times the heartbeat ({heartbeat_ms} ms), so that one lost \
         report suspects nobody: raise it, or lower the heartbeat"
    )]
    SuspectTooSoon {
        /// The heartbeat.
        heartbeat_ms: u64,
        /// The first doubt.
        suspect_ms: u64,
    },
    /// Of two timers the first must not be the longer one.
    #[error(
        "{earlier} ({earlier_ms} ms) must not exceed {later} ({later_ms} ms): raise {later}, or lower {earlier}"
    )]
    Order {
        /// What comes first.
        earlier: &'static str,
        /// Its time.
        earlier_ms: u64,
        /// What comes later.
        later: &'static str,
        /// Its time.
        later_ms: u64,
    },
    /// K + grace + 5 % of D + slack must not exceed D.
    #[error(
        "fence + fence_grace + 5 % of fenced_lost + slack is {needed_ms} ms and must not exceed fenced_lost \
         ({fenced_lost_ms} ms), or a job could start elsewhere before its node has ended it: raise fenced_lost, or \
         lower fence"
    )]
    FenceTooLate {
        /// What the node may take to end its jobs, by the coordinator's clock.
        needed_ms: u64,
        /// When the coordinator gives them to others.
        fenced_lost_ms: u64,
    },
}

impl Default for LivenessTimers {
    fn default() -> Self {
        Self {
            heartbeat_ms: 5_000,
            suspect_ms: 15_000,
            unreachable_ms: 30_000,
            lost_ms: 600_000,
            fence_ms: 45_000,
            fence_grace_ms: 10_000,
            fenced_lost_ms: 60_000,
            slack_ms: 2_000,
            recovery_ms: 60_000,
            kill_unacked_ms: 60_000,
            poll_hold_ms: 20_000,
        }
    }
}

impl LivenessTimers {
    /// For nodes behind slow or unsteady lines: four times the default. Polls are held as long as ever, because what
    /// stands between cuts connections that are silent for longer.
    pub fn wan() -> Self {
        let timers = Self::default();
        Self { poll_hold_ms: timers.poll_hold_ms, ..timers.each(|ms| ms * 4) }
    }

    /// For tests with a real clock: a twentieth of the default.
    pub fn test() -> Self {
        Self::default().each(|ms| ms / 20)
    }

    /// The profile of this name: `default`, `wan` or `test`.
    pub fn profile(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::default()),
            "wan" => Some(Self::wan()),
            "test" => Some(Self::test()),
            _ => None,
        }
    }

    fn each(self, scale: impl Fn(u64) -> u64) -> Self {
        Self {
            heartbeat_ms: scale(self.heartbeat_ms),
            suspect_ms: scale(self.suspect_ms),
            unreachable_ms: scale(self.unreachable_ms),
            lost_ms: scale(self.lost_ms),
            fence_ms: scale(self.fence_ms),
            fence_grace_ms: scale(self.fence_grace_ms),
            fenced_lost_ms: scale(self.fenced_lost_ms),
            slack_ms: scale(self.slack_ms),
            recovery_ms: scale(self.recovery_ms),
            kill_unacked_ms: scale(self.kill_unacked_ms),
            poll_hold_ms: scale(self.poll_hold_ms),
        }
    }

    fn named(&self) -> [(&'static str, u64); 11] {
        [
            ("heartbeat", self.heartbeat_ms),
            ("suspect", self.suspect_ms),
            ("unreachable", self.unreachable_ms),
            ("lost", self.lost_ms),
            ("fence", self.fence_ms),
            ("fence_grace", self.fence_grace_ms),
            ("fenced_lost", self.fenced_lost_ms),
            ("slack", self.slack_ms),
            ("recovery", self.recovery_ms),
            ("kill_unacked", self.kill_unacked_ms),
            ("poll_hold", self.poll_hold_ms),
        ]
    }

    /// Whether the timers can work together.
    ///
    /// # Errors
    /// The inequality that does not hold.
    pub fn check(&self) -> Result<(), TimerError> {
        if let Some((timer, _)) = self.named().into_iter().find(|(_, ms)| *ms == 0) {
            return Err(TimerError::Zero { timer });
        }
        let (heartbeat_ms, suspect_ms) = (self.heartbeat_ms, self.suspect_ms);
        if u128::from(heartbeat_ms) * 12 > u128::from(suspect_ms) * 5 {
            return Err(TimerError::SuspectTooSoon { heartbeat_ms, suspect_ms });
        }
        for (earlier, earlier_ms, later, later_ms) in [
            ("suspect", suspect_ms, "unreachable", self.unreachable_ms),
            ("unreachable", self.unreachable_ms, "lost", self.lost_ms),
            // A short silence must not end jobs.
            ("unreachable", self.unreachable_ms, "fence", self.fence_ms),
            // What is given up must have been ended where it must not run twice.
            ("fenced_lost", self.fenced_lost_ms, "lost", self.lost_ms),
            // A node must not be given up before it can have been heard.
            ("fenced_lost", self.fenced_lost_ms, "recovery", self.recovery_ms),
            // A node whose poll is held is not silent.
            ("poll_hold", self.poll_hold_ms, "unreachable", self.unreachable_ms),
        ] {
            if earlier_ms > later_ms {
                return Err(TimerError::Order { earlier, earlier_ms, later, later_ms });
            }
        }
        let (needed_ms, fenced_lost_ms) = (self.fence_needs_ms(), self.fenced_lost_ms);
        if needed_ms > fenced_lost_ms {
            Err(TimerError::FenceTooLate { needed_ms, fenced_lost_ms })
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

    /// The last moment at which a node that fences itself may still run a job, by the coordinator's clock: clocks run
    /// differently by up to 5 %.
    fn fence_needs_ms(&self) -> u64 {
        self.fence_ms
            .saturating_add(self.fence_grace_ms)
            .saturating_add(self.fenced_lost_ms.div_ceil(20))
            .saturating_add(self.slack_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_judged_less_the_listeners_own_delay() {
        let timers = LivenessTimers::default();
        assert_eq!(timers.judge(14_999, 0), NodeHealth::Ready);
        assert_eq!(timers.judge(15_000, 0), NodeHealth::Suspect);
        assert_eq!(timers.judge(30_000, 0), NodeHealth::Unreachable);
        assert_eq!(timers.judge(600_000, 0), NodeHealth::Lost);
        assert_eq!(timers.judge(600_000, 599_000), NodeHealth::Ready);
    }

    #[test]
    fn every_profile_keeps_every_inequality() {
        for name in ["default", "wan", "test"] {
            let timers = LivenessTimers::profile(name).expect("a profile");
            assert_eq!(timers.check(), Ok(()), "{name}");
        }
        assert_eq!(LivenessTimers::profile("lan"), None);
        let (default, wan, test) = (LivenessTimers::default(), LivenessTimers::wan(), LivenessTimers::test());
        assert_eq!((wan.lost_ms, test.lost_ms), (default.lost_ms * 4, default.lost_ms / 20));
        assert_eq!((wan.poll_hold_ms, test.heartbeat_ms), (20_000, 250));
    }

    #[test]
    fn each_inequality_is_named_when_it_does_not_hold() {
        let order = |earlier, later| move |error: &TimerError| matches!(error, TimerError::Order { earlier: e, later: l, .. } if *e == earlier && *l == later);
        type Names = Box<dyn Fn(&TimerError) -> bool>;
        let cases: [(LivenessTimers, Names); 8] = [
            (
                LivenessTimers { slack_ms: 0, ..Default::default() },
                Box::new(|error| *error == TimerError::Zero { timer: "slack" }),
            ),
            (
                LivenessTimers { suspect_ms: 11_999, ..Default::default() },
                Box::new(|error| matches!(error, TimerError::SuspectTooSoon { .. })),
            ),
            (
                LivenessTimers { suspect_ms: 30_001, ..Default::default() },
                Box::new(order("suspect", "unreachable")),
            ),
            (
                LivenessTimers { lost_ms: 29_999, ..Default::default() },
                Box::new(order("unreachable", "lost")),
            ),
            (
                LivenessTimers { fence_ms: 29_999, ..Default::default() },
                Box::new(order("unreachable", "fence")),
            ),
            (
                LivenessTimers { recovery_ms: 59_999, ..Default::default() },
                Box::new(order("fenced_lost", "recovery")),
            ),
            (
                LivenessTimers { poll_hold_ms: 30_001, ..Default::default() },
                Box::new(order("poll_hold", "unreachable")),
            ),
            (
                LivenessTimers { fence_ms: 45_001, ..Default::default() },
                Box::new(|error| matches!(error, TimerError::FenceTooLate { needed_ms: 60_001, .. })),
            ),
        ];
        for (timers, names) in cases {
            let error = timers.check().expect_err("an inequality does not hold");
            assert!(names(&error), "{error}");
        }
    }

    #[test]
    fn timers_too_large_to_add_are_refused_and_do_not_overflow() {
        let timers = LivenessTimers { fence_ms: u64::MAX, ..Default::default() };
        assert!(matches!(timers.check(), Err(TimerError::FenceTooLate { needed_ms: u64::MAX, .. })));
        let timers = LivenessTimers { heartbeat_ms: u64::MAX, suspect_ms: u64::MAX, ..Default::default() };
        assert!(matches!(timers.check(), Err(TimerError::SuspectTooSoon { .. })));
    }
}
