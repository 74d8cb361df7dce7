//! What the Coordinator does by the clock: store late what need not be stored at once, measure, stop.

use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, WrapFuture};

use super::Coordinator;
use super::commit::Then;
use crate::clock;
use crate::model::{JobId, JobState};
use crate::protocol::metrics::Shutdown;
use crate::store::StoreOp;

/// How often starts of jobs that run for longer than this are stored. A job that ends sooner never needs it.
const STORE_STARTS: Duration = Duration::from_secs(1);
/// How often drains are looked at whose deadline may have passed.
const END_DRAINED: Duration = Duration::from_secs(1);
/// How often it is looked for nodes that were given up long ago.
const FORGET_LOST: Duration = Duration::from_secs(60);
/// How often the store is measured.
const MEASURE: Duration = Duration::from_secs(5);
/// How soon after the start old jobs are looked for: limits may have changed, and nodes must be here to lose output.
const FIRST_PRUNE: Duration = Duration::from_secs(1);
/// How often they are looked for after that.
const PRUNE: Duration = Duration::from_secs(30);

impl Coordinator {
    pub(super) fn start_upkeep(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(STORE_STARTS, Self::store_starts);
        ctx.run_interval(END_DRAINED, Self::end_drained);
        self.measure(ctx);
        ctx.run_interval(MEASURE, |coordinator, ctx| coordinator.measure(ctx));
        ctx.run_later(FIRST_PRUNE, |coordinator, ctx| coordinator.prune(ctx));
        ctx.run_interval(PRUNE, |coordinator, ctx| coordinator.prune(ctx));
        ctx.run_interval(FORGET_LOST, |coordinator, _| coordinator.forget_lost());
    }

    fn store_starts(&mut self, ctx: &mut Context<Self>) {
        let before_ms = clock::now_ms() - STORE_STARTS.as_millis() as i64;
        let running: Vec<JobId> =
            self.nodes.values().flat_map(|node| node.link.given()).map(|attempt| attempt.job).collect();
        for job in running {
            let Some(live) = self.live.get_mut(&job).filter(|live| !live.ending && !live.start_stored) else {
                continue;
            };
            if let JobState::Running(lease) = &live.state
                && lease.started_at_ms.is_some_and(|at| at < before_ms)
            {
                live.start_stored = true;
                let (epoch, state) = (live.state.epoch(), live.state.clone());
                self.push(StoreOp::Update { job, epoch, state, attempt: None }, Then::Tell(None));
            }
        }
        self.flush(ctx);
    }

    fn measure(&mut self, ctx: &mut Context<Self>) {
        let totals = self.setup.store.totals();
        ctx.spawn(totals.into_actor(self).map(|totals, coordinator, _| {
            // A store that does not answer says so at its next commit; until then the last measurement stands.
            if let Ok(totals) = totals {
                let meter = &coordinator.setup.meter;
                meter.store_size_bytes.set(totals.size_bytes);
                meter.retained_bytes.set(totals.retained_bytes);
                meter.retained_jobs.set(totals.finished);
            }
        }));
    }
}

impl Handler<Shutdown> for Coordinator {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) -> Self::Result {
        self.draining = true;
        self.guard.disarm();
        self.waiters.clear();
        self.flush(ctx);
        let idle = self.when_idle();
        let store = std::sync::Arc::clone(&self.setup.store);
        let closed = async move {
            // The queue answers when it is empty; if it is gone, so is everything in it.
            let _ = idle.await;
            if let Err(error) = store.close().await {
                log::error!("the store did not close cleanly: {error}");
            }
        };
        Box::pin(closed.into_actor(self).map(|(), _, _| ()))
    }
}
