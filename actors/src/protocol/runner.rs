//! The Coordinator and a node, be it a Runner beside it or a RunnerProxy that speaks to a far one.

use std::sync::Arc;

use actix::{Message, Recipient};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::errors::NodeError;
use super::jobs::InputAck;
use crate::link::{Command, Report, ReportRefusal, ReportReply};
use crate::model::{
    AttemptId, ClusterId, Incarnation, JobId, Kept, NodeId, Pulse, RoomBoard, RunnerSpec, Term,
};

/// Coordinator → Runner or RunnerProxy. A command with attempts to run. Answered when the node has acted on it: each
/// attempt is then in its inventory, or in the `returned` of its next report.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), NodeError>")]
pub struct AssignAttempts {
    /// The command.
    pub command: Command,
}

/// Coordinator → Runner or RunnerProxy. A command with attempts to end. Answered when the node has acted on it: what
/// it holds of them is being killed, and a later assignment of them is refused.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), NodeError>")]
pub struct CancelAttempt {
    /// The command.
    pub command: Command,
}

/// Graph → Runner. Take no more attempts, end those that run after `grace_ms`; answered when none is left and every
/// result has its verdict, or is on disk and the grace is over. True in the first case: the node may say goodbye.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "bool")]
pub struct DrainNode {
    /// How long running attempts may go on, in milliseconds.
    pub grace_ms: u64,
}

/// A piece of an attempt's output as a node holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolChunk {
    /// The bytes.
    pub bytes: Bytes,
    /// Kept bytes there are now.
    pub kept_bytes: u64,
}

/// Why a node cannot read what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum SpoolReadError {
    /// Nothing of that attempt is there.
    #[error("the runner has no output of this attempt")]
    Missing,
    /// The disk failed.
    #[error("{0}")]
    Io(String),
    /// The node did not answer.
    #[error("the runner cannot be reached")]
    Unavailable,
}

/// Coordinator → Runner or RunnerProxy. Answered with spooled output of one attempt.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<SpoolChunk, SpoolReadError>")]
pub struct ReadOutput {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Which stream or artifact.
    pub kept: Kept,
    /// First kept byte wanted.
    pub offset: u64,
    /// Most bytes.
    pub max_bytes: usize,
}

/// Coordinator → Runner or RunnerProxy. Streamed input for one attempt.
#[derive(Clone, Debug, Message)]
#[rtype(result = "InputAck")]
pub struct WriteInput {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Where the bytes start in the whole input.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
    /// Whether nothing follows them.
    pub end: bool,
}

/// Coordinator → Runner or RunnerProxy. The records of these jobs are gone: so may be their spooled output. Repeating
/// it does no harm, and output that it misses is swept at the next start.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct ForgetOutput {
    /// Jobs whose output nobody can ask for any more.
    pub jobs: Vec<JobId>,
}

/// Runner or RunnerProxy → Coordinator. Answered when everything that the verdicts rest on is durable.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<ReportReply, ReportRefusal>")]
pub struct RunnerReport {
    /// The report.
    pub report: Report,
}

/// What a node gets when it registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The database that it belongs to from now on.
    pub cluster: ClusterId,
    /// The number of its life.
    pub incarnation: Incarnation,
    /// The coordinator's term.
    pub term: Term,
}

/// Graph or http → Coordinator. Answered with the node's new incarnation, minted durably. The node is given work after
/// its first report has been reconciled.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Registration, RegisterError>")]
pub struct RegisterRunner {
    /// How it is reached.
    pub handle: RunnerHandle,
    /// What it says of itself.
    pub spec: Arc<RunnerSpec>,
}

/// Reception → Coordinator. This life of the node said goodbye: it has told everything and holds nothing. What the records
/// say that it holds is lost at once. Of another life than the current one it means nothing.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct RunnerGone {
    /// Which node.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
}

/// Graph → Uplink or Port. The node has told everything and holds nothing: say so to every coordinator. Answered when they
/// were told; one that does not listen now may never be.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct SayGoodbye;

/// Why a node could not register.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The store did not mint an incarnation.
    #[error("{0}")]
    Store(String),
    /// The coordinator is stopping.
    #[error("the coordinator is stopping")]
    Stopping,
    /// An operator has removed the node.
    #[error(
        "this runner was removed by {by}: `callboard nodes resume {node}` on the coordinator's side lets it in again"
    )]
    Removed {
        /// Which node.
        node: NodeId,
        /// Who has removed it.
        by: String,
    },
    /// There are too many.
    #[error("{0} nodes are registered already, which is the most: remove some that are gone")]
    TooMany(usize),
}

/// Graph or Uplink → Runner. Who it is from now on to one coordinator; answered when that is so. Its first report follows.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), Occupied>")]
pub struct BeginReporting {
    /// What registering brought.
    pub registration: Registration,
    /// Takes the reports.
    pub report: Recipient<RunnerReport>,
    /// Time between two reports without news, in milliseconds.
    pub heartbeat_ms: u64,
    /// Where the coordinator is, and who began.
    pub tie: Tie,
    /// When it counts as out of reach, for jobs that must not run then; none of one that does not say so.
    pub fence: Option<FenceTimes>,
}

/// After how much silence of its coordinator a node ends jobs that must not outlive their connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FenceTimes {
    /// From when the last report that was answered had been sent, in milliseconds.
    pub after_ms: u64,
    /// The time between TERM and KILL, in milliseconds.
    pub grace_ms: u64,
}

/// How a node is tied to a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    /// The coordinator is in the same process, whose records keep what is reported.
    Beside,
    /// The node has joined it.
    Joined,
    /// It has dialled the node.
    Dialled,
}

impl Tie {
    /// Whether the coordinator is elsewhere: then results are kept on disk until it has them.
    pub fn is_far(self) -> bool {
        self != Self::Beside
    }

    /// Most reports without an answer at once: on the way to another machine a later one might overtake.
    pub fn max_reports(self) -> u32 {
        if self.is_far() { 1 } else { u32::MAX }
    }
}

/// A node that works for another coordinator elsewhere, which has not been told everything yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this runner still holds work of the coordinator of cluster {0}: drain it there first")]
pub struct Occupied(pub ClusterId);

/// How a node is reached. A Runner, a RunnerProxy and a test probe all convert into it, and no caller can tell which.
#[derive(Clone, Debug)]
pub struct RunnerHandle {
    /// Whose handle it is.
    pub id: NodeId,
    /// What it gives to jobs, as far as it has told.
    pub rooms: Arc<RoomBoard>,
    /// When it was last heard; everything that hears it writes it.
    pub pulse: Arc<Pulse>,
    /// Takes attempts to run.
    pub assign: Recipient<AssignAttempts>,
    /// Takes attempts to end.
    pub cancel: Recipient<CancelAttempt>,
    /// Reads output.
    pub read_output: Recipient<ReadOutput>,
    /// Takes input.
    pub write_input: Recipient<WriteInput>,
    /// Forgets output.
    pub forget: Recipient<ForgetOutput>,
}
