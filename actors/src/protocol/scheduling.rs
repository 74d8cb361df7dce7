//! The Coordinator and the Scheduler: what waits, what there is room for, and what shall start.

use actix::Message;

use super::platform::RunnerSummary;
use crate::model::{Incarnation, JobId, NodeId, WaitReason};

/// Coordinator → Scheduler. These jobs wait, in this order. Answered when they are queued and every job that has room
/// has been proposed in `StartJobs`.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct EnqueueJobs {
    /// The jobs.
    pub jobs: Vec<JobId>,
    /// Whether they go before everything that waits: their attempt was lost or given back.
    pub at_front: bool,
}

/// Coordinator → Scheduler. These jobs wait no longer; proposals of them that are under way will be refused.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct WithdrawJobs {
    /// The jobs.
    pub jobs: Vec<JobId>,
}

/// Coordinator → Scheduler. So many slots of the node are free again. Answered like `EnqueueJobs`.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct ReleaseSlot {
    /// Whose slots.
    pub node: NodeId,
    /// In which life; of an older life nothing is released.
    pub incarnation: Incarnation,
    /// How many.
    pub count: u32,
}

/// Coordinator → Scheduler. A node is ready, or its number of usable slots changed. Answered like `EnqueueJobs`.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct SetCapacity {
    /// Which node.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// Slots that can be used, taken ones included.
    pub usable_slots: u32,
    /// Slots taken by attempts that the node was found to hold, when its inventory has just been reconciled; none when
    /// only the number of slots changed.
    pub taken: Option<u32>,
}

/// Coordinator → Scheduler. The node was heard. Sent at most once a report, which a node sends when it has news and
/// every few seconds otherwise.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct NodeHeard {
    /// Which node.
    pub node: NodeId,
}

/// One proposal: this job on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The job.
    pub job: JobId,
    /// Where it shall run.
    pub node: NodeId,
    /// In which life of the node.
    pub incarnation: Incarnation,
}

/// Scheduler → Coordinator. Proposals. The Coordinator commits each one or refuses it; a refusal comes back as
/// `ReleaseSlot`. Bounded by the free slots of all nodes, so it is sent without waiting.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct StartJobs {
    /// The proposals.
    pub placements: Vec<Placement>,
}

/// Scheduler → Coordinator. What the silence of a node means now. Sent once per change.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct RunnerLost {
    /// Which node.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// Whether its attempts are given up (true) or only unknown (false).
    pub given_up: bool,
}

/// Client or Coordinator → Scheduler. Answered with why the jobs that are queued wait: with one queue in order of
/// arrival the reason is the same for all of them.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "WaitReason")]
pub struct ExplainJob;

/// Anyone → Scheduler. Answered with the nodes, their slots, and whether jobs are started on them.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Runners")]
pub struct ListRunners;

/// The nodes, and whether the queue gives them anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runners {
    /// The nodes.
    pub nodes: Vec<RunnerSummary>,
    /// Whether jobs wait whatever room there is.
    pub paused: bool,
}

/// Operator → Scheduler. While paused, jobs are accepted and none is started. Answered when it holds.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct PauseQueue {
    /// Whether to pause or to go on.
    pub paused: bool,
}
