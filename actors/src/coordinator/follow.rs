//! What is said once a change is on disk, entry by entry, in the order of the changes.

use std::rc::Rc;
use std::sync::Arc;

use super::Coordinator;
use super::commit::{ReportTicket, Round, SubmitTicket, Then};
use super::live::LiveJob;
use super::nodes::{Ask, Node};
use super::operate::{Conduct, drain_order};
use crate::clock;
use crate::link::{CoordinatorLink, Verdict};
use crate::model::{
    AttemptId, Eligibility, Incarnation, JobId, JobRecord, JobState, JobView, NodeId, Outcome, RunnerSpec,
    Status, Tenant,
};
use crate::protocol::jobs::Accepted;
use crate::protocol::notices::{JobChange, JobChangeKind};
use crate::protocol::runner::{RegisterError, Registration};
use crate::protocol::{DeleteError, LookupError, RunnerHandle, SubmitError};
use crate::store::OpResult;

impl Coordinator {
    /// Does what follows one durable entry.
    pub(super) fn follow(&mut self, then: Then, result: OpResult, round: &mut Round) {
        match then {
            Then::Tell(change) => round.changes.extend(change),
            Then::Submitted { ticket, index, job, spec, created_at_ms, tenant } => {
                let (id, retry_of, attempts) = (job, None, Vec::new());
                let state = self.live.get(&job).map_or_else(JobState::new, |live| live.state.clone());
                let record = JobRecord { id, spec, created_at_ms, tenant, retry_of, state, attempts };
                self.submitted(&ticket, index, record, result, round);
            }
            Then::Leased { job, node, incarnation } => self.leased(job, node, incarnation, result, round),
            Then::Finished { job, outcome, from, ticket } => {
                self.finished(job, outcome, from, ticket.as_deref(), &result, round);
            }
            Then::Wished { job, reply } => {
                round.wishes.push(job);
                // A client that is gone needs no answer.
                let _ = reply.send(());
            }
            Then::Barrier { reply } => drop(reply.send(())),
            Then::Noted { attempt, verdict, ticket } => {
                let known = result != OpResult::NotFound;
                ticket.judge(attempt, if known { verdict } else { Verdict::Unknown });
            }
            Then::Answer { ticket } => self.answer(&ticket),
            Then::Deleted { job, reply } => {
                let deleted = result == OpResult::Done;
                if deleted {
                    self.forget_output(vec![job]);
                    round.changes.push(JobChange { id: job, what: JobChangeKind::Deleted });
                }
                let missing = DeleteError::Lookup(LookupError::NotFound);
                drop(reply.send(if deleted { Ok(()) } else { Err(missing) }));
            }
            Then::Pruned => self.pruned(result, round),
            Then::Forgotten { reply } => self.forgotten_as_asked(result, reply, round),
            Then::Marked { node, eligibility, reply } => {
                self.marked(node, eligibility, &result, reply);
                round.restate.push(node);
            }
            Then::Removed { node, reply } => self.removed(node, reply),
            Then::Registered { handle, spec, reply } => {
                drop(reply.send(self.registered(*handle, spec, &result)));
            }
        }
    }

    fn submitted(
        &mut self,
        ticket: &Rc<SubmitTicket>,
        index: usize,
        record: JobRecord,
        result: OpResult,
        round: &mut Round,
    ) {
        let job = record.id;
        let refusal = match result {
            OpResult::Done => {
                round.changes.push(JobChange { id: job, what: JobChangeKind::Accepted });
                let waiting = self.presumed_reason(&record.state);
                let view = JobView { waiting, runner: self.runner_of(&record.state), record };
                return ticket.fill(index, Ok(Accepted { view, replayed: false }));
            }
            OpResult::Duplicate(earlier) => {
                self.unsubmit(job);
                return self.answer_from_store(ticket, index, earlier);
            }
            OpResult::KeyConflict => SubmitError::KeyReused,
            other => SubmitError::Store(format!("the store answered a submit with {other:?}")),
        };
        self.unsubmit(job);
        ticket.fill(index, Err(refusal));
    }

    /// A submit that made no job after all leaves the queue. If it was leased already, its lease finds no record, and
    /// what follows the lease gives the slot back.
    fn unsubmit(&mut self, job: JobId) {
        self.specs.forget(job);
        let waited = self.live.remove(&job).filter(|live| matches!(live.state, JobState::Queued(_)));
        self.withdraw(waited.into_iter().map(|live| (job, live.class)).collect());
    }

    /// A replayed submit is answered with the job that its key brought first.
    fn answer_from_store(&self, ticket: &Rc<SubmitTicket>, index: usize, job: JobId) {
        let found = self.setup.store.get(job);
        let ticket = Rc::clone(ticket);
        actix::spawn(async move {
            ticket.fill(
                index,
                match found.await {
                    Ok(Some(record)) => {
                        let view = JobView { waiting: None, runner: None, record };
                        Ok(Accepted { view, replayed: true })
                    }
                    Ok(None) => Err(SubmitError::Forgotten(job)),
                    Err(error) => Err(SubmitError::Store(error.to_string())),
                },
            );
        });
    }

