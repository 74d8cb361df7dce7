//! Clients and the Coordinator: submitting, looking at, waiting for and ending jobs.

use std::convert::Infallible;

use actix::Message;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::errors::{CancelError, DeleteError, LookupError, OutputError, RetryError, SubmitError};
use crate::model::{
    CancelWish, IdempotencyKey, JobId, JobSpec, JobView, Kept, SecretEnv, Status, StoreTotals, Tenant,
};

/// One job to submit.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What to run.
    pub spec: JobSpec,
    /// Its secret variables in clear; the Coordinator seals them into the spec before it keeps it.
    pub secret_env: SecretEnv,
    /// The client's promise that a repetition is not a second job.
    pub idempotency: Option<IdempotencyKey>,
    /// Whether it is refused at once where no node gives it the isolation that it asks for. Otherwise it is taken in, and
    /// ends so.
    pub judged: bool,
    /// Whose it is; a [`PlatformHandle`](super::PlatformHandle) sets its own view's.
    pub tenant: Tenant,
}

impl From<JobSpec> for Submission {
    fn from(spec: JobSpec) -> Self {
        Self {
            spec,
            secret_env: SecretEnv::default(),
            idempotency: None,
            judged: true,
            tenant: Tenant::DEFAULT,
        }
    }
}

/// A job that was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Where it stands.
    pub view: JobView,
    /// Whether an earlier request with the same key had brought it.
    pub replayed: bool,
}

/// What came of each submission of a batch, in order.
pub type SubmitResults = Vec<Result<Accepted, SubmitError>>;

/// Client → Coordinator. Answered when every accepted job is durable, with one result per submission. A failure of
/// one leaves the others untouched, unless `all_or_nothing` was asked for.
#[derive(Debug, Message)]
#[rtype(result = "SubmitResults")]
pub struct SubmitJobs {
    /// The jobs.
    pub jobs: Vec<Submission>,
    /// Whether one invalid submission refuses them all.
    pub all_or_nothing: bool,
}

/// Client → Coordinator. Answered with a snapshot.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<JobView, LookupError>")]
pub struct GetJob {
    /// Which job.
    pub id: JobId,
}

/// Client → Coordinator. Answered with the one job whose id starts so.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<JobId, LookupError>")]
pub struct FindJob {
    /// Hexadecimal digits and dashes.
    pub prefix: String,
    /// Only jobs of this tenant.
    pub tenant: Option<Tenant>,
}

/// Client → Coordinator. Answered with a snapshot once the job is over, or when the time is up. A client that is gone
/// takes no place among those that wait.
#[derive(Debug, Message)]
#[rtype(result = "Result<JobView, LookupError>")]
pub struct AwaitJob {
    /// Which job.
    pub id: JobId,
    /// Longest wait, in milliseconds.
    pub wait_ms: u64,
    /// Resolves when the client drops its end: nobody is left to answer.
    pub client_gone: oneshot::Receiver<Infallible>,
}

/// A page of jobs, newest first.
#[derive(Clone, Debug, Default)]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<JobView>,
    /// Where the next page starts, if there may be one.
    pub next: Option<JobId>,
}

/// Client → Coordinator. Answered with a page.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<JobPage, LookupError>")]
pub struct ListJobs {
    /// Only jobs older than this one.
    pub before: Option<JobId>,
    /// Only these statuses; empty means all.
    pub statuses: Vec<Status>,
    /// Only jobs of this name.
    pub name: Option<String>,
    /// Only jobs of this tenant.
    pub tenant: Option<Tenant>,
    /// Only jobs accepted at or after this Unix time in milliseconds.
    pub created_after_ms: Option<i64>,
    /// Only jobs accepted before this Unix time in milliseconds.
    pub created_before_ms: Option<i64>,
    /// Most jobs.
    pub limit: usize,
}

/// Client → Coordinator. The wish is durable when this is answered; a waiting job is over then, a running one will be
/// within the grace. Repeating it on a job that is being cancelled or was cancelled succeeds.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<JobView, CancelError>")]
pub struct CancelJob {
    /// Which job.
    pub id: JobId,
    /// Why and how.
    pub wish: CancelWish,
}

/// Client → Coordinator. Answered with the new job, durable, that repeats a finished one.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<JobView, RetryError>")]
pub struct RetryJob {
    /// Which job to repeat.
    pub id: JobId,
}

/// Client → Coordinator. Forgets a finished job and its output.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<(), DeleteError>")]
pub struct DeleteJob {
    /// Which job.
    pub id: JobId,
}

/// What came of one round of [`PruneJobs`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneRound {
    /// Jobs that were forgotten, or would be.
    pub jobs: u64,
    /// What they occupied.
    pub bytes: u64,
    /// Where the next round starts, if there may be more.
    pub next: Option<(i64, JobId)>,
}

/// Client → Coordinator. Forgets finished jobs and their output, the longest finished first, a bounded number at a time.
/// Answered when it is durable.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<PruneRound, LookupError>")]
pub struct PruneJobs {
    /// Finished before this Unix time in milliseconds.
    pub finished_before_ms: i64,
    /// Only these statuses; empty means all. Live jobs are never forgotten.
    pub statuses: Vec<Status>,
    /// Where the round before ended.
    pub after: Option<(i64, JobId)>,
    /// Only count.
    pub dry_run: bool,
}

/// Client → Coordinator. Answered with how many records there are and what they occupy.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<StoreTotals, LookupError>")]
pub struct GetTotals;

/// A piece of output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputChunk {
    /// The bytes.
    pub bytes: Bytes,
    /// Kept bytes there are, as far as is known; it grows while the job runs.
    pub kept_bytes: u64,
    /// Bytes the job wrote in all; more than `kept_bytes` when some were dropped.
    pub total_bytes: u64,
    /// Where the kept tail starts, when the middle was dropped.
    pub gap_at: Option<u64>,
    /// Whether more may come: the job is not over.
    pub more: bool,
}

/// Client → Coordinator → Runner or RunnerProxy. Answered with what is there now; nothing is waited for.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<OutputChunk, OutputError>")]
pub struct ReadJobOutput {
    /// Which job.
    pub id: JobId,
    /// Which stream or artifact.
    pub kept: Kept,
    /// First kept byte wanted.
    pub offset: u64,
    /// Most bytes.
    pub max_bytes: usize,
}

/// How much streamed input has been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InputAck {
    /// Bytes taken so far, from the beginning of the input. Fewer than sent means: wait, then send the rest.
    pub accepted: u64,
    /// Whether the job may still read.
    pub open: bool,
}

/// Client → Coordinator → Runner or RunnerProxy. Answered with how much was taken.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<InputAck, OutputError>")]
pub struct WriteJobInput {
    /// Which job.
    pub id: JobId,
    /// Where the bytes start in the whole input.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
    /// Whether nothing follows them.
    pub end: bool,
}
