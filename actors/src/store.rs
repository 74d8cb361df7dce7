//! Keeping and finding records. The trait is batched and object-safe so that SQLite with one writer and PostgreSQL
//! with leader terms fit behind it. It knows nothing of actors; nothing here decides what should happen to a job.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod memory;
mod range;
pub mod sqlite;
mod tokens;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::model::access::TokenOp;
use crate::model::{
    AttemptRecord, ClusterId, Eligibility, Epoch, Incarnation, JobId, JobRecord, JobSpec, JobState, Needs,
    NodeId, Outcome, Status, Tenant, Term,
};
pub use crate::model::{IdempotencyKey, StoreTotals};
pub use tokens::TokenStore;

/// Most attempts that came to nothing that are remembered of one job; the oldest go first.
pub const MAX_ATTEMPTS_KEPT: usize = 100;

/// A future that an object-safe trait can return.
pub type StoreFuture<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// What a store holds besides jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreIdentity {
    /// Which database this is.
    pub cluster: ClusterId,
    /// The term that this opening of it was given: one above the last.
    pub term: Term,
}

/// One change. A batch of them is one transaction.
#[derive(Clone, Debug)]
pub enum StoreOp {
    /// A new job, in state queued.
    Submit(NewJob),
    /// The job goes from waiting under `from` to leased under `from + 1`.
    Lease {
        /// Which job.
        job: JobId,
        /// The epoch it must have now.
        from: Epoch,
        /// Who gets it.
        node: NodeId,
        /// In which life.
        incarnation: Incarnation,
        /// Whether the spec is wanted back.
        want_spec: bool,
    },
    /// The live row gets this state (started, unknown, requeued, re-attached, wish to cancel), guarded by its epoch.
    Update {
        /// Which job.
        job: JobId,
        /// The epoch it must have now.
        epoch: Epoch,
        /// Its new state; never `Ended`.
        state: JobState,
        /// An attempt that came to nothing, for the history.
        attempt: Option<AttemptRecord>,
    },
    /// The job ends: its live row is consumed and its terminal record inserted, if the epoch is current.
    Finish {
        /// Which job.
        job: JobId,
        /// The epoch its live row must have.
        epoch: Epoch,
        /// The terminal record.
        outcome: Arc<Outcome>,
    },
    /// A stale or late attempt, for the history only.
    NoteAttempt {
        /// Which job.
        job: JobId,
        /// What became of it.
        attempt: AttemptRecord,
    },
    /// Forgets a finished job.
    Delete {
        /// Which job.
        job: JobId,
    },
    /// Forgets those of these jobs that are finished.
    Forget {
        /// Which jobs.
        jobs: Vec<JobId>,
    },
    /// Forgets finished jobs beyond age, count and size, and expired idempotency keys, at most `limit` of each.
    Prune {
        /// Finished before this Unix time in milliseconds are forgotten.
        finished_before_ms: Option<i64>,
        /// Only this many newest finished jobs are kept.
        keep: Option<u64>,
        /// The longest finished are forgotten until the rest occupies no more than this.
        keep_bytes: Option<u64>,
        /// Keys made before this are forgotten.
        keys_before_ms: i64,
        /// Most rows to remove.
        limit: u32,
    },
    /// A node registers: its incarnation grows by one.
    RegisterNode {
        /// Which node.
        node: NodeId,
    },
    /// Whether a node is given work, from now on and after every registration.
    MarkNode {
        /// Which node.
        node: NodeId,
        /// Whether it is.
        eligibility: Eligibility,
    },
    /// The records are older than what nodes have seen of them: a backup was restored. From now on the term is this one, if
    /// that is higher, and every live job's epoch grows, at least to `floor`. Only for a store that is exclusive.
    RaiseTerm {
        /// The new term.
        to: Term,
        /// What no epoch that was minted before can reach.
        floor: Epoch,
    },
    /// A token changes.
    Token(TokenOp),
}

/// What is stored at a submit.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its name.
    pub id: JobId,
    /// What was asked for.
    pub spec: Arc<JobSpec>,
    /// When, Unix milliseconds.
    pub created_at_ms: i64,
    /// Whose it is.
    pub tenant: Tenant,
    /// The job that this one repeats.
    pub retry_of: Option<JobId>,
    /// Key and hash of the request, when the client sent a key. A key means what it means to this tenant only.
    pub idempotency: Option<IdempotencyKey>,
}

/// What came of one operation of a committed batch.
#[derive(Clone, Debug, PartialEq)]
pub enum OpResult {
    /// It was done.
    Done,
    /// `Submit`: this job with the same key and request was accepted already; nothing was inserted. The job may have
    /// been forgotten since: a key outlives its job, so that a late repetition never runs twice.
    Duplicate(JobId),
    /// `Submit`: the key was used for another request; nothing was inserted.
    KeyConflict,
    /// `Lease`: done; the spec if it was wanted.
    Leased(Option<Arc<JobSpec>>),
    /// `Lease`, `Update`, `Finish`: the row is not in the epoch that was named (or is gone); nothing was changed.
    Stale,
    /// `Delete`: no such finished job. `NoteAttempt`: no such job. `MarkNode`: no such node.
    NotFound,
    /// `Prune`, the longest finished first; `Forget`, in the order given: what was forgotten.
    Pruned(Pruned),
    /// `RegisterNode`: what there is to know of the node.
    Registered {
        /// Its new incarnation.
        incarnation: Incarnation,
        /// Whether it is given work.
        eligibility: Eligibility,
    },
}

/// Finished jobs that were forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Which.
    pub jobs: Vec<JobId>,
    /// What they occupied.
    pub bytes: u64,
}

