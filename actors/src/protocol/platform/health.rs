//! What a health check learns: how the platform and its nodes are.

use std::sync::Arc;

use crate::model::{Eligibility, Incarnation, NodeId, RunnerSpec, Tier};

/// How a node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerSummary {
    /// Which node.
    pub id: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// What it says of itself.
    pub spec: Arc<RunnerSpec>,
    /// What a job has there that is confined as well as can be.
    pub tier: Tier,
    /// `ready`, `suspect`, `unreachable` or `lost`.
    pub state: &'static str,
    /// Whether it is given work.
    pub eligibility: Eligibility,
    /// How long ago it was last heard, in milliseconds.
    pub heard_ms_ago: u64,
    /// Slots that can be used, taken ones included.
    pub usable_slots: u32,
    /// Slots taken.
    pub taken: u32,
}

impl RunnerSummary {
    /// Whether it can be given jobs, or could but for whoever keeps it from work: an operator's will is no failure.
    pub fn is_usable(&self) -> bool {
        self.state == "ready" && (self.usable_slots > 0 || !self.eligibility.is_eligible())
    }
}

/// What a health check learns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The actors answered within a second.
    pub alive: bool,
    /// The last commit succeeded.
    pub store_ok: bool,
    /// Intake has ended.
    pub draining: bool,
    /// The nodes.
    pub runners: Vec<RunnerSummary>,
    /// An operator has paused the queue: jobs are accepted and wait.
    pub paused: bool,
    /// Rooms are less than every job here must have.
    pub lacks_isolation: bool,
}

impl Health {
    /// Whether new jobs would be accepted, and started as soon as the queue is not paused.
    pub fn is_ready(&self) -> bool {
        let usable = self.runners.iter().any(RunnerSummary::is_usable);
        self.alive && self.store_ok && !self.draining && usable && !self.lacks_isolation
    }
}
