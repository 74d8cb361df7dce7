//! One look at the silence of all nodes: their times since they were heard, less what the listener itself was late, the
//! grace after its start and the mass brake. It refuses to know what follows from a verdict.

use std::collections::VecDeque;

use super::{LivenessTimers, MassBrake, NodeHealth};
use crate::model::NodeId;

/// Most delays of the listener that are remembered; of more, the oldest count as silence of the nodes.
const MAX_LAGS: usize = 64;

/// A node, when it was last heard, and how it was thought of until now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Which node.
    pub node: NodeId,
    /// When it was last heard, in milliseconds of the listener's clock.
    pub heard_ms: u64,
    /// The last verdict on it.
    pub health: NodeHealth,
}

/// What a look at all nodes brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Nodes that are thought of differently from now on.
    pub moves: Vec<(NodeId, NodeHealth)>,
    /// Nodes that have ended by now what must not outlive their connection, as long as they are as silent.
    pub fenced: Vec<NodeId>,
    /// Whether the mass brake holds: nobody becomes unreachable or lost.
    pub frozen: bool,
    /// How much later than due this look was, in milliseconds; 0 below one interval.
    pub lag_ms: u64,
}

/// Judges the silence of nodes. All times are milliseconds of one monotonic clock of the listener.
#[derive(Clone, Debug)]
pub struct LivenessWatch {
    timers: LivenessTimers,
    started_ms: u64,
    last_ms: u64,
    /// When the listener noticed that it had been late, and by how much.
    lags: VecDeque<(u64, u64)>,
    brake: MassBrake,
}

impl LivenessWatch {
    /// A listener that starts to listen now.
    pub fn new(timers: LivenessTimers, now_ms: u64) -> Self {
        Self {
            timers,
            started_ms: now_ms,
            last_ms: now_ms,
            lags: VecDeque::new(),
            brake: MassBrake::default(),
        }
    }

    /// Looks at all nodes; the next look is due `every_ms` later.
    pub fn sweep(&mut self, now_ms: u64, every_ms: u64, nodes: &[Heard]) -> Sweep {
        let lag_ms = self.lateness(now_ms, every_ms);
        let silences: Vec<u64> = nodes.iter().map(|node| self.silence(now_ms, node.heard_ms)).collect();
        let judged = nodes.iter().zip(&silences).map(|(node, silent_ms)| (node.health, *silent_ms));
        let frozen = self.brake.judge(now_ms, &self.timers, judged);
        let young = now_ms < self.started_ms.saturating_add(self.timers.recovery_ms);
        let is_fenced = |(_, silent_ms): &(&Heard, &u64)| **silent_ms >= self.timers.fenced_lost_ms;
        let fenced = nodes.iter().zip(&silences).filter(|_| !young && !frozen).filter(is_fenced);
        let fenced = fenced.map(|(node, _)| node.node).collect();
        let moves = nodes.iter().zip(silences).filter_map(|(node, silent_ms)| {
            let mut health = self.timers.judge(silent_ms, 0);
            if young {
                health = health.min(node.health.max(NodeHealth::Unreachable));
            }
            if frozen {
                health = health.min(node.health.max(NodeHealth::Suspect));
            }
            (health != node.health).then_some((node.node, health))
        });
        Sweep { moves: moves.collect(), fenced, frozen, lag_ms }
    }

    /// How late this look is; what is late by less than an interval is on time.
    fn lateness(&mut self, now_ms: u64, every_ms: u64) -> u64 {
        let late = now_ms.saturating_sub(self.last_ms).saturating_sub(every_ms);
        let lag_ms = if late >= every_ms { late } else { 0 };
        self.last_ms = now_ms;
        self.lags.retain(|(at, _)| now_ms.saturating_sub(*at) <= self.timers.lost_ms);
        if lag_ms > 0 {
            self.lags.push_back((now_ms, lag_ms));
        }
        if self.lags.len() > MAX_LAGS {
            self.lags.pop_front();
        }
        lag_ms
    }

