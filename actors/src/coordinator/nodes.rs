//! The Coordinator and its nodes: leases, assignments, reports and losses. What a report means is decided in `link`,
//! what it does to a job in `transition`; here the two are carried out.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
use tokio::sync::oneshot;

use super::Coordinator;
use super::commit::Then;
use super::live::LiveJob;
use super::losses::LOST;
use crate::clock;
use crate::link::{Assignment, CancelOrder};
use crate::model::{
    AttemptId, AttemptRecord, ClassId, Incarnation, JobEvent, JobId, JobState, Moved, NodeId, OnLost,
    footprint, transition,
};
use crate::policy::breaker;
use crate::protocol::NodeError;
use crate::protocol::notices::{JobChange, JobChangeKind};
use crate::protocol::runner::{AssignAttempts, CancelAttempt, RegisterError, RegisterRunner, Registration};
use crate::protocol::scheduling::{DoubtNode, EnqueueJobs, ReleaseSlot, StartJobs, WithdrawJobs};
use crate::store::StoreOp;

pub(super) use super::Node;

/// Most that the specs of one command weigh together, in bytes: written down they may be six times as long.
const MAX_ASSIGNED_BYTES: u64 = 4 << 20;

/// A question to the Scheduler, asked after a commit.
pub(super) enum Ask {
    /// These wait again, before all others.
    Requeue { jobs: Vec<JobId> },
    /// Slots are free.
    Release { node: NodeId, incarnation: Incarnation, count: u32 },
}

impl Coordinator {
    /// Commits or refuses each proposal.
    fn start_jobs(&mut self, proposals: StartJobs, ctx: &mut Context<Self>) {
        let mut refused: HashMap<(NodeId, Incarnation), u32> = HashMap::new();
        let (mut still_waiting, mut unfit) = (Vec::new(), BTreeSet::new());
        for placement in proposals.placements {
            let (job, node, incarnation) = (placement.job, placement.node, placement.incarnation);
            let fit = |node: &&Node| node.link.incarnation() == incarnation && node.link.is_ready();
            let found = self.nodes.get(&node).filter(fit);
            if found.is_none() {
                unfit.insert((node, incarnation));
            }
            let ready = found.is_some_and(|node| node.eligibility.is_eligible());
            let event = JobEvent::Leased { node, incarnation };
            let waits = |live: &&LiveJob| !live.ending && matches!(live.state, JobState::Queued(_));
            let waiting = self.live.get(&job).filter(waits).map(|live| live.state.epoch());
            let (Some(from), true) = (waiting, ready) else {
                *refused.entry((node, incarnation)).or_default() += 1;
                still_waiting.extend(waiting.map(|_| job));
                continue;
            };
            if self.apply(job, event) == Applied::Changed {
                let want_spec = !self.specs.has(job);
                let op = StoreOp::Lease { job, from, node, incarnation, want_spec };
                self.push(op, Then::Leased { job, node, incarnation });
            }
        }
        let asks =
            refused.into_iter().map(|((node, incarnation), count)| Ask::Release { node, incarnation, count });
        // The Scheduler must know why before it proposes again, or it would propose the same.
        unfit.into_iter().for_each(|(node, incarnation)| self.doubt_life(node, incarnation));
        let again = (!still_waiting.is_empty()).then_some(Ask::Requeue { jobs: still_waiting });
        self.ask_scheduler(asks.chain(again).collect(), ctx);
        self.flush(ctx);
    }

