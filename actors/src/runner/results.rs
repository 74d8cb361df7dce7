//! Results of a node that is elsewhere: on its disk before they are told, off it once they have their verdict. A disk
//! that fails holds no result back. It refuses to know how they are stored.

use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, WrapFuture, fut};

use super::Runner;
use super::bond::{Bond, Retry};
use crate::clock;
use crate::link::{NodeLink, ReportReply};
use crate::model::{AttemptId, AttemptResult, Term};
use crate::protocol::runner::{BeginReporting, Occupied, Registration};
use crate::spool::results::{Joined, ResultLogError};

/// Least time between two warnings that results are not kept.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);

impl Runner {
    /// Lets the link have results when they are on disk, so that a slot is free and a result is told only then, or when
    /// the disk has failed.
    pub(super) fn keep(&mut self, now: u64, results: Vec<AttemptResult>, ctx: &mut Context<Self>) {
        // What was given by the coordinator beside this Runner is kept in its records.
        let (far, near): (Vec<_>, Vec<_>) =
            results.into_iter().partition(|result| self.is_of_far(result.attempt));
        self.settle(now, near, ctx);
        let log = self.setup.results.as_ref().filter(|_| !far.is_empty());
        let Some(log) = log else {
            return self.settle(now, far, ctx);
        };
        let results = Arc::new(far);
        let stored = log.append(Arc::clone(&results));
        ctx.spawn(stored.into_actor(self).map(move |stored, runner, ctx| {
            match stored.unwrap_or(Err(ResultLogError::Closed)) {
                Ok(()) => results.iter().for_each(|result| runner.setup.executor.recorded(result.attempt)),
                Err(error) => {
                    runner.setup.meter.results_unkept.add(results.len() as u64);
                    runner.warn_unkept(&error);
                }
            }
            let results = Arc::try_unwrap(results).unwrap_or_else(|shared| (*shared).clone());
            runner.settle(now, results, ctx);
            runner.share_slots(ctx);
            runner.tell(ctx);
        }));
    }

    /// Results that came before anybody knew whose they were: now they can be kept.
    fn keep_inherited(&mut self, results: Vec<AttemptResult>, ctx: &mut Context<Self>) {
        let Some(log) = self.setup.results.as_ref().filter(|_| !results.is_empty()) else { return };
        let results = Arc::new(results);
        let stored = log.append(Arc::clone(&results));
        ctx.spawn(stored.into_actor(self).map(move |stored, runner, _| {
            match stored.unwrap_or(Err(ResultLogError::Closed)) {
                Ok(()) => results.iter().for_each(|result| runner.setup.executor.recorded(result.attempt)),
                Err(error) => runner.warn_unkept(&error),
            }
        }));
    }

    fn is_of_far(&mut self, attempt: AttemptId) -> bool {
        self.heritage.holds(attempt) || self.bonds.holder(attempt).is_some_and(|bond| bond.tie.is_far())
    }

    fn settle(&mut self, now: u64, results: Vec<AttemptResult>, ctx: &mut Context<Self>) {
        for result in results {
            if let Some(bond) = self.bonds.holder(result.attempt) {
                let effects = bond.link.on_finished(now, result);
                self.perform(effects, ctx);
            } else {
                self.heritage.end(result);
            }
        }
    }

    /// These have their verdict.
    pub(super) fn judged(&self, reply: &ReportReply) {
        if let Some(log) = &self.setup.results {
            log.judged(reply.verdicts.iter().map(|(attempt, _)| *attempt).collect());
        }
    }

    /// A command of this term was obeyed.
    pub(super) fn see_term(&self, term: Term) {
        if let Some(log) = &self.setup.results {
            log.see_term(term);
        }
    }

    /// Slots that can be used: none while the node drains, or while results find no room on the disk.
    pub(super) fn usable_slots(&self) -> u32 {
        let is_full = self.setup.results.as_ref().is_some_and(|log| log.is_full());
        let usable = self.setup.executor.usable_slots().saturating_sub(self.heritage.taken());
        if is_full || self.draining { 0 } else { usable }
    }

    fn warn_unkept(&mut self, error: &ResultLogError) {
        if self.warned.is_none_or(|warned| warned.elapsed() >= BETWEEN_WARNINGS) {
            self.warned = Some(clock::moment());
            log::warn!(
                "results are told without being on this node's disk, and a crash would lose them: {error}"
            );
        }
    }

    fn begin(&mut self, message: BeginReporting, found: Vec<AttemptResult>, ctx: &mut Context<Self>) {
        let BeginReporting { registration, report, heartbeat_ms, tie, fence } = message;
        self.move_fence(fence, clock::boottime_ms());
        let Registration { cluster, incarnation, term } = registration;
        match self.bonds.of(cluster) {
            Some(bond) => {
                bond.link.rejoin(incarnation, term);
                (bond.report, bond.tie, bond.in_flight) = (report, tie, 0);
                bond.retry = Retry::default();
                (bond.heartbeat_ms, bond.fence) = (heartbeat_ms, fence);
            }
            None => {
                let now = self.now();
                let link = NodeLink::new(cluster, self.setup.node, incarnation, term, 0);
                let (running, ended) = self.heritage.take(cluster);
                self.keep_inherited(ended.clone(), ctx);
                let link = link.with_running(running).with_results(now, found).with_results(now, ended);
                self.bonds.add(Bond {
                    cluster,
                    link,
                    report,
                    heartbeat_ms,
                    tie,
                    fence,
                    in_flight: 0,
                    retry: Retry::default(),
                });
            }
        }
        self.share_slots(ctx);
        self.report(cluster, ctx);
        self.heartbeat(cluster, incarnation, ctx);
    }
}

impl Handler<BeginReporting> for Runner {
    type Result = ResponseActFuture<Self, Result<(), Occupied>>;

    fn handle(&mut self, message: BeginReporting, ctx: &mut Context<Self>) -> Self::Result {
        let registration = message.registration;
        if message.tie.is_far() {
            let cluster = registration.cluster;
            let other = self.heritage.occupied_by_other(cluster).map(Occupied);
            let occupied = other.or_else(|| self.bonds.make_way(cluster, message.tie).err());
            if let Some(occupied) = occupied {
                return Box::pin(fut::ready(Err(occupied)));
            }
        }
        let Some(log) = self.setup.results.as_ref().filter(|_| message.tie.is_far()) else {
            self.begin(message, Vec::new(), ctx);
            return Box::pin(fut::ready(Ok(())));
        };
        let joined = log.join(registration.cluster, registration.term);
        Box::pin(joined.into_actor(self).map(move |joined, runner, ctx| {
            let joined = joined.unwrap_or(Err(ResultLogError::Closed)).unwrap_or_else(|error| {
                runner.warn_unkept(&error);
                Joined { results: Vec::new(), term: registration.term }
            });
            if joined.term > registration.term {
                log::error!(
                    "the coordinator's term {} is lower than {}, which this node has obeyed: unless an older records' \
                     backup was restored it is a coordinator that was replaced, and its commands are refused",
                    registration.term, joined.term
                );
            }
            let registration = Registration { term: joined.term, ..registration };
            runner.begin(BeginReporting { registration, ..message }, joined.results, ctx);
            Ok(())
        }))
    }
}
