//! When a Runner reports and to whom, and what comes of it: news at once, a sign of life otherwise, and again what was not
//! taken. It refuses to know what a report says.

use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::Runner;
use crate::clock;
use crate::model::{ClusterId, Incarnation};
use crate::protocol::runner::{FenceTimes, RunnerReport};

impl Runner {
    /// Reports to whom there is news for.
    pub(super) fn tell(&mut self, ctx: &mut Context<Self>) {
        for cluster in self.bonds.clusters() {
            let bond = self.bonds.of(cluster);
            if bond.is_some_and(|bond| bond.link.has_news() && bond.may_report()) {
                self.report(cluster, ctx);
            }
        }
        // What is on the disk is told after the next start: nobody who is away is waited for beyond the grace.
        let is_kept = self.setup.results.is_some() && self.is_overdue && self.bonds.live().is_empty();
        let is_told = self.bonds.are_empty();
        if self.heritage.taken() == 0 && (is_told || is_kept) {
            // Whoever asked for the drain may be gone.
            self.drained.drain(..).for_each(|waiter| _ = waiter.send(is_told));
        }
    }

    pub(super) fn report(&mut self, cluster: ClusterId, ctx: &mut Context<Self>) {
        let now = self.now();
        let Some(bond) = self.bonds.of(cluster) else { return };
        bond.in_flight += 1;
        let life = bond.link.incarnation();
        let sent_at = clock::boottime_ms();
        let sent = bond.report.send(RunnerReport { report: bond.link.report(now) });
        ctx.spawn(sent.into_actor(self).map(move |answer, runner, ctx| {
            let Some(bond) = runner.bonds.of(cluster).filter(|bond| bond.is_life(life)) else { return };
            bond.in_flight = bond.in_flight.saturating_sub(1);
            match answer {
                Ok(Ok(reply)) => {
                    bond.retry.reset();
                    let (is_far, fence) = (bond.tie.is_far(), bond.fence);
                    let effects = bond.link.on_reply(&reply);
                    runner.move_fence(fence, sent_at);
                    runner.perform(effects, ctx);
                    if is_far {
                        runner.judged(&reply);
                    }
                    runner.tell(ctx);
                }
                Ok(Err(refusal)) => {
                    if bond.retry.is_news(refusal) {
                        log::warn!("a report was not taken: {refusal}; it is told again until it is");
                    }
                    runner.report_later(cluster, ctx);
                }
                Err(_) => runner.report_later(cluster, ctx),
            }
        }));
    }

    /// Its coordinator was there when this was sent.
    pub(super) fn move_fence(&mut self, fence: Option<FenceTimes>, sent_at: u64) {
        if let Some(FenceTimes { after_ms, .. }) = fence {
            self.setup.executor.fence_at(sent_at.saturating_add(after_ms));
        }
    }

    pub(super) fn report_later(&mut self, cluster: ClusterId, ctx: &mut Context<Self>) {
        let Some(bond) = self.bonds.of(cluster) else { return };
        bond.link.on_report_failed();
        let Some(pause_ms) = bond.retry.wait() else { return };
        let life = bond.link.incarnation();
        ctx.run_later(Duration::from_millis(pause_ms), move |runner, ctx| {
            if let Some(bond) = runner.bonds.of(cluster).filter(|bond| bond.is_life(life)) {
                bond.retry.wake();
                runner.tell(ctx);
            }
        });
    }

    /// A sign of life, and the next one, for as long as this life lasts. A report that is under way is sign enough.
    pub(super) fn heartbeat(&mut self, cluster: ClusterId, life: Incarnation, ctx: &mut Context<Self>) {
        let Some(bond) = self.bonds.of(cluster).filter(|bond| bond.is_life(life)) else { return };
        let pause = Duration::from_millis(bond.heartbeat_ms);
        ctx.run_later(pause, move |runner, ctx| {
            let bond = runner.bonds.of(cluster).filter(|bond| bond.is_life(life));
            if bond.is_some_and(|bond| bond.may_report()) {
                // A disk may have room again, or none.
                runner.share_slots(ctx);
                runner.report(cluster, ctx);
            }
            runner.heartbeat(cluster, life, ctx);
        });
    }
}