/// Which finished jobs are looked for, the longest finished first.
#[derive(Clone, Debug, Default)]
pub struct FinishedQuery {
    /// Finished before this Unix time in milliseconds.
    pub before_ms: i64,
    /// Only these statuses; empty means all.
    pub statuses: Vec<Status>,
    /// Only those after this one, in the order of their ends.
    pub after: Option<(i64, JobId)>,
    /// Most rows.
    pub limit: usize,
}

/// A finished job in that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinishedRow {
    /// Which job.
    pub id: JobId,
    /// When it ended, Unix milliseconds.
    pub finished_at_ms: i64,
    /// What it occupies.
    pub bytes: u64,
}

/// A live job as it is loaded at start: no spec, so that a million of them fit.
#[derive(Clone, Debug)]
pub struct LiveRow {
    /// Which job.
    pub id: JobId,
    /// When it was accepted, Unix milliseconds.
    pub created_at_ms: i64,
    /// Where it stands.
    pub state: JobState,
    /// What it needs of a node.
    pub needs: Needs,
}

/// Which jobs a list wants. Newest first. The time of a job's acceptance is here the one in its id, to the millisecond.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Only jobs older than this one (the cursor).
    pub before: Option<JobId>,
    /// Only these statuses; empty means all. The store knows live jobs only as pending-or-running: a live row matches
    /// when either word is wanted, and the caller, who knows better, filters.
    pub statuses: Vec<Status>,
    /// Only jobs whose name is this.
    pub name: Option<String>,
    /// Only jobs of this tenant.
    pub tenant: Option<Tenant>,
    /// Only jobs accepted at or after this Unix time in milliseconds.
    pub created_after_ms: Option<i64>,
    /// Only jobs accepted before this Unix time in milliseconds.
    pub created_before_ms: Option<i64>,
    /// Most rows.
    pub limit: usize,
}

/// Why the store did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the database.
    #[error("{path} is in use by another callboard (lock held): stop it, or choose another --data-dir")]
    Locked {
        /// The lock file.
        path: String,
    },
    /// The disk is full.
    #[error(
        "the disk that holds the job database is full: free some space; nothing that was accepted is lost"
    )]
    Full,
    /// The database was made by a newer version.
    #[error("the job database has schema {found}, this callboard knows up to {known}: use the newer version")]
    Newer {
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The database file is damaged or not ours.
    #[error("the job database cannot be used: {detail}")]
    Corrupt {
        /// What the engine said.
        detail: String,
    },
    /// Something else failed, perhaps only now.
    #[error("the job database failed: {detail}")]
    Failed {
        /// What the engine said.
        detail: String,
    },
    /// More is waiting for the store than it lets wait. Nothing was done; the same call may succeed in a moment.
    #[error("the job database is busy: {waiting} calls are waiting already")]
    Busy {
        /// How many may wait.
        waiting: usize,
    },
    /// The store is closed.
    #[error("the job database is closed")]
    Closed,
}

impl StoreError {
    fn failed(detail: impl Into<String>) -> Self {
        Self::Failed { detail: detail.into() }
    }
}

/// Refuses batches that only a bug can have made, before anything of them is tried.
fn check_batch(batch: &[StoreOp]) -> Result<(), StoreError> {
    for op in batch {
        if let StoreOp::Update { job, epoch, state, .. } = op {
            if state.is_ended() {
                return Err(StoreError::failed(format!(
                    "an update cannot end job {job}: that is what finish is for"
                )));
            }
            if state.epoch() != *epoch {
                return Err(StoreError::failed(format!(
                    "an update of job {job} cannot change its epoch: that is what lease is for"
                )));
            }
        }
    }
    Ok(())
}

/// Durable records of jobs. One process writes; every batch is one transaction, fenced by the opening's term.
pub trait JobStore: TokenStore {
    /// Which database, and the term of this opening.
    fn identity(&self) -> StoreIdentity;

    /// Whether nobody else can have these records open, so that a higher term than ours can only be of their own future.
    fn is_exclusive(&self) -> bool {
        false
    }

    /// Commits the batch as one transaction and resolves when it is durable, with one result per operation, in order.
    /// Batches given one after another are committed in that order; several may share one transaction.
    ///
    /// # Errors
    /// [`StoreError`]: then nothing of the batch was kept.
    fn commit(&self, batch: Vec<StoreOp>) -> StoreFuture<Vec<OpResult>>;

    /// Every live job, oldest first, in pages: rows after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    fn load_live(&self, after: Option<JobId>, limit: usize) -> StoreFuture<Vec<LiveRow>>;

    /// One job, whole.
    ///
    /// # Errors
    /// [`StoreError`].
    fn get(&self, id: JobId) -> StoreFuture<Option<JobRecord>>;

    /// Whose job this is; none when there is no such job.
    ///
    /// # Errors
    /// [`StoreError`].
    fn tenant_of(&self, id: JobId) -> StoreFuture<Option<Tenant>>;

    /// Jobs whose id starts with these hexadecimal digits (dashes ignored), of this tenant or of all, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    fn find(&self, prefix: String, tenant: Option<Tenant>, limit: usize) -> StoreFuture<Vec<JobId>>;

    /// A page of jobs, newest first, without inline output.
    ///
    /// # Errors
    /// [`StoreError`].
    fn list(&self, query: ListQuery) -> StoreFuture<Vec<JobRecord>>;

    /// A page of finished jobs, the longest finished first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn finished(&self, query: FinishedQuery) -> StoreFuture<Vec<FinishedRow>>;

    /// Totals.
    ///
    /// # Errors
    /// [`StoreError`].
    fn totals(&self) -> StoreFuture<StoreTotals>;

    /// Finishes what was given, checkpoints and closes. Later calls fail with [`StoreError::Closed`].
    ///
    /// # Errors
    /// [`StoreError`].
    fn close(&self) -> StoreFuture<()>;
}
