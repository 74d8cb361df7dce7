//! Records kept in memory, for tests and for `--store memory`. It answers exactly as the durable stores do and refuses
//! to know any disk: what it holds is gone with it.

mod forget;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock;
use crate::model::access::{TokenOp, TokenRecord};
use crate::model::state::Tally;
use crate::model::{
    AttemptRecord, Eligibility, Epoch, Incarnation, JobId, JobRecord, JobState, Lease, Needs, NodeId,
    Outcome, Status, Tenant, Term, footprint,
};

use super::range::{IdRange, Wanted};
use super::sqlite::files::{self, StoreLock};
use super::{
    FinishedQuery, FinishedRow, IdempotencyKey, JobStore, ListQuery, LiveRow, MAX_ATTEMPTS_KEPT, NewJob,
    OpResult, Pruned, StoreError, StoreFuture, StoreIdentity, StoreOp, StoreTotals, TokenStore, check_batch,
};

/// A store without a disk.
#[derive(Debug)]
pub struct MemoryStore {
    identity: StoreIdentity,
    /// None once closed.
    tables: Mutex<Option<Tables>>,
}

#[derive(Debug, Default)]
struct Tables {
    jobs: BTreeMap<JobId, JobRecord>,
    keys: HashMap<(Tenant, String), UsedKey>,
    nodes: HashMap<NodeId, (Incarnation, Eligibility)>,
    /// Finished jobs by how they ended, and what they occupy.
    ended: [u64; 3],
    retained_bytes: u64,
    tokens: BTreeMap<(i64, String), TokenRecord>,
    /// The folder of the node, when it has one that no other may use.
    _folder: Option<StoreLock>,
}

#[derive(Debug)]
struct UsedKey {
    request_hash: [u8; 32],
    job: JobId,
    created_at_ms: i64,
}

impl MemoryStore {
    /// An empty store of a new cluster, in its first term.
    pub fn new() -> Self {
        Self {
            identity: StoreIdentity { cluster: clock::new_cluster_id(), term: Term(1) },
            tables: Mutex::new(Some(Tables::default())),
        }
    }

    /// An empty store of a node that keeps its slots and its jobs' output in `folder`, which is this process's alone
    /// from now on.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has the folder; [`StoreError::Failed`] when it holds the records of a
    /// durable node: the output that they refer to would be taken for a leftover.
    pub fn in_folder(folder: &Path) -> Result<Self, StoreError> {
        let lock = files::claim(folder)?;
        if files::holds_database(folder) {
            return Err(StoreError::failed(format!(
                "{} holds the records of a durable node: choose another folder with --data-dir",
                folder.display()
            )));
        }
        let tables = Tables { _folder: Some(lock), ..Tables::default() };
        Ok(Self { tables: Mutex::new(Some(tables)), ..Self::new() })
    }