    /// Moves a live job: in memory at once, or, when this is its end, by a terminal record on its way to the disk.
    pub(super) fn apply(&mut self, job: JobId, event: JobEvent) -> Applied {
        let Some(live) = self.live.get_mut(&job).filter(|live| !live.ending) else {
            return Applied::Nothing;
        };
        match transition(&live.state, event, clock::now_ms()) {
            Ok(Moved::To(JobState::Ended(outcome))) => {
                let from = live.state.status();
                live.ending = true;
                let (epoch, outcome) = (live.state.epoch(), Arc::new(*outcome));
                let op = StoreOp::Finish { job, epoch, outcome: Arc::clone(&outcome) };
                self.push(op, Then::Finished { job, outcome, from, ticket: None });
                Applied::Ending
            }
            Ok(Moved::To(state)) => {
                live.state = state;
                Applied::Changed
            }
            Ok(Moved::Unchanged) => Applied::Nothing,
            Err(illegal) => {
                log::error!(job:% = job; "{illegal}");
                Applied::Nothing
            }
        }
    }

    /// Sends what was leased to its nodes, one message a node.
    pub(super) fn send_assignments(&mut self, attempts: Vec<AttemptId>, ctx: &mut Context<Self>) {
        let mut by_node: HashMap<NodeId, Vec<Assignment>> = HashMap::new();
        for attempt in attempts {
            let lease = self.live.get(&attempt.job).and_then(|live| live.state.lease());
            let lease = lease.filter(|lease| lease.cancel.is_none() && lease.tally.epoch == attempt.epoch);
            if let (Some(lease), Some(spec)) = (lease, self.specs.get(attempt.job)) {
                let assignment =
                    Assignment { attempt, spec: Arc::clone(spec), started_before: lease.tally.started };
                by_node.entry(lease.node).or_default().push(assignment);
            }
        }
        let batches =
            by_node.into_iter().flat_map(|(id, all)| cut(all).into_iter().map(move |part| (id, part)));
        for (id, assignments) in batches.collect::<Vec<_>>() {
            let Some(node) = self.nodes.get_mut(&id) else {
                continue;
            };
            let count = assignments.len() as u64;
            self.setup.meter.attempts_assigned.add(count);
            let attempts: Vec<AttemptId> = assignments.iter().map(|assignment| assignment.attempt).collect();
            let command = node.link.assign(assignments);
            let sent = node.handle.assign.send(AssignAttempts { command });
            let began = clock::moment();
            ctx.spawn(sent.into_actor(self).map(move |answer, coordinator, ctx| match answer {
                Ok(Ok(())) => {
                    let took_us = began.elapsed_us();
                    for attempt in attempts {
                        let what = JobChangeKind::Dispatched { took_us };
                        coordinator.push_after(Then::Tell(Some(JobChange { id: attempt.job, what })));
                    }
                    coordinator.flush(ctx);
                }
                Ok(Err(error @ NodeError::Unavailable { maybe_applied: false })) => {
                    coordinator.distrust(id, &error);
                    coordinator.take_back(id, attempts, ctx);
                }
                // Its next whole inventory tells whether it took them.
                Ok(Err(error)) => coordinator.distrust(id, &error),
                Err(error) => coordinator.distrust(id, &error),
            }));
        }
    }

    /// These were never handed to the node: they wait again, for any.
    fn take_back(&mut self, id: NodeId, attempts: Vec<AttemptId>, ctx: &mut Context<Self>) {
        let (mut jobs, mut released) = (Vec::new(), HashMap::new());
        for attempt in attempts {
            let Some(node) = self.nodes.get_mut(&id).filter(|node| node.link.holds(attempt)) else {
                continue;
            };
            node.link.settle(attempt);
            if node.announced {
                // Whoever is announced later is with the slots that it has then.
                *released.entry(node.link.incarnation()).or_default() += 1;
            }
            jobs.extend(self.give_back(attempt, "the runner did not come for it".into()));
        }
        let release = |(incarnation, count)| Ask::Release { node: id, incarnation, count };
        let asks = released.into_iter().map(release);
        self.ask_scheduler(asks.chain((!jobs.is_empty()).then_some(Ask::Requeue { jobs })).collect(), ctx);
        self.flush(ctx);
    }

