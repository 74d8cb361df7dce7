//! What each operation does to the tables, inside a transaction that someone else begins and commits. It knows no
//! thread and no file.

use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::forget::Sums;
use super::{codec, tokens};
use crate::model::{
    AttemptRecord, Eligibility, Epoch, Incarnation, JobId, JobSpec, JobState, NodeId, Outcome, Term,
    footprint,
};
use crate::store::{IdempotencyKey, MAX_ATTEMPTS_KEPT, NewJob, OpResult, StoreError, StoreOp};

pub(super) type Applied = Result<OpResult, StoreError>;

/// Most that one job is said to occupy: sums of what a store holds must fit into SQLite's integers.
const MOST_BYTES: u64 = 1 << 40;

/// One transaction at work. It counts what will be true once that is committed.
pub(super) struct Applier<'a> {
    connection: &'a Connection,
    pub(super) sums: Sums,
}

impl<'a> Applier<'a> {
    /// Begins from the committed totals.
    pub(super) fn new(connection: &'a Connection, sums: Sums) -> Self {
        Self { connection, sums }
    }

    pub(super) fn apply(&mut self, op: &StoreOp) -> Applied {
        match op {
            StoreOp::Submit(job) => self.submit(job),
            StoreOp::Lease { job, from, node, incarnation, want_spec } => {
                self.lease(*job, *from, *node, *incarnation, *want_spec)
            }
            StoreOp::Update { job, epoch, state, attempt } => {
                self.update(*job, *epoch, state, attempt.as_ref())
            }
            StoreOp::Finish { job, epoch, outcome } => self.finish(*job, *epoch, outcome),
            StoreOp::NoteAttempt { job, attempt } => self.note_if_known(*job, attempt),
            StoreOp::Delete { job } => self.delete(*job),
            StoreOp::Forget { jobs } => self.forget_all(jobs),
            StoreOp::Prune { finished_before_ms, keep, keep_bytes, keys_before_ms, limit } => {
                self.prune_keys(*keys_before_ms, *limit)?;
                self.prune(*finished_before_ms, *keep, *keep_bytes, *limit)
            }
            StoreOp::RegisterNode { node } => self.register(*node),
            StoreOp::MarkNode { node, eligibility } => self.mark_node(*node, eligibility),
            StoreOp::RaiseTerm { to, floor } => self.raise_term(*to, *floor),
            StoreOp::Token(op) => tokens::apply(self.connection, op).map(|()| OpResult::Done),
        }
    }

