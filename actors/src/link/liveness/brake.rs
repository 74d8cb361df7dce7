//! The mass brake: when most nodes fall silent at once, it is more likely that the listener is cut off than that they
//! died. It refuses to know which nodes they are.

use super::{LivenessTimers, NodeHealth};

/// Fewest nodes whose common silence is suspicious.
const FEWEST: usize = 3;

/// Holds back the verdicts on silent nodes while most of them fall silent together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MassBrake {
    frozen: bool,
    normal_since: Option<u64>,
}

impl MassBrake {
    /// Whether the verdicts are held back now, at `now_ms` of any clock that does not go back. Of each node: how it was
    /// thought of until now, and for how long it has been silent.
    ///
    /// It freezes when half of the nodes that were there, and at least three, will have become unreachable within a
    /// heartbeat. It thaws after a heartbeat in which some node was heard: then the listener is well, and who is still
    /// silent is so by itself. While nobody at all is heard it stays frozen; there is nobody to give the jobs to either.
    pub fn judge(
        &mut self,
        now_ms: u64,
        timers: &LivenessTimers,
        nodes: impl IntoIterator<Item = (NodeHealth, u64)>,
    ) -> bool {
        let (mut there, mut going, mut heard) = (0, 0, false);
        for (before, silent_ms) in nodes {
            heard |= silent_ms < timers.suspect_ms;
            there += usize::from(before.is_there());
            let soon = silent_ms.saturating_add(timers.heartbeat_ms) >= timers.unreachable_ms;
            going += usize::from(before.is_there() && soon);
        }
        if !self.frozen {
            self.frozen = going >= FEWEST && going * 2 >= there;
            self.normal_since = None;
        } else if heard || going == 0 {
            let since = *self.normal_since.get_or_insert(now_ms);
            self.frozen = now_ms.saturating_sub(since) < timers.heartbeat_ms;
        } else {
            self.normal_since = None;
        }
        self.frozen
    }
}

#[cfg(test)]
mod tests {
    use super::NodeHealth::{Ready, Suspect, Unreachable};
    use super::*;

    const T: LivenessTimers = LivenessTimers {
        heartbeat_ms: 5_000,
        suspect_ms: 15_000,
        unreachable_ms: 30_000,
        lost_ms: 60_000,
        fence_ms: 1,
        fence_grace_ms: 1,
        fenced_lost_ms: 1,
        slack_ms: 1,
        recovery_ms: 1,
        kill_unacked_ms: 1,
        poll_hold_ms: 1,
    };

    #[test]
    fn few_silent_nodes_freeze_nothing() {
        let two_of_two = [(Suspect, 31_000), (Suspect, 31_000)];
        assert!(!MassBrake::default().judge(0, &T, two_of_two));
        let three_of_seven = [31_000, 31_000, 31_000, 0, 0, 0, 0].map(|silent| (Suspect, silent));
        assert!(!MassBrake::default().judge(0, &T, three_of_seven));
        let not_soon = [(Suspect, 24_999), (Suspect, 24_999), (Suspect, 24_999)];
        assert!(!MassBrake::default().judge(0, &T, not_soon));
        let gone_already = [(Unreachable, 90_000), (Unreachable, 90_000), (Unreachable, 90_000), (Ready, 1)];
        assert!(!MassBrake::default().judge(0, &T, gone_already));
    }

    #[test]
    fn half_of_the_nodes_silent_together_freeze_it_before_the_first_is_given_up() {
        let mut brake = MassBrake::default();
        // Heartbeats are spread over five seconds: none of them is due yet, all of them are soon.
        assert!(brake.judge(
            0,
            &T,
            [(Suspect, 29_000), (Suspect, 27_000), (Suspect, 25_000), (Ready, 1), (Ready, 1), (Ready, 1)]
        ));
    }

    #[test]
    fn it_thaws_after_a_heartbeat_of_normal_traffic() {
        let mut brake = MassBrake::default();
        assert!(brake.judge(0, &T, [(Suspect, 30_000); 3]));
        assert!(brake.judge(600_000, &T, [(Suspect, 630_000); 3]), "nobody is heard: it may be us for ever");
        let one_back = [(Ready, 10), (Suspect, 631_000), (Suspect, 631_000)];
        assert!(brake.judge(601_000, &T, one_back));
        assert!(brake.judge(605_999, &T, one_back));
        assert!(!brake.judge(606_000, &T, one_back), "the others do not come back");
    }

    #[test]
    fn normal_traffic_that_ceases_again_does_not_count() {
        let mut brake = MassBrake::default();
        assert!(brake.judge(0, &T, [(Suspect, 30_000); 3]));
        assert!(brake.judge(1_000, &T, [(Ready, 10), (Suspect, 31_000), (Suspect, 31_000)]));
        assert!(brake.judge(17_000, &T, [(Suspect, 16_000), (Suspect, 47_000), (Suspect, 47_000)]));
        assert!(brake.judge(18_000, &T, [(Ready, 10), (Suspect, 48_000), (Suspect, 48_000)]));
        assert!(!brake.judge(23_000, &T, [(Ready, 10), (Suspect, 53_000), (Suspect, 53_000)]));
    }

    #[test]
    fn it_thaws_when_the_silent_nodes_were_removed() {
        let mut brake = MassBrake::default();
        assert!(brake.judge(0, &T, [(Suspect, 30_000); 3]));
        assert!(brake.judge(1_000, &T, []));
        assert!(!brake.judge(6_000, &T, []));
    }
}
