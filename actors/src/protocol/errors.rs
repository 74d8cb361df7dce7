//! One error per conversation. A variant tells the user what to do next; whether a retry can help is in the type.

use crate::model::admission::SpecProblem;
use crate::model::{Denial, IsolationRefusal, JobId, SecretError, Status};

/// Why a submit was not accepted. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The spec is not valid.
    #[error("the job is not valid: {}", first(.0))]
    Invalid(Vec<SpecProblem>),
    /// An admission rule does not allow it.
    #[error("{denial}")]
    Denied {
        /// Which submission of the request it is about, from 0: one may refuse them all.
        index: usize,
        /// Which rule, and why.
        denial: Denial,
    },
    /// No node gives it the isolation that it asks for.
    #[error("{refusal}")]
    Isolation {
        /// Which submission of the request it is about, from 0: one may refuse them all.
        index: usize,
        /// Why not.
        refusal: Box<IsolationRefusal>,
    },
    /// As many jobs live as may.
    #[error("the queue is full ({limit} live jobs, limit max_live_jobs): try again later")]
    QueueFull {
        /// The limit.
        limit: usize,
    },
    /// Its needs differ from those of every live job, and those differ in as many ways as they may.
    #[error(
        "live jobs require {limit} different things already (limit MAX_CLASSES): require what another job requires, or \
         try again later"
    )]
    TooVaried {
        /// The limit.
        limit: usize,
    },
    /// Too many requests are under way.
    #[error("too many requests are under way (limit max_in_flight): try again in a moment")]
    Busy,
    /// The node is stopping.
    #[error("the node is stopping and takes no new jobs")]
    Draining,
    /// The Idempotency-Key was used for another request.
    #[error("this Idempotency-Key was used for another request: use a new key for a new job")]
    KeyReused,
    /// The Idempotency-Key names a job that was forgotten since.
    #[error("job {0} of this Idempotency-Key was accepted and has been forgotten since")]
    Forgotten(JobId),
    /// Its secret variables cannot be sealed, or those of the job that it repeats cannot be opened.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store did not take it.
    #[error("{0}")]
    Store(String),
    /// The platform is gone.
    #[error("the platform has stopped")]
    Gone,
}

fn first(problems: &[SpecProblem]) -> String {
    problems.first().map(ToString::to_string).unwrap_or_default()
}

/// Why a job cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No such job.
    #[error("Job not found")]
    NotFound,
    /// Several jobs fit the shortened id.
    #[error("{0} jobs start with this id: write more of it")]
    Ambiguous(usize),
    /// As many requests wait for jobs as may.
    #[error("too many requests wait for jobs (limit max_waiters): try again in a moment")]
    TooManyWaiters,
    /// The store did not answer.
    #[error("{0}")]
    Store(String),
    /// Too many requests are under way.
    #[error("too many requests are under way (limit max_in_flight): try again in a moment")]
    Busy,
    /// The platform is gone.
    #[error("the platform has stopped")]
    Gone,
}

/// Why a job was not cancelled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// It had ended otherwise.
    #[error("job {job} is {status} already")]
    Ended {
        /// Which job.
        job: JobId,
        /// How it ended.
        status: Status,
    },
    /// It cannot be found.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

/// Why a job was not forgotten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    /// It is not over.
    #[error("job {job} is {status}: cancel it first")]
    Live {
        /// Which job.
        job: JobId,
        /// Where it stands.
        status: Status,
    },
    /// It cannot be found.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

/// Why a job was not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetryError {
    /// It is not over.
    #[error("job {job} is {status}: only a finished job can be retried")]
    Live {
        /// Which job.
        job: JobId,
        /// Where it stands.
        status: Status,
    },
    /// Its input was streamed by its client and is gone.
    #[error("the input of job {0} was streamed and is not kept: submit it anew")]
    StreamedInput(JobId),
    /// It cannot be found.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The new job was not accepted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// Why output cannot be read, or input not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// The job cannot be found.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The output is gone from the node's disk.
    #[error("the output of job {0} is gone from the runner's disk")]
    Gone(JobId),
    /// The job takes no streamed input.
    #[error("job {0} takes no streamed input: submit it with \"stdin\": {{\"stream\": true}}")]
    NoInput(JobId),
    /// The job is over, or has closed its input.
    #[error("job {0} reads no more input")]
    InputClosed(JobId),
    /// The bytes do not follow the ones before.
    #[error("input continues at offset {expected}, not at {got}")]
    InputGap {
        /// Where it continues.
        expected: u64,
        /// Where the bytes start.
        got: u64,
    },
    /// The node did not answer.
    #[error("the runner cannot be reached: {0}")]
    Node(String),
}

/// Why a node did not do what it was told, and whether it may have done it all the same.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NodeError {
    /// It did not, and says why.
    #[error("the node refused: {0}")]
    Refused(crate::link::CommandRefusal),
    /// It could not be asked, or did not answer.
    #[error("the node is unavailable")]
    Unavailable {
        /// Whether the request may have been carried out.
        maybe_applied: bool,
    },
}