    pub(super) fn prepared(&self, sql: &str) -> rusqlite::Result<CachedStatement<'a>> {
        self.connection.prepare_cached(sql)
    }

    fn submit(&mut self, job: &NewJob) -> Applied {
        if let Some(key) = &job.idempotency
            && let Some(used) = self.use_key(job, key)?
        {
            return Ok(used);
        }
        let (spec, input) = codec::encode_spec(&job.spec)?;
        self.prepared(
            "INSERT INTO job (id, created_ms, retry_of, name, spec, input, tenant) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            job.id.as_bytes(),
            job.created_at_ms,
            job.retry_of.as_ref().map(JobId::as_bytes),
            job.spec.name,
            spec,
            input,
            job.tenant.stored(),
        ])?;
        self.prepared(
            "INSERT INTO job_hot (id, created_ms, state, epoch, lost, started, spec_bytes, needs) \
             VALUES (?1, ?2, 0, 0, 0, 0, ?3, ?4)",
        )?
        .execute(params![
            job.id.as_bytes(),
            job.created_at_ms,
            codec::signed(footprint::of_spec(&job.spec)),
            codec::encode_needs(&job.spec)?,
        ])?;
        self.sums.live += 1;
        Ok(OpResult::Done)
    }

    /// Takes the key for this job, or tells what it was used for.
    fn use_key(
        &self,
        job: &NewJob,
        IdempotencyKey { key, request_hash }: &IdempotencyKey,
    ) -> Result<Option<OpResult>, StoreError> {
        let tenant = job.tenant.stored().unwrap_or_default();
        let used = self
            .prepared("SELECT hash, job FROM idempotency WHERE tenant = ?1 AND key = ?2")?
            .query_row([tenant, key], |row| Ok((row.get::<_, [u8; 32]>(0)?, JobId::from_bytes(row.get(1)?))))
            .optional()?;
        match used {
            Some((hash, job)) if hash == *request_hash => Ok(Some(OpResult::Duplicate(job))),
            Some(_) => Ok(Some(OpResult::KeyConflict)),
            None => {
                self.prepared(
                    "INSERT INTO idempotency (tenant, key, hash, job, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    tenant,
                    key,
                    request_hash,
                    job.id.as_bytes(),
                    job.created_at_ms
                ])?;
                Ok(None)
            }
        }
    }

    fn lease(
        &self,
        job: JobId,
        from: Epoch,
        node: NodeId,
        incarnation: Incarnation,
        want_spec: bool,
    ) -> Applied {
        // A queued row has neither a start nor a wish to cancel, so there is none to clear.
        let changed = self
            .prepared(
                "UPDATE job_hot SET state = 1, epoch = ?3, node = ?4, incarnation = ?5 \
                 WHERE id = ?1 AND epoch = ?2 AND state = 0",
            )?
            .execute(params![
                job.as_bytes(),
                from.0,
                from.next().0,
                node.as_bytes(),
                codec::signed(incarnation.0),
            ])?;
        if changed == 0 {
            return Ok(OpResult::Stale);
        }
        let spec = want_spec.then(|| self.spec(job)).transpose()?;
        Ok(OpResult::Leased(spec))
    }

    fn spec(&self, job: JobId) -> Result<Arc<JobSpec>, StoreError> {
        let mut statement = self.prepared("SELECT spec, input FROM job WHERE id = ?1")?;
        let mut rows = statement.query([job.as_bytes()])?;
        match rows.next()? {
            Some(row) => Ok(Arc::new(codec::decode_spec(row, 0)?)),
            None => Err(StoreError::Corrupt { detail: format!("live job {job} has no spec") }),
        }
    }

    fn update(&self, job: JobId, epoch: Epoch, state: &JobState, attempt: Option<&AttemptRecord>) -> Applied {
        let columns = codec::encode_state(state)?;
        let changed = self
            .prepared(
                "UPDATE job_hot SET state = ?3, lost = ?4, started = ?5, node = ?6, incarnation = ?7, started_ms = ?8, \
                 cancel = ?9 WHERE id = ?1 AND epoch = ?2",
            )?
            .execute(params![
                job.as_bytes(),
                epoch.0,
                columns.state,
                columns.tally.lost,
                columns.tally.started,
                columns.node,
                columns.incarnation,
                columns.started_ms,
                columns.cancel,
            ])?;
        if changed == 0 {
            return Ok(OpResult::Stale);
        }
        if let Some(attempt) = attempt {
            self.note(job, attempt)?;
        }
        Ok(OpResult::Done)
    }

    fn finish(&mut self, job: JobId, epoch: Epoch, outcome: &Outcome) -> Applied {
        let gone = self
            .prepared("DELETE FROM job_hot WHERE id = ?1 AND epoch = ?2 RETURNING spec_bytes")?
            .query_row(params![job.as_bytes(), epoch.0], |row| row.get(0).map(codec::unsigned))
            .optional()?;
        let Some(spec_bytes) = gone else {
            return Ok(OpResult::Stale);
        };
        let bytes = footprint::of_finished(spec_bytes, outcome).min(MOST_BYTES);
        self.prepared(
            "INSERT INTO job_result (id, status, finished_ms, epoch, reason, outcome, stdout, stderr, bytes) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            job.as_bytes(),
            codec::status_number(outcome.reason.status()),
            outcome.finished_at_ms,
            outcome.epoch.0,
            outcome.reason.as_str(),
            codec::encode_outcome(outcome)?,
            outcome.stdout.inline,
            outcome.stderr.inline,
            codec::signed(bytes),
        ])?;
        self.sums.live = self.sums.live.saturating_sub(1);
        self.sums.ended(codec::status_number(outcome.reason.status()), bytes);
        Ok(OpResult::Done)
    }

    fn note_if_known(&self, job: JobId, attempt: &AttemptRecord) -> Applied {
        let known = self.prepared("SELECT 1 FROM job WHERE id = ?1")?.exists([job.as_bytes()])?;
        if !known {
            return Ok(OpResult::NotFound);
        }
        self.note(job, attempt)?;
        Ok(OpResult::Done)
    }

    fn note(&self, job: JobId, attempt: &AttemptRecord) -> Result<(), StoreError> {
        let seq: i64 = self
            .prepared("SELECT coalesce(max(seq) + 1, 0) FROM attempt_log WHERE job = ?1")?
            .query_row([job.as_bytes()], |row| row.get(0))?;
        self.prepared(
            "INSERT INTO attempt_log (job, seq, epoch, node, fate, why, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            job.as_bytes(),
            seq,
            attempt.epoch.0,
            attempt.node.as_bytes(),
            attempt.fate,
            attempt.why,
            attempt.at_ms,
        ])?;
        let first_kept = seq + 1 - MAX_ATTEMPTS_KEPT as i64;
        if first_kept > 0 {
            self.prepared("DELETE FROM attempt_log WHERE job = ?1 AND seq < ?2")?
                .execute(params![job.as_bytes(), first_kept])?;
        }
        Ok(())
    }

    fn register(&self, node: NodeId) -> Applied {
        let (incarnation, eligibility): (i64, Option<String>) = self
            .prepared(
                "INSERT INTO node (id, incarnation) VALUES (?1, 1) \
                 ON CONFLICT (id) DO UPDATE SET incarnation = incarnation + 1 RETURNING incarnation, eligibility",
            )?
            .query_row([node.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let incarnation = Incarnation(codec::unsigned(incarnation));
        let eligibility = codec::decode_eligibility(eligibility.as_deref())?;
        Ok(OpResult::Registered { incarnation, eligibility })
    }

    fn raise_term(&self, to: Term, floor: Epoch) -> Applied {
        self.prepared("UPDATE meta SET term = MAX(term, ?1)")?.execute([codec::signed(to.0)])?;
        self.prepared("UPDATE job_hot SET epoch = MAX(MIN(epoch + 1, ?2), ?1)")?
            .execute([i64::from(floor.0), i64::from(u32::MAX)])?;
        Ok(OpResult::Done)
    }

    fn mark_node(&self, node: NodeId, eligibility: &Eligibility) -> Applied {
        let changed = self
            .prepared("UPDATE node SET eligibility = ?2 WHERE id = ?1")?
            .execute(params![node.as_bytes(), codec::encode_eligibility(eligibility)?])?;
        Ok(if changed == 0 { OpResult::NotFound } else { OpResult::Done })
    }
}
