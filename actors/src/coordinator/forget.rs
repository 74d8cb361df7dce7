//! Forgetting finished jobs: by the clock, beyond age, number and size, and because somebody asks. Live jobs are never
//! forgotten: the store looks only where the finished ones are.

use actix::{ActorFutureExt, Context, Handler, ResponseActFuture, WrapFuture};
use tokio::sync::oneshot;

use super::Coordinator;
use super::commit::{Round, Then};
use crate::clock;
use crate::model::JobId;
use crate::protocol::LookupError;
use crate::protocol::jobs::{GetTotals, PruneJobs, PruneRound};
use crate::protocol::notices::{JobChange, JobChangeKind};
use crate::store::{FinishedQuery, FinishedRow, OpResult, Pruned, StoreOp};

/// Most jobs forgotten in one commit.
const PRUNE_LIMIT: u32 = 1000;
/// Most jobs that are looked at in one round that forgets none.
const MEASURE_LIMIT: usize = 10_000;

impl Coordinator {
    /// One round by the limits in force.
    pub(super) fn prune(&mut self, ctx: &mut Context<Self>) {
        let limits = &self.setup.limits;
        let now = clock::now_ms();
        let age = limits.retention_age_ms;
        let op = StoreOp::Prune {
            finished_before_ms: (age > 0).then(|| now.saturating_sub_unsigned(age)),
            keep: (limits.retention_count > 0).then_some(limits.retention_count),
            keep_bytes: (limits.retention_bytes > 0).then_some(limits.retention_bytes),
            keys_before_ms: now.saturating_sub_unsigned(limits.idempotency_ttl_ms),
            limit: PRUNE_LIMIT,
        };
        self.push(op, Then::Pruned);
        self.flush(ctx);
    }

    /// A full round is soon followed by another: jobs may end faster than the clock ticks.
    pub(super) fn pruned(&self, result: OpResult, round: &mut Round) {
        let pruned = self.forgotten(result, round);
        round.prune_again = pruned.jobs.len() >= PRUNE_LIMIT as usize;
        if !pruned.jobs.is_empty() {
            let (jobs, bytes) = (pruned.jobs.len(), pruned.bytes);
            log::info!(jobs, bytes, more = round.prune_again; "old jobs forgotten");
            self.forget_output(pruned.jobs);
        }
    }

    /// The round of somebody who asked for it.
    pub(super) fn forgotten_as_asked(
        &self,
        result: OpResult,
        reply: oneshot::Sender<Pruned>,
        round: &mut Round,
    ) {
        let mut pruned = self.forgotten(result, round);
        if !pruned.jobs.is_empty() {
            self.forget_output(pruned.jobs.clone());
        }
        pruned.jobs.shrink_to_fit();
        // A client that is gone needs no answer.
        let _ = reply.send(pruned);
    }

    /// Tells of every job that is gone.
    fn forgotten(&self, result: OpResult, round: &mut Round) -> Pruned {
        let OpResult::Pruned(pruned) = result else {
            return Pruned::default();
        };
        self.setup.meter.jobs_forgotten.add(pruned.jobs.len() as u64);
        let gone = |id: &JobId| JobChange { id: *id, what: JobChangeKind::Deleted };
        round.changes.extend(pruned.jobs.iter().map(gone));
        pruned
    }

    /// Forgets the jobs of one page, or only counts them.
    fn forget_page(
        &mut self,
        rows: Vec<FinishedRow>,
        asked: &PruneJobs,
        limit: usize,
        ctx: &mut Context<Self>,
    ) -> ResponseActFuture<Self, Result<PruneRound, LookupError>> {
        let last = rows.last().map(|row| (row.finished_at_ms, row.id));
        let next = last.filter(|_| rows.len() >= limit);
        if asked.dry_run || rows.is_empty() {
            let bytes = rows.iter().fold(0, |sum: u64, row| sum.saturating_add(row.bytes));
            let round = PruneRound { jobs: rows.len() as u64, bytes, next };
            return Box::pin(async move { Ok(round) }.into_actor(self));
        }
        let (reply, answer) = oneshot::channel();
        let jobs = rows.into_iter().map(|row| row.id).collect();
        self.push(StoreOp::Forget { jobs }, Then::Forgotten { reply });
        self.flush(ctx);
        let round = async move {
            let Pruned { jobs, bytes } = answer.await.map_err(|_| LookupError::Gone)?;
            Ok(PruneRound { jobs: jobs.len() as u64, bytes, next })
        };
        Box::pin(round.into_actor(self))
    }
}

impl Handler<PruneJobs> for Coordinator {
    type Result = ResponseActFuture<Self, Result<PruneRound, LookupError>>;

    fn handle(&mut self, message: PruneJobs, _: &mut Context<Self>) -> Self::Result {
        let limit = if message.dry_run { MEASURE_LIMIT } else { PRUNE_LIMIT as usize };
        let found = self.setup.store.finished(FinishedQuery {
            before_ms: message.finished_before_ms,
            statuses: message.statuses.clone(),
            after: message.after,
            limit,
        });
        Box::pin(found.into_actor(self).then(move |found, coordinator, ctx| match found {
            Ok(rows) => coordinator.forget_page(rows, &message, limit, ctx),
            Err(error) => {
                let failed = Err(LookupError::Store(error.to_string()));
                Box::pin(async move { failed }.into_actor(coordinator))
            }
        }))
    }
}

impl Handler<GetTotals> for Coordinator {
    type Result = ResponseActFuture<Self, Result<crate::model::StoreTotals, LookupError>>;

    fn handle(&mut self, _: GetTotals, _: &mut Context<Self>) -> Self::Result {
        let totals = self.setup.store.totals();
        let failed = |error: crate::store::StoreError| LookupError::Store(error.to_string());
        Box::pin(async move { totals.await.map_err(failed) }.into_actor(self))
    }
}