    /// Tells the node that holds the job to end it, as its standing wish says.
    pub(super) fn send_cancel(&mut self, job: JobId, ctx: &mut Context<Self>) {
        let Some(lease) = self.live.get(&job).and_then(|live| live.state.lease()) else {
            return;
        };
        let Some(wish) = &lease.cancel else { return };
        let order = CancelOrder { attempt: AttemptId::new(job, lease.tally.epoch), grace_ms: wish.grace_ms };
        let id = lease.node;
        self.order_cancels(id, vec![order], ctx);
    }

    /// Something that was told to the node may not have reached it: its whole inventory decides.
    fn distrust(&mut self, id: NodeId, error: &dyn std::fmt::Display) {
        log::warn!(node:% = id; "a command had no answer: {error}");
        if let Some(node) = self.nodes.get_mut(&id) {
            node.link.distrust();
        }
        self.tell_drain_again(id);
        self.doubt(id);
    }

    /// Nothing is to be proposed for the node until its next inventory.
    pub(super) fn doubt(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if node.announced && !std::mem::replace(&mut node.doubted, true) {
            let incarnation = node.link.incarnation();
            self.doubt_life(id, incarnation);
        }
    }

    fn doubt_life(&self, node: NodeId, incarnation: Incarnation) {
        // Bounded: one between two inventories of a node, and one per node of proposals that came too late.
        self.peers.doubt.do_send(DoubtNode { node, incarnation });
    }

    pub(super) fn order_cancels(&mut self, id: NodeId, orders: Vec<CancelOrder>, ctx: &mut Context<Self>) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let command = node.link.cancel(orders);
        let sent = node.handle.cancel.send(CancelAttempt { command });
        ctx.spawn(sent.into_actor(self).map(move |answer, coordinator, _| match answer {
            Ok(Ok(())) => {}
            // The wish stands in the records: it is told again when the node's inventory has been read.
            Ok(Err(error)) => coordinator.distrust(id, &error),
            Err(error) => coordinator.distrust(id, &error),
        }));
    }

    /// Where a live job stands.
    pub(super) fn state_of(&self, job: JobId) -> Option<JobState> {
        self.live.get(&job).map(|live| live.state.clone())
    }

    /// A job that waited does so no more.
    pub(super) fn withdraw_live(&self, job: JobId) {
        self.withdraw(self.live.get(&job).map(|live| (job, live.class)).into_iter().collect());
    }

    pub(super) fn withdraw(&self, jobs: Vec<(JobId, ClassId)>) {
        if !jobs.is_empty() {
            // Bounded: one per cancel or failed submit, and those are bounded by permits.
            self.peers.withdraw.do_send(WithdrawJobs { jobs });
        }
    }

    pub(super) fn release_slots(&self, node: NodeId, incarnation: Incarnation, count: u32) {
        // Bounded: one per failed commit.
        self.peers.release.do_send(ReleaseSlot { node, incarnation, count });
    }

    /// Asks the Scheduler, and commits when it has answered.
    pub(super) fn ask_scheduler(&mut self, asks: Vec<Ask>, ctx: &mut Context<Self>) {
        for ask in asks {
            match ask {
                Ask::Requeue { jobs } => {
                    let jobs = jobs.into_iter().filter_map(|job| self.live.waiting(job)).collect();
                    let asked = self.peers.enqueue.send(EnqueueJobs { jobs, at_front: true });
                    self.flush_after(asked, ctx);
                }
                Ask::Release { node, incarnation, count } => {
                    let asked = self.peers.release.send(ReleaseSlot { node, incarnation, count });
                    self.flush_after(asked, ctx);
                }
            }
        }
    }

    /// The attempt is gone: the job waits again, or ends.
    pub(super) fn lose(&mut self, attempt: AttemptId, why: String) -> Option<JobId> {
        let spec = self.specs.get(attempt.job);
        let on_lost = spec.map_or(OnLost::Never, |spec| spec.on_lost);
        let node = self.live.get(&attempt.job)?.state.lease()?.node;
        let nodes = self.losses.count_with(attempt.job, node);
        let (epoch, max_lost) = (attempt.epoch, self.setup.limits.max_lost);
        let event = match on_lost {
            OnLost::Requeue if breaker::is_poison(nodes) => {
                JobEvent::Poisoned { epoch, nodes, why: why.clone() }
            }
            on_lost => JobEvent::Lost { epoch, on_lost, max_lost, why: why.clone() },
        };
        log::warn!(attempt:% = attempt, why = why.as_str(); "an attempt was lost");
        let requeued = self.put_back(attempt, event, LOST, why)?;
        self.losses.note(requeued, node);
        Some(requeued)
    }

    /// The attempt came back unstarted: the job waits again, or ends if someone wants it cancelled.
    pub(super) fn give_back(&mut self, attempt: AttemptId, why: String) -> Option<JobId> {
        self.put_back(attempt, JobEvent::Returned { epoch: attempt.epoch }, "returned", why)
    }

    pub(super) fn put_back(
        &mut self,
        attempt: AttemptId,
        event: JobEvent,
        fate: &str,
        why: String,
    ) -> Option<JobId> {
        let AttemptId { job, epoch } = attempt;
        let before = self.live.get(&job)?;
        let node = before.state.lease()?.node;
        // One that was given up unheard may never have been told to run.
        let was_running = before.state.lease().is_some_and(|lease| lease.started_at_ms.is_some());
        let at_ms = clock::now_ms();
        let record = AttemptRecord { epoch, node, fate: fate.into(), why, at_ms };
        let applied = self.apply(job, event);
        if applied == Applied::Nothing {
            // Old news, or its end is on the way to the disk: the history has nothing to tell of it.
            return None;
        }
        if let Some(live) = self.live.get_mut(&job) {
            live.has_history = true;
            live.start_stored = false;
        }
        let (Applied::Changed, Some(state)) = (applied, self.state_of(job)) else {
            // It ended with this.
            let ticketless = StoreOp::NoteAttempt { job, attempt: record };
            self.push(ticketless, Then::Tell(None));
            return None;
        };
        self.specs.unhold(job);
        let change = JobChange { id: job, what: JobChangeKind::Requeued { was_running } };
        self.push(StoreOp::Update { job, epoch, state, attempt: Some(record) }, Then::Tell(Some(change)));
        Some(job)
    }
}

