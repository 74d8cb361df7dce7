//! Results of a node that is elsewhere: on its disk before they are told, off it once they have their verdict. A disk
//! that fails holds no result back. It refuses to know how they are stored.

use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, WrapFuture, fut};

use super::Runner;
use crate::clock;
use crate::link::{NodeLink, ReportReply};
use crate::model::{AttemptResult, Term};
use crate::protocol::runner::{BeginReporting, Registration};
use crate::spool::results::{Joined, ResultLogError};

/// Least time between two warnings that results are not kept.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);

impl Runner {
    /// Lets the link have results when they are on disk, so that a slot is free and a result is told only then, or when
    /// the disk has failed.
    pub(super) fn keep(&mut self, now: u64, results: Vec<AttemptResult>, ctx: &mut Context<Self>) {
        let log = self.setup.results.as_ref().filter(|_| !results.is_empty());
        let Some(log) = log else {
            return self.settle(now, results, ctx);
        };
        let results = Arc::new(results);
        let stored = log.append(Arc::clone(&results));
        ctx.spawn(stored.into_actor(self).map(move |stored, runner, ctx| {
            if let Err(error) = stored.unwrap_or(Err(ResultLogError::Closed)) {
                runner.setup.meter.results_unkept.add(results.len() as u64);
                runner.warn_unkept(&error);
            }
            let results = Arc::try_unwrap(results).unwrap_or_else(|shared| (*shared).clone());
            runner.settle(now, results, ctx);
            runner.tell(ctx);
        }));
    }

    fn settle(&mut self, now: u64, results: Vec<AttemptResult>, ctx: &mut Context<Self>) {
        for result in results {
            if let Some(link) = &mut self.link {
                let effects = link.on_finished(now, result);
                self.perform(effects, ctx);
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

    /// Slots that can be used: none while results find no room on the disk.
    pub(super) fn usable_slots(&self) -> u32 {
        let is_full = self.setup.results.as_ref().is_some_and(|log| log.is_full());
        if is_full { 0 } else { self.setup.executor.usable_slots() }
    }

    fn warn_unkept(&mut self, error: &ResultLogError) {
        if self.warned.is_none_or(|warned| warned.elapsed() >= BETWEEN_WARNINGS) {
            self.warned = Some(clock::moment());
            log::warn!(
                "results are told without being on this node's disk, and a crash would lose them: {error}"
            );
        }
    }

    fn begin(&mut self, registration: Registration, found: Vec<AttemptResult>, ctx: &mut Context<Self>) {
        let Registration { cluster, incarnation, term } = registration;
        self.cluster = Some(cluster);
        match &mut self.link {
            Some(link) => link.rejoin(incarnation, term),
            None => {
                let (now, slots) = (self.now(), self.usable_slots());
                let link = NodeLink::new(cluster, self.setup.node, incarnation, term, slots);
                self.link = Some(link.with_results(now, found));
            }
        }
        self.report(ctx);
    }
}

impl Handler<BeginReporting> for Runner {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, message: BeginReporting, ctx: &mut Context<Self>) -> Self::Result {
        let registration = message.registration;
        if let Some(ours) = self.cluster.filter(|ours| *ours != registration.cluster) {
            log::error!(
                "this node belongs to cluster {ours} and not to {}: restart it to give it to that one",
                registration.cluster
            );
            return Box::pin(fut::ready(()));
        }
        let Some(log) = &self.setup.results else {
            self.begin(registration, Vec::new(), ctx);
            return Box::pin(fut::ready(()));
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
            runner.begin(Registration { term: joined.term, ..registration }, joined.results, ctx);
        }))
    }
}