    /// For how long a node was silent while the listener listened.
    fn silence(&self, now_ms: u64, heard_ms: u64) -> u64 {
        let late = |(at, lag): &(u64, u64)| (*lag).min(at.saturating_sub(heard_ms));
        now_ms.saturating_sub(heard_ms).saturating_sub(self.lags.iter().map(late).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::NodeHealth::{Lost, Ready, Suspect, Unreachable};
    use super::*;

    fn timers() -> LivenessTimers {
        LivenessTimers { recovery_ms: 60_000, lost_ms: 60_000, ..LivenessTimers::default() }
    }

    fn heard(id: u8, heard_ms: u64, health: NodeHealth) -> Heard {
        Heard { node: NodeId::from_bytes([id; 16]), heard_ms, health }
    }

    /// Looks every second from `from_ms` to `to_ms` and follows the verdicts.
    fn listen(watch: &mut LivenessWatch, nodes: &mut [Heard], from_ms: u64, to_ms: u64) -> bool {
        let mut frozen = false;
        for now_ms in (from_ms..=to_ms).step_by(1_000) {
            let sweep = watch.sweep(now_ms, 1_000, nodes);
            frozen = sweep.frozen;
            for (id, health) in sweep.moves {
                nodes.iter_mut().filter(|node| node.node == id).for_each(|node| node.health = health);
            }
        }
        frozen
    }

    #[test]
    fn a_silent_node_is_doubted_missed_and_given_up_in_turn() {
        let mut watch = LivenessWatch::new(timers(), 0);
        let mut nodes = [heard(1, 100_000, Ready)];
        listen(&mut watch, &mut nodes, 1_000, 114_000);
        assert_eq!(nodes[0].health, Ready);
        listen(&mut watch, &mut nodes, 115_000, 115_000);
        assert_eq!(nodes[0].health, Suspect);
        listen(&mut watch, &mut nodes, 116_000, 130_000);
        assert_eq!(nodes[0].health, Unreachable);
        listen(&mut watch, &mut nodes, 131_000, 159_000);
        assert_eq!(nodes[0].health, Unreachable);
        listen(&mut watch, &mut nodes, 160_000, 160_000);
        assert_eq!(nodes[0].health, Lost);
        nodes[0].heard_ms = 161_000;
        listen(&mut watch, &mut nodes, 161_000, 161_000);
        assert_eq!(nodes[0].health, Ready);
    }

    #[test]
    fn what_must_not_outlive_its_connection_is_given_up_earlier_and_by_the_same_rules() {
        let timers = LivenessTimers { recovery_ms: 60_000, ..LivenessTimers::default() };
        let fenced = |started_ms: u64, heard_ms: u64, now_ms: u64| {
            let mut watch = LivenessWatch::new(timers, started_ms);
            let mut nodes = [heard(1, heard_ms, Unreachable)];
            listen(&mut watch, &mut nodes, started_ms + 1_000, now_ms - 1_000);
            watch.sweep(now_ms, 1_000, &nodes).fenced.len()
        };
        assert_eq!((fenced(0, 100_000, 159_000), fenced(0, 100_000, 160_000)), (0, 1));
        assert_eq!(fenced(100_000, 100_000, 159_000), 0, "it has only just started to listen");
        let mut watch = LivenessWatch::new(timers, 0);
        let mut nodes = [1, 2, 3].map(|id| heard(id, 100_000, Ready));
        assert!(listen(&mut watch, &mut nodes, 1_000, 200_000));
        assert_eq!(watch.sweep(201_000, 1_000, &nodes).fenced, [], "all of them at once");
    }

    #[test]
    fn nobody_is_given_up_soon_after_the_start() {
        let mut watch = LivenessWatch::new(LivenessTimers { recovery_ms: 300_000, ..timers() }, 0);
        let mut nodes = [heard(1, 0, Ready)];
        listen(&mut watch, &mut nodes, 1_000, 299_000);
        assert_eq!(nodes[0].health, Unreachable);
        listen(&mut watch, &mut nodes, 300_000, 300_000);
        assert_eq!(nodes[0].health, Lost);
    }

    #[test]
    fn a_listener_that_was_stopped_for_two_minutes_does_not_declare_the_world_dead() {
        let mut watch = LivenessWatch::new(timers(), 0);
        let mut nodes = [heard(1, 100_000, Ready)];
        listen(&mut watch, &mut nodes, 1_000, 100_000);
        let sweep = watch.sweep(220_000, 1_000, &nodes);
        assert_eq!((sweep.moves, sweep.lag_ms), (Vec::new(), 119_000));
        // Nor a second later, when it is on time again and the node has not had its turn yet.
        listen(&mut watch, &mut nodes, 221_000, 233_000);
        assert_eq!(nodes[0].health, Ready);
        listen(&mut watch, &mut nodes, 234_000, 234_000);
        assert_eq!(nodes[0].health, Suspect);
    }

    #[test]
    fn the_brake_holds_everyone_back_and_lets_go() {
        let mut watch = LivenessWatch::new(timers(), 0);
        let mut nodes = [heard(1, 100_000, Ready), heard(2, 98_000, Ready), heard(3, 97_000, Ready)];
        assert!(listen(&mut watch, &mut nodes, 1_000, 400_000));
        assert!(nodes.iter().all(|node| node.health == Suspect), "{nodes:?}");
        for now_ms in (401_000..=410_000).step_by(1_000) {
            nodes[0].heard_ms = now_ms;
            listen(&mut watch, &mut nodes, now_ms, now_ms);
        }
        assert_eq!(nodes.map(|node| node.health), [Ready, Lost, Lost]);
    }

    #[test]
    fn delays_are_remembered_up_to_a_number() {
        let mut watch = LivenessWatch::new(LivenessTimers { lost_ms: u64::MAX, ..timers() }, 0);
        (1..500).for_each(|at| drop(watch.sweep(at * 10_000, 1_000, &[])));
        assert_eq!(watch.lags.len(), MAX_LAGS);
    }
}