/// What an event did to a live job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// It stands elsewhere now.
    Changed,
    /// It ends: the record is on its way.
    Ending,
    /// It was old news, or not a legal move.
    Nothing,
}

/// Assignments in batches none of which is heavy, but for single ones that are.
fn cut(assignments: Vec<Assignment>) -> Vec<Vec<Assignment>> {
    let mut batches: Vec<Vec<Assignment>> = Vec::new();
    let mut bytes = u64::MAX;
    for assignment in assignments {
        let weight = footprint::of_spec(&assignment.spec);
        bytes = bytes.saturating_add(weight);
        match batches.last_mut() {
            Some(batch) if bytes <= MAX_ASSIGNED_BYTES => batch.push(assignment),
            _ => {
                bytes = weight;
                batches.push(vec![assignment]);
            }
        }
    }
    batches
}

impl Handler<StartJobs> for Coordinator {
    type Result = ();

    fn handle(&mut self, message: StartJobs, ctx: &mut Context<Self>) {
        self.start_jobs(message, ctx);
    }
}

impl Handler<RegisterRunner> for Coordinator {
    type Result = ResponseFuture<Result<Registration, RegisterError>>;

    fn handle(&mut self, message: RegisterRunner, ctx: &mut Context<Self>) -> Self::Result {
        if self.draining {
            return Box::pin(async { Err(RegisterError::Stopping) });
        }
        let (reply, answer) = oneshot::channel();
        let op = StoreOp::RegisterNode { node: message.handle.id };
        let RegisterRunner { handle, spec } = message;
        self.push(op, Then::Registered { handle: Box::new(handle), spec, reply });
        self.flush(ctx);
        Box::pin(async { answer.await.unwrap_or(Err(RegisterError::Stopping)) })
    }
}
