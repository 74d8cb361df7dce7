//! The Coordinator and the Scheduler: what waits, what there is room for, and what shall start.

use std::sync::Arc;

use actix::Message;

use super::platform::RunnerSummary;
use crate::model::{
    ClassId, Eligibility, Incarnation, JobId, Needs, NodeId, Pulse, RoomBoard, RunnerSpec, WaitReason,
};

/// A job that waits, and what decides where it can run.
#[derive(Clone, Debug)]
pub struct WaitingJob {
    /// Which job.
    pub job: JobId,
    /// Which class of jobs it belongs to: those with the same needs.
    pub class: ClassId,
    /// The needs of that class.
    pub needs: Arc<Needs>,
}

/// Coordinator → Scheduler. These jobs wait, in this order. Answered when they are queued and every job that has room
/// has been proposed in `StartJobs`. Order of arrival holds among the jobs that some node can take now: a class that
/// none can take holds up no other.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct EnqueueJobs {
    /// The jobs.
    pub jobs: Vec<WaitingJob>,
    /// Whether they go before everything that waits: their attempt was lost or given back.
    pub at_front: bool,
}

/// Coordinator → Scheduler. These jobs wait no longer; proposals of them that are under way will be refused.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct WithdrawJobs {
    /// The jobs, each with its class.
    pub jobs: Vec<(JobId, ClassId)>,
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

/// What the Scheduler learns of a node when a life of it begins.
#[derive(Clone, Debug)]
pub struct NodeLife {
    /// What it says of itself.
    pub spec: Arc<RunnerSpec>,
    /// What it gives to jobs, as far as it has told.
    pub rooms: Arc<RoomBoard>,
    /// When it was last heard.
    pub pulse: Arc<Pulse>,
    /// Slots taken by attempts that it was found to hold.
    pub taken: u32,
    /// Whether it is given work.
    pub eligibility: Eligibility,
}

/// Coordinator → Scheduler. A node's whole inventory has been reconciled, or its number of usable slots changed. Answered
/// like `EnqueueJobs`.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct SetCapacity {
    /// Which node.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// Slots that can be used, taken ones included.
    pub usable_slots: u32,
    /// All else about it, when this is the first that is heard of this life, or the first after it was given up.
    pub life: Option<NodeLife>,
}

/// Coordinator → Scheduler. Something that was told to this life of the node may not have reached it, or another life of
/// it has begun: nothing is proposed for it until its next `SetCapacity`. Sent at most once between two of them.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct DoubtNode {
    /// Which node.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
}

/// Coordinator → Scheduler. Whether the node is given work from now on; what it runs is not the Scheduler's business.
/// Answered like `EnqueueJobs`.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct SetEligibility {
    /// Which node.
    pub node: NodeId,
    /// Whether it is given work.
    pub eligibility: Eligibility,
}

/// Coordinator → Scheduler. The node is removed: nothing is known of it any more.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct ForgetNode {
    /// Which node.
    pub node: NodeId,
}

/// Coordinator → Scheduler. This life of the node said goodbye: it holds nothing and counts for nothing until it is back.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct NodeGone {
    /// Which node.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
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
    /// What that means for its attempts.
    pub meaning: Silence,
}

/// What the silence of a node means for its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nobody knows what they do.
    Unknown,
    /// Those that must not outlive their connection were ended by their node, and are given up.
    Fenced,
    /// All of them are given up.
    GivenUp,
}

/// Coordinator → Scheduler. Answered with why the jobs that are queued wait, class by class: in one class the reason is
/// the same for all of them.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "WaitReasons")]
pub struct ExplainJobs;

/// Why jobs wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitReasons {
    /// None is started, whatever room there is.
    pub paused: bool,
    /// Classes, in order, that no node could take if all its slots were free.
    pub without_node: Vec<ClassId>,
}

impl WaitReasons {
    /// Why a job of this class waits.
    pub fn of(&self, class: ClassId) -> WaitReason {
        if self.paused {
            WaitReason::QueuePaused
        } else if self.without_node.binary_search(&class).is_ok() {
            WaitReason::NoCapableRunner
        } else {
            WaitReason::Resources
        }
    }
}

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
