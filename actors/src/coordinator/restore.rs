//! Coming back: every live job is loaded from the store before the actor starts, and what waits is queued again.

use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, ResponseActFuture, WrapFuture};
use futures_util::future::join_all;

use super::Coordinator;
use super::live::{LiveJob, LiveTable};
use super::nodes::Ask;
use crate::model::{AttemptId, JobId, JobState, Status};
use crate::protocol::notices::{JobChange, JobChangeKind, JobChanged};
use crate::protocol::scheduling::{EnqueueJobs, WaitingJob};
use crate::store::{JobStore, StoreError};

/// Live jobs loaded at a time.
const PAGE: usize = 10_000;

/// What is still to be told; then, everything that was.
type Telling = ResponseActFuture<Coordinator, Vec<Restored>>;

/// A job that came back, as it was then.
struct Restored {
    id: JobId,
    status: Status,
    /// Whether it waited: one that a node had is queued by whoever finds that attempt lost.
    waited: bool,
}

impl Restored {
    fn of((id, live): (&JobId, &LiveJob)) -> Self {
        let waited = matches!(live.state, JobState::Queued(_));
        Self { id: *id, status: live.state.status(), waited }
    }
}

/// Loads every live job.
///
/// # Errors
/// [`StoreError`].
pub async fn restore(store: &Arc<dyn JobStore>) -> Result<LiveTable, StoreError> {
    let mut live = LiveTable::with_capacity(store.totals().await?.live as usize);
    let mut after: Option<JobId> = None;
    loop {
        let rows = store.load_live(after, PAGE).await?;
        after = rows.last().map(|row| row.id);
        let full = rows.len() == PAGE;
        for row in rows {
            let started = row.state.lease().is_some_and(|lease| lease.started_at_ms.is_some());
            let job =
                LiveJob { state: row.state, start_stored: started, ..LiveJob::new(row.created_at_ms, true) };
            live.insert(row.id, job, row.needs);
        }
        if !full {
            return Ok(live);
        }
    }
}

impl Coordinator {
    /// Queues what waits, in the order of its submission, and gives nodes that do not come back their time.
    pub(super) fn resume(&mut self, ctx: &mut Context<Self>) {
        let live = self.live.iter();
        let mut restored: Vec<Restored> = live.map(Restored::of).collect();
        restored.sort_unstable_by_key(|job| job.id);
        log::info!(live = restored.len(); "jobs restored");
        if !restored.is_empty() {
            ctx.spawn(self.tell_restored(restored, 0).map(|restored, coordinator, ctx| {
                coordinator.requeue(&restored, ctx);
            }));
        }
        let timers = &self.setup.timers;
        let patience = Duration::from_millis(timers.lost_ms.max(timers.recovery_ms));
        ctx.run_later(patience, Self::give_up_strangers);
        self.load_held_specs(ctx);
    }

    /// Publishes what came back, page by page, the next one when the last one was heard: a million notices at once are
    /// heavier than the jobs that they tell of. Jobs that were submitted meanwhile wait behind these, unless a slot was
    /// free for them.
    fn tell_restored(&self, restored: Vec<Restored>, from: usize) -> Telling {
        let page = restored.iter().skip(from).take(PAGE);
        let change = |job: &Restored| {
            let what = JobChangeKind::Restored { status: job.status };
            JobChange { id: job.id, what }
        };
        let changes = Arc::new(page.map(change).collect::<Vec<_>>());
        let told =
            self.peers.listeners.iter().map(|it| it.send(JobChanged { changes: Arc::clone(&changes) }));
        let told = join_all(told).into_actor(self);
        Box::pin(told.then(move |_, coordinator, _| match from + PAGE {
            next if next < restored.len() => coordinator.tell_restored(restored, next),
            _ => Box::pin(async { restored }.into_actor(coordinator)),
        }))
    }

    /// Queues those that waited and still do, in the order of their submission, before what was submitted meanwhile.
    fn requeue(&mut self, restored: &[Restored], ctx: &mut Context<Self>) {
        let waits = |job: &&Restored| {
            let live = self.live.get(&job.id).filter(|live| !live.ending);
            job.waited && live.is_some_and(|live| matches!(live.state, JobState::Queued(_)))
        };
        let waiting = restored.iter().filter(waits).filter_map(|job| self.live.waiting(job.id));
        let jobs: Vec<WaitingJob> = waiting.collect();
        if !jobs.is_empty() {
            let asked = self.peers.enqueue.send(EnqueueJobs { jobs, at_front: true });
            self.flush_after(asked, ctx);
        }
    }

    /// The specs of leased jobs are needed when their nodes report, and where attempts were lost when the next one is:
    /// such jobs are few, and loaded one by one.
    fn load_held_specs(&mut self, ctx: &mut Context<Self>) {
        let told_of = |live: &LiveJob| match &live.state {
            JobState::Queued(tally) => tally.lost > 0,
            state => state.lease().is_some(),
        };
        let held: Vec<JobId> =
            self.live.iter().filter(|(_, live)| told_of(live)).map(|(id, _)| *id).collect();
        if held.is_empty() {
            return;
        }
        let store = Arc::clone(&self.setup.store);
        let loading = async move {
            let mut records = Vec::with_capacity(held.len());
            for id in held {
                if let Ok(Some(record)) = store.get(id).await {
                    records.push(record);
                }
            }
            records
        };
        // Nothing else is handled until they are here: a report of a lost attempt asks for the spec's policy.
        ctx.wait(loading.into_actor(self).map(|records, coordinator, _| {
            for record in records {
                coordinator.losses.restore(record.id, &record.attempts);
                if record.state.lease().is_some() {
                    coordinator.specs.hold(record.id, Some(record.spec));
                }
            }
        }));
    }

    /// Leases of nodes that have not registered since the start are given up.
    fn give_up_strangers(&mut self, ctx: &mut Context<Self>) {
        let nodes = &self.nodes;
        let strange =
            |live: &LiveJob| live.state.lease().filter(|lease| !nodes.contains_key(&lease.node)).cloned();
        let lost: Vec<AttemptId> = self
            .live
            .iter()
            .filter_map(|(id, live)| strange(live).map(|lease| AttemptId::new(*id, lease.tally.epoch)))
            .collect();
        let why = "its runner did not come back after the coordinator's restart";
        let jobs: Vec<JobId> =
            lost.into_iter().filter_map(|attempt| self.lose(attempt, why.into())).collect();
        if !jobs.is_empty() {
            self.ask_scheduler(vec![Ask::Requeue { jobs }], ctx);
        }
        self.flush(ctx);
    }
}
