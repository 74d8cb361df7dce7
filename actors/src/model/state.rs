//! Where a job stands. A variant carries exactly the data that is valid in it; who moves it is `transition`'s business.

use serde::{Deserialize, Serialize};

use super::id::{Epoch, Incarnation, NodeId};
use super::job::Status;
use super::outcome::Outcome;
use super::reason::EndReason;

/// A job's place in its life. Small on purpose: a million waiting jobs are a million of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// Waits for a slot.
    Queued(Tally),
    /// Given to a node, not known to have started.
    Leased(Box<Lease>),
    /// Known to run.
    Running(Box<Lease>),
    /// Given to a node that is silent.
    Unknown(Box<Lease>),
    /// Over. The outcome never changes.
    Ended(Box<Outcome>),
}

/// What is remembered of a job's attempts while it waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Epoch of the last lease; 0 before the first.
    pub epoch: Epoch,
    /// Attempts lost together with their node.
    pub lost: u16,
    /// Attempts known to have started.
    pub started: u16,
}

/// An attempt that a node holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The tally, its epoch being this lease's.
    pub tally: Tally,
    /// Who holds it.
    pub node: NodeId,
    /// In which of its lives.
    pub incarnation: Incarnation,
    /// When the process started, Unix milliseconds, once that is known.
    pub started_at_ms: Option<i64>,
    /// The standing wish to cancel it, if any.
    pub cancel: Option<CancelWish>,
}

/// A wish to cancel, which every later transition honours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelWish {
    /// Which cancellation it is: `user`, `fail_fast`, `preempted` or `shutdown`.
    pub reason: EndReason,
    /// What the one who cancelled said about it.
    pub note: Option<String>,
    /// Time between TERM and KILL, in milliseconds.
    pub grace_ms: u64,
}

impl JobState {
    /// A job that has just been accepted.
    pub fn new() -> Self {
        Self::Queued(Tally::default())
    }

    /// The public status word.
    pub fn status(&self) -> Status {
        match self {
            Self::Queued(_) | Self::Leased(_) => Status::Pending,
            Self::Running(_) | Self::Unknown(_) => Status::Running,
            Self::Ended(outcome) => outcome.reason.status(),
        }
    }

    /// The state's name in docs, tests and the store.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queued(_) => "queued",
            Self::Leased(_) => "leased",
            Self::Running(_) => "running",
            Self::Unknown(_) => "unknown",
            Self::Ended(_) => "ended",
        }
    }

    /// The records were restored from a backup: from now on its epoch is a later one, and at least `floor`.
    pub fn raise_epoch(&mut self, floor: Epoch) {
        let tally = match self {
            Self::Queued(tally) => tally,
            Self::Leased(lease) | Self::Running(lease) | Self::Unknown(lease) => &mut lease.tally,
            Self::Ended(_) => return,
        };
        tally.epoch = tally.epoch.next().max(floor);
    }

    /// The current epoch: of the lease, or of the last one.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::Queued(tally) => tally.epoch,
            Self::Leased(lease) | Self::Running(lease) | Self::Unknown(lease) => lease.tally.epoch,
            Self::Ended(outcome) => outcome.epoch,
        }
    }

    /// The lease, while a node holds the job.
    pub fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Leased(lease) | Self::Running(lease) | Self::Unknown(lease) => Some(lease),
            Self::Queued(_) | Self::Ended(_) => None,
        }
    }

    /// The node that holds the job, or that it ended on.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            Self::Ended(outcome) => outcome.node,
            state => state.lease().map(|lease| lease.node),
        }
    }

    /// Whether the job is over.
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Ended(_))
    }
}

impl Default for JobState {
    fn default() -> Self {
        Self::new()
    }
}