    fn leased(
        &mut self,
        job: JobId,
        node: NodeId,
        incarnation: Incarnation,
        result: OpResult,
        round: &mut Round,
    ) {
        let OpResult::Leased(spec) = result else {
            // The submit in the same commit made no job, or its record is gone: only the slot is left to give back.
            round.asks.push(Ask::Release { node, incarnation, count: 1 });
            return;
        };
        self.specs.hold(job, spec);
        let Some(live) = self.live.get(&job) else { return };
        let (JobState::Leased(lease), false) = (&live.state, live.ending) else {
            return;
        };
        let attempt = AttemptId::new(job, lease.tally.epoch);
        let waited_ms = clock::now_ms().saturating_sub(live.created_at_ms).max(0) as u64;
        round.changes.push(JobChange { id: job, what: JobChangeKind::Leased { waited_ms } });
        let gone = self.nodes.get(&node).is_none_or(|node| node.link.incarnation() != incarnation);
        match (&lease.cancel, gone) {
            (None, false) => round.assignments.push(attempt),
            (None, true) => {
                let lost =
                    self.give_back(attempt, "its runner registered anew before it was assigned".into());
                round.asks.push(Ask::Requeue { jobs: lost.into_iter().collect() });
            }
            (Some(_), _) => {
                self.give_back(attempt, "cancelled before it was assigned".into());
                round.asks.push(Ask::Release { node, incarnation, count: 1 });
            }
        }
    }

    fn finished(
        &mut self,
        job: JobId,
        outcome: Arc<Outcome>,
        from: Status,
        ticket: Option<&ReportTicket>,
        result: &OpResult,
        round: &mut Round,
    ) {
        let attempt = AttemptId::new(job, outcome.epoch);
        // Whatever brought the end: the answer to a report, which settles what it judges, may not be what follows.
        self.nodes.values_mut().for_each(|node| node.link.settle(attempt));
        let recorded = *result == OpResult::Done;
        if let Some(ticket) = ticket {
            ticket.judge(attempt, if recorded { Verdict::Recorded } else { Verdict::AlreadyRecorded });
        }
        if !recorded {
            log::error!(job:% = job; "a terminal record was refused by the store as stale");
        }
        let Some(live) = self.live.remove(&job) else {
            return;
        };
        let spec = self.specs.get(job).cloned();
        self.specs.forget(job);
        self.losses.forget(job);
        round.changes.push(ended_notice(job, &outcome, from));
        self.answer_waiters(job, &live, spec, outcome);
    }

    fn answer_waiters(
        &mut self,
        job: JobId,
        live: &LiveJob,
        spec: Option<Arc<crate::model::JobSpec>>,
        outcome: Arc<Outcome>,
    ) {
        let Some(waiters) = self.waiters.remove(&job) else {
            return;
        };
        match spec {
            Some(spec) if !live.has_history => {
                let state = JobState::Ended(Box::new(Arc::unwrap_or_clone(outcome)));
                let (id, created_at_ms) = (job, live.created_at_ms);
                // Another tenant's has a history.
                let (tenant, retry_of, attempts) = (Tenant::DEFAULT, None, Vec::new());
                let record = JobRecord { id, spec, created_at_ms, tenant, retry_of, state, attempts };
                let runner = self.runner_of(&record.state);
                let view = Rc::new(JobView { waiting: None, runner, record });
                // A waiter that is gone needs no answer.
                waiters.into_iter().for_each(|waiter| drop(waiter.send(Rc::clone(&view))));
            }
            // A dropped sender makes the waiter look the job up.
            _ => drop(waiters),
        }
    }

    fn answer(&mut self, ticket: &ReportTicket) {
        let mut reply = ticket.reply.take();
        // The node may forget what is judged here, ended or not: no later command may give it again.
        reply.verdicts.iter().for_each(|(attempt, _)| {
            if let Some(node) = self.nodes.get_mut(&ticket.node) {
                node.link.settle(*attempt);
            }
        });
        if let Some(node) = self.nodes.get_mut(&ticket.node) {
            node.link.answered(reply.n);
        }
        reply.verdicts.shrink_to_fit();
        if let Some(sender) = ticket.sender.take() {
            // A node that is gone tells the same results to its next coordinator.
            let _ = sender.send(reply);
        }
    }

    fn registered(
        &mut self,
        handle: RunnerHandle,
        spec: Arc<RunnerSpec>,
        result: &OpResult,
    ) -> Result<Registration, RegisterError> {
        let OpResult::Registered { incarnation, eligibility } = result else {
            return Err(RegisterError::Store(format!("the store answered a registration with {result:?}")));
        };
        let id = handle.id;
        if let Eligibility::Removed(cordon) = eligibility {
            return Err(RegisterError::Removed { node: id, by: cordon.by.clone() });
        }
        // A proposal for its former life would come to nothing, again and again.
        self.doubt(id);
        handle.pulse.beat(clock::uptime_ms());
        let believed = self.live.iter().filter_map(|(job, live)| {
            let lease = live.state.lease().filter(|lease| lease.node == id && !live.ending)?;
            Some(AttemptId::new(*job, lease.tally.epoch))
        });
        let identity = self.identity;
        let mut link = CoordinatorLink::new(identity.cluster, id, *incarnation, identity.term, believed);
        link.set_drain(drain_order(eligibility));
        let eligibility = eligibility.clone();
        let conduct = Conduct::default();
        let (announced, doubted, left_ms) = (false, false, None);
        let node = Node { handle, spec, eligibility, link, announced, doubted, left_ms, conduct };
        self.nodes.insert(id, node);
        Ok(Registration { cluster: identity.cluster, incarnation: *incarnation, term: identity.term })
    }
}

fn ended_notice(job: JobId, outcome: &Outcome, from: Status) -> JobChange {
    let ran = outcome.exit.is_some();
    JobChange {
        id: job,
        what: JobChangeKind::Ended {
            reason: outcome.reason,
            from,
            runtime_ms: ran.then_some(outcome.usage.wall_us / 1000),
            usage: outcome.usage,
            output: [&outcome.stdout, &outcome.stderr]
                .map(|stream| (stream.summary.total_bytes, stream.summary.is_truncated())),
        },
    }
}