    fn tables(&self) -> MutexGuard<'_, Option<Tables>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Tables) -> Result<T, StoreError>,
    ) -> StoreFuture<T> {
        let answer = self.tables().as_mut().ok_or(StoreError::Closed).and_then(ask);
        Box::pin(std::future::ready(answer))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl JobStore for MemoryStore {
    fn is_exclusive(&self) -> bool {
        true
    }

    fn identity(&self) -> StoreIdentity {
        self.identity
    }

    fn commit(&self, batch: Vec<StoreOp>) -> StoreFuture<Vec<OpResult>> {
        self.with(|tables| {
            check_batch(&batch)?;
            tables.check_new_ids(&batch)?;
            Ok(batch.into_iter().map(|op| tables.apply(op)).collect())
        })
    }

    fn load_live(&self, after: Option<JobId>, limit: usize) -> StoreFuture<Vec<LiveRow>> {
        self.with(|tables| {
            let later = |id: &JobId| after.is_none_or(|after| *id > after);
            let from = after.unwrap_or(JobId::from_bytes([0; 16]));
            let live = tables.jobs.range(from..).filter(|(id, job)| later(id) && !job.state.is_ended());
            Ok(live.take(limit).map(|(_, job)| live_row(job)).collect())
        })
    }

    fn get(&self, id: JobId) -> StoreFuture<Option<JobRecord>> {
        self.with(|tables| Ok(tables.jobs.get(&id).cloned()))
    }

    fn tenant_of(&self, id: JobId) -> StoreFuture<Option<Tenant>> {
        self.with(|tables| Ok(tables.jobs.get(&id).map(|job| job.tenant)))
    }

    fn find(&self, prefix: String, tenant: Option<Tenant>, limit: usize) -> StoreFuture<Vec<JobId>> {
        self.with(|tables| {
            let Some(range) = IdRange::of_prefix(&prefix) else {
                return Ok(Vec::new());
            };
            let own = |job: &JobRecord| tenant.is_none_or(|tenant| job.tenant == tenant);
            let found = tables.jobs.range(range.low..=range.high).filter(|(_, job)| own(job));
            Ok(found.take(limit).map(|(id, _)| *id).collect())
        })
    }

    fn list(&self, query: ListQuery) -> StoreFuture<Vec<JobRecord>> {
        self.with(|tables| {
            let Some(range) = IdRange::of_query(&query) else {
                return Ok(Vec::new());
            };
            let wanted = Wanted::of_query(&query);
            let matching = tables.jobs.range(range.low..=range.high).rev().filter(|(_, job)| {
                wanted.takes(job.state.status())
                    && (query.name.is_none() || job.spec.name == query.name)
                    && query.tenant.is_none_or(|tenant| job.tenant == tenant)
            });
            Ok(matching.take(query.limit).map(|(_, job)| without_inline(job)).collect())
        })
    }

    fn finished(&self, query: FinishedQuery) -> StoreFuture<Vec<FinishedRow>> {
        self.with(|tables| {
            let wants = |status| query.statuses.is_empty() || query.statuses.contains(&status);
            let mut rows: Vec<FinishedRow> = tables
                .jobs
                .values()
                .filter(|job| wants(job.state.status()))
                .filter_map(finished_row)
                .filter(|row| row.finished_at_ms < query.before_ms)
                .filter(|row| query.after.is_none_or(|after| (row.finished_at_ms, row.id) > after))
                .collect();
            rows.sort_unstable_by_key(|row| (row.finished_at_ms, row.id));
            rows.truncate(query.limit);
            Ok(rows)
        })
    }

    fn totals(&self) -> StoreFuture<StoreTotals> {
        self.with(|tables| {
            let Tables { jobs, ended, retained_bytes, .. } = tables;
            let finished = ended.iter().sum();
            let live = (jobs.len() as u64).saturating_sub(finished);
            let (ended, retained_bytes) = (*ended, *retained_bytes);
            Ok(StoreTotals { live, finished, ended, retained_bytes, size_bytes: 0 })
        })
    }

    fn close(&self) -> StoreFuture<()> {
        let answer = self.tables().take().map(drop).ok_or(StoreError::Closed);
        Box::pin(std::future::ready(answer))
    }
}

impl TokenStore for MemoryStore {
    fn tokens(&self) -> StoreFuture<Vec<TokenRecord>> {
        self.with(|tables| Ok(tables.tokens.values().cloned().collect()))
    }

    fn change_tokens(&self, ops: Vec<TokenOp>) -> StoreFuture<()> {
        self.with(|tables| {
            ops.into_iter().for_each(|op| tables.change_token(op));
            Ok(())
        })
    }
}

fn live_row(job: &JobRecord) -> LiveRow {
    let needs = Needs::of(&job.spec);
    LiveRow { id: job.id, created_at_ms: job.created_at_ms, state: job.state.clone(), needs }
}

fn without_inline(job: &JobRecord) -> JobRecord {
    let mut job = job.clone();
    if let JobState::Ended(outcome) = &mut job.state {
        outcome.stdout.inline = None;
        outcome.stderr.inline = None;
    }
    job
}

impl Tables {
    /// A batch is one transaction: what would fail half-way must be found before anything is done.
    fn check_new_ids(&self, batch: &[StoreOp]) -> Result<(), StoreError> {
        let mut new = HashSet::new();
        for op in batch {
            if let StoreOp::Submit(job) = op
                && (self.jobs.contains_key(&job.id) || !new.insert(job.id))
            {
                return Err(StoreError::failed(format!("job {} exists already", job.id)));
            }
        }
        Ok(())
    }

    fn apply(&mut self, op: StoreOp) -> OpResult {
        match op {
            StoreOp::Submit(job) => self.submit(job),
            StoreOp::Lease { job, from, node, incarnation, want_spec } => {
                self.lease(job, from, node, incarnation, want_spec)
            }
            StoreOp::Update { job, epoch, state, attempt } => match self.live(job, epoch) {
                Some(record) => {
                    record.state = state;
                    attempt.into_iter().for_each(|attempt| note(record, attempt));
                    OpResult::Done
                }
                None => OpResult::Stale,
            },
            StoreOp::Finish { job, epoch, outcome } => match self.live(job, epoch) {
                Some(record) => {
                    record.state = JobState::Ended(Box::new(Outcome::clone(&outcome)));
                    let row = finished_row(record);
                    self.count(outcome.reason.status(), row.map_or(0, |row| row.bytes));
                    OpResult::Done
                }
                None => OpResult::Stale,
            },
            StoreOp::NoteAttempt { job, attempt } => match self.jobs.get_mut(&job) {
                Some(record) => {
                    note(record, attempt);
                    OpResult::Done
                }
                None => OpResult::NotFound,
            },
            StoreOp::Delete { job } => self.delete(job),
            StoreOp::Forget { jobs } => self.forget(jobs),
            StoreOp::Prune { finished_before_ms, keep, keep_bytes, keys_before_ms, limit } => {
                self.prune_keys(keys_before_ms, limit as usize);
                self.prune(finished_before_ms, keep, keep_bytes, limit as usize)
            }
            StoreOp::RegisterNode { node } => {
                let (incarnation, eligibility) = self.nodes.entry(node).or_default();
                *incarnation = incarnation.next();
                OpResult::Registered { incarnation: *incarnation, eligibility: eligibility.clone() }
            }
            StoreOp::MarkNode { node, eligibility } => match self.nodes.get_mut(&node) {
                Some((_, marked)) => {
                    *marked = eligibility;
                    OpResult::Done
                }
                None => OpResult::NotFound,
            },
            StoreOp::RaiseTerm { floor, .. } => {
                for record in self.jobs.values_mut() {
                    record.state.raise_epoch(floor);
                }
                OpResult::Done
            }
            StoreOp::Token(op) => {
                self.change_token(op);
                OpResult::Done
            }
        }
    }

    fn change_token(&mut self, op: TokenOp) {
        let (TokenOp::Revoke { id, .. } | TokenOp::Touch { id, .. } | TokenOp::Forget { id }) = &op else {
            if let TokenOp::Add(token) = op {
                self.tokens.insert((token.created_at_ms, token.id.clone()), *token);
            }
            return;
        };
        let Some(key) = self.tokens.keys().find(|(_, known)| known == id).cloned() else { return };
        match (op, self.tokens.get_mut(&key)) {
            (TokenOp::Revoke { at_ms, .. }, Some(token)) => {
                token.revoked_at_ms = token.revoked_at_ms.or(Some(at_ms));
            }
            (TokenOp::Touch { at_ms, .. }, Some(token)) => token.last_used_at_ms = Some(at_ms),
            (TokenOp::Forget { .. }, _) => _ = self.tokens.remove(&key),
            _ => {}
        }
    }

    /// The job, if it lives and is in this epoch.
    fn live(&mut self, job: JobId, epoch: Epoch) -> Option<&mut JobRecord> {
        self.jobs.get_mut(&job).filter(|record| !record.state.is_ended() && record.state.epoch() == epoch)
    }

    fn submit(&mut self, job: NewJob) -> OpResult {
        if let Some(IdempotencyKey { key, request_hash }) = job.idempotency {
            let key = (job.tenant, key);
            if let Some(used) = self.keys.get(&key) {
                return if used.request_hash == request_hash {
                    OpResult::Duplicate(used.job)
                } else {
                    OpResult::KeyConflict
                };
            }
            let used = UsedKey { request_hash, job: job.id, created_at_ms: job.created_at_ms };
            self.keys.insert(key, used);
        }
        let record = JobRecord {
            id: job.id,
            spec: job.spec,
            created_at_ms: job.created_at_ms,
            tenant: job.tenant,
            retry_of: job.retry_of,
            state: JobState::new(),
            attempts: Vec::new(),
        };
        self.jobs.insert(job.id, record);
        OpResult::Done
    }

    fn lease(
        &mut self,
        job: JobId,
        from: Epoch,
        node: NodeId,
        incarnation: Incarnation,
        want_spec: bool,
    ) -> OpResult {
        let Some(record) = self.live(job, from) else {
            return OpResult::Stale;
        };
        let JobState::Queued(tally) = record.state else {
            return OpResult::Stale;
        };
        record.state = JobState::Leased(Box::new(Lease {
            tally: Tally { epoch: from.next(), ..tally },
            node,
            incarnation,
            started_at_ms: None,
            cancel: None,
        }));
        OpResult::Leased(want_spec.then(|| record.spec.clone()))
    }

    fn delete(&mut self, job: JobId) -> OpResult {
        match self.forget_one(job) {
            Some(_) => OpResult::Done,
            None => OpResult::NotFound,
        }
    }
}

fn finished_row(job: &JobRecord) -> Option<FinishedRow> {
    match &job.state {
        JobState::Ended(outcome) => Some(FinishedRow {
            id: job.id,
            finished_at_ms: outcome.finished_at_ms,
            bytes: footprint::of_finished(footprint::of_spec(&job.spec), outcome),
        }),
        _ => None,
    }
}

fn note(record: &mut JobRecord, attempt: AttemptRecord) {
    record.attempts.push(attempt);
    let excess = record.attempts.len().saturating_sub(MAX_ATTEMPTS_KEPT);
    record.attempts.drain(..excess);
}
