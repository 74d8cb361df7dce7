//! What the Scheduler knows of one node. It refuses to know jobs.

use std::sync::Arc;

use crate::link::NodeHealth;
use crate::model::{Eligibility, Pulse, RoomBoard, RunnerSpec};
use crate::policy::placement::Room;
use crate::protocol::RunnerSummary;
use crate::protocol::metrics::RunnerCount;
use crate::protocol::scheduling::NodeLife;

/// One node, from its first report until it is removed: a lost one is remembered.
#[derive(Debug)]
pub(super) struct Node {
    pub room: Room,
    pub spec: Arc<RunnerSpec>,
    pub rooms: Arc<RoomBoard>,
    pub pulse: Arc<Pulse>,
    pub health: NodeHealth,
    pub eligibility: Eligibility,
    /// Something that it was told may not have reached it.
    pub is_doubted: bool,
    /// Whether it is known to have ended what must not outlive its connection, since it fell silent.
    pub fenced: bool,
}

impl Node {
    pub fn new(room: Room, life: NodeLife) -> Self {
        let NodeLife { spec, rooms, pulse, taken: _, eligibility } = life;
        Self {
            room,
            spec,
            rooms,
            pulse,
            health: NodeHealth::Ready,
            eligibility,
            is_doubted: false,
            fenced: false,
        }
    }

    /// Whether a job can be given to it now.
    pub fn is_open(&self) -> bool {
        self.health == NodeHealth::Ready
            && !self.is_doubted
            && self.eligibility.is_eligible()
            && self.room.free() > 0
    }

    /// Whether it may have room for a job, now or later: whoever keeps it from work may let it.
    pub fn may_open(&self) -> bool {
        self.health < NodeHealth::Lost && (self.room.usable > 0 || !self.eligibility.is_eligible())
    }

    /// It said goodbye.
    pub fn leave(&mut self) {
        (self.health, self.is_doubted) = (NodeHealth::Gone, false);
        (self.room.usable, self.room.taken) = (0, 0);
    }

    /// What `now` (as judged from its silence) makes of it. One that was given up, or whose jobs are unknown, comes back
    /// only with its inventory.
    pub fn next_health(&self, now: NodeHealth) -> NodeHealth {
        match self.health {
            NodeHealth::Ready | NodeHealth::Suspect => now,
            NodeHealth::Unreachable | NodeHealth::Lost => now.max(self.health),
            NodeHealth::Gone => NodeHealth::Gone,
        }
    }

    /// The word for its state.
    pub fn state(&self) -> &'static str {
        let health = if self.is_doubted { self.health.max(NodeHealth::Suspect) } else { self.health };
        health.as_str()
    }

    /// Under which state it is counted. A node that is merely suspect may be heard again in a moment.
    pub fn counted_as(&self, stopping: bool) -> RunnerCount {
        match self.health {
            NodeHealth::Gone => RunnerCount::Gone,
            NodeHealth::Unreachable | NodeHealth::Lost => RunnerCount::Lost,
            NodeHealth::Ready | NodeHealth::Suspect if stopping || !self.eligibility.is_eligible() => {
                RunnerCount::Draining
            }
            NodeHealth::Ready | NodeHealth::Suspect => RunnerCount::Ready,
        }
    }

    /// How it stands at `now_ms` of the monotonic clock.
    pub fn summary(&self, now_ms: u64) -> RunnerSummary {
        RunnerSummary {
            id: self.room.node,
            incarnation: self.room.incarnation,
            spec: Arc::clone(&self.spec),
            tier: self.rooms.tier(),
            state: self.state(),
            eligibility: self.eligibility.clone(),
            heard_ms_ago: now_ms.saturating_sub(self.pulse.last_ms()),
            usable_slots: self.room.usable,
            taken: self.room.taken,
        }
    }
}
