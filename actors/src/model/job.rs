//! A job as others see it: the record that the store returns and the snapshot that clients get.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::{Epoch, JobId, NodeId};
use super::reason::WaitReason;
use super::runner_spec::RunnerSpec;
use super::spec::JobSpec;
use super::state::JobState;
use super::tenant::Tenant;

/// The five public status words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waits for a slot, or for its node to start it.
    Pending,
    /// Runs.
    Running,
    /// Ended with exit code 0.
    Completed,
    /// Ended otherwise.
    Failed,
    /// Was cancelled.
    Cancelled,
}

impl Status {
    /// Every word.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Finds the word's variant.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether a job with this status is over.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An attempt that did not become the job's outcome: lost, returned, or late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Which attempt.
    pub epoch: Epoch,
    /// Who held it.
    pub node: NodeId,
    /// What became of it: `lost`, `returned` or `stale`.
    pub fate: String,
    /// One line for people.
    pub why: String,
    /// When that was recorded, Unix milliseconds.
    pub at_ms: i64,
}

/// Everything that is known of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRecord {
    /// Its name.
    pub id: JobId,
    /// What was asked for.
    pub spec: Arc<JobSpec>,
    /// When it was accepted, Unix milliseconds.
    pub created_at_ms: i64,
    /// Whose it is.
    pub tenant: Tenant,
    /// The job that this one repeats.
    pub retry_of: Option<JobId>,
    /// Where it stands.
    pub state: JobState,
    /// Attempts that came to nothing, oldest first.
    pub attempts: Vec<AttemptRecord>,
}

/// A snapshot of a job for a client: the record, and why it waits if it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// The record.
    pub record: JobRecord,
    /// Why it waits; none unless its status is `pending`.
    pub waiting: Option<WaitReason>,
    /// What the node that has it, or had it last, says of itself; none when there is none, or it is not known any more.
    pub runner: Option<Arc<RunnerSpec>>,
}

impl JobView {
    /// The public status word.
    pub fn status(&self) -> Status {
        self.record.state.status()
    }

    /// The node that has it, or that it ended on.
    pub fn node(&self) -> Option<NodeId> {
        self.record.state.node()
    }

    /// The word beside the status: why it ended, or why it waits.
    pub fn reason(&self) -> Option<&'static str> {
        match &self.record.state {
            JobState::Ended(outcome) => Some(outcome.reason.as_str()),
            _ => self.waiting.map(WaitReason::as_str),
        }
    }
}
