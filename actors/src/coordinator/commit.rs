//! Commit before speech: changes are gathered while one commit is under way, then committed together, and only then
//! is told, in order, what they allow to be told. A commit that fails loses nothing but the submits in it, whose
//! clients are told so; everything else is tried again.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use tokio::sync::oneshot;

use super::Coordinator;
use super::operate::ChangeReply;
use crate::clock::{Moment, moment};
use crate::link::{ReportReply, Verdict};
use crate::model::{
    AttemptId, Eligibility, Incarnation, JobId, JobSpec, NodeId, Outcome, RunnerSpec, Status, Tenant,
};
use crate::policy::grouping;
use crate::protocol::jobs::SubmitResults;
use crate::protocol::notices::{JobChange, JobChanged};
use crate::protocol::runner::{RegisterError, Registration};
use crate::protocol::{ChangeRunnerError, DeleteError, RunnerHandle, SubmitError};
use crate::store::{OpResult, Pruned, StoreError, StoreOp};

/// How long after a failed commit it is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// How soon a full round of forgetting is followed by the next.
const PRUNE_AGAIN: Duration = Duration::from_millis(100);

/// What follows when an entry is durable.
pub(super) enum Then {
    /// Nothing but the notice, if there is one.
    Tell(Option<JobChange>),
    /// A submit: its line of the batch's answer.
    Submitted {
        ticket: Rc<SubmitTicket>,
        index: usize,
        job: JobId,
        spec: Arc<JobSpec>,
        created_at_ms: i64,
        tenant: Tenant,
    },
    /// A lease: the attempt goes to its node.
    Leased { job: JobId, node: NodeId, incarnation: Incarnation },
    /// A terminal record: the job leaves memory, its waiters are answered.
    Finished { job: JobId, outcome: Arc<Outcome>, from: Status, ticket: Option<Rc<ReportTicket>> },
    /// A standing wish to cancel: the node is told.
    Wished { job: JobId, reply: oneshot::Sender<()> },
    /// Everything before is durable: look again.
    Barrier { reply: oneshot::Sender<()> },
    /// An attempt that is history.
    Noted { attempt: AttemptId, verdict: Verdict, ticket: Rc<ReportTicket> },
    /// A report is answered.
    Answer { ticket: Rc<ReportTicket> },
    /// A finished job was forgotten.
    Deleted { job: JobId, reply: oneshot::Sender<Result<(), DeleteError>> },
    /// Finished jobs were forgotten by the clock.
    Pruned,
    /// Finished jobs were forgotten because somebody asked for it.
    Forgotten { reply: oneshot::Sender<Pruned> },
    /// A node is given work from now on, or none.
    Marked { node: NodeId, eligibility: Eligibility, reply: ChangeReply },
    /// A node is to be forgotten.
    Removed { node: NodeId, reply: oneshot::Sender<Result<Eligibility, ChangeRunnerError>> },
    /// A node has a new life.
    Registered {
        handle: Box<RunnerHandle>,
        spec: Arc<RunnerSpec>,
        reply: oneshot::Sender<Result<Registration, RegisterError>>,
    },
}

pub(super) struct Entry {
    pub op: Option<StoreOp>,
    pub then: Then,
}

/// Changes on their way to the disk.
#[derive(Default)]
pub(super) struct CommitQueue {
    pending: Vec<Entry>,
    under_way: bool,
    /// Answers of the Scheduler that are awaited: a lease that they bring may share the commit.
    holds: u32,
    /// When the last commit began.
    began: Option<Moment>,
    /// A timer will flush what is pending.
    gathering: bool,
    /// Whoever waits for the queue to be empty.
    idle: Vec<oneshot::Sender<()>>,
}

/// The answer to one submit message, gathered line by line.
pub(super) struct SubmitTicket {
    pub lines: RefCell<SubmitResults>,
    pub left: Cell<usize>,
    pub reply: Cell<Option<oneshot::Sender<SubmitResults>>>,
}

impl SubmitTicket {
    /// Fills a line; the last one sends the answer.
    pub fn fill(&self, index: usize, line: Result<crate::protocol::jobs::Accepted, SubmitError>) {
        self.lines.borrow_mut()[index] = line;
        self.left.set(self.left.get() - 1);
        self.send_when_full();
    }

    /// Sends the answer if no line is missing.
    pub fn send_when_full(&self) {
        if self.left.get() == 0
            && let Some(reply) = self.reply.take()
        {
            // A client that is gone needs no answer; its jobs stay accepted.
            let _ = reply.send(self.lines.take());
        }
    }
}

/// The answer to one report.
pub(super) struct ReportTicket {
    pub node: NodeId,
    pub reply: RefCell<ReportReply>,
    pub sender: Cell<Option<oneshot::Sender<ReportReply>>>,
}

impl ReportTicket {
    pub fn judge(&self, attempt: AttemptId, verdict: Verdict) {
        self.reply.borrow_mut().verdicts.push((attempt, verdict));
    }
}

impl Coordinator {
    /// Adds a change and what follows it.
    pub(super) fn push(&mut self, op: StoreOp, then: Then) {
        self.queue.pending.push(Entry { op: Some(op), then });
    }

    /// Adds what shall follow everything added before.
    pub(super) fn push_after(&mut self, then: Then) {
        self.queue.pending.push(Entry { op: None, then });
    }

    /// The terminal record that was pushed last answers this report.
    pub(super) fn finish_answers(&mut self, report: &Rc<ReportTicket>) {
        if let Some(Entry { then: Then::Finished { ticket, .. }, .. }) = self.queue.pending.last_mut() {
            *ticket = Some(Rc::clone(report));
        }
    }

    /// Runs `asked` (a question to the Scheduler), and commits when it has been answered: the leases that the answer
    /// brings are then part of the same commit. A Scheduler that is gone stops the node by itself.
    pub(super) fn flush_after<T: 'static>(
        &mut self,
        asked: impl Future<Output = T> + 'static,
        ctx: &mut Context<Self>,
    ) {
        self.queue.holds += 1;
        ctx.spawn(asked.into_actor(self).map(|_, coordinator, ctx| {
            coordinator.queue.holds -= 1;
            coordinator.flush(ctx);
        }));
    }

    /// Commits what is pending, unless a commit is under way: its end flushes again.
    pub(super) fn flush(&mut self, ctx: &mut Context<Self>) {
        if self.queue.under_way || self.queue.holds > 0 || self.gathers(ctx) {
            return;
        }
        let entries = std::mem::take(&mut self.queue.pending);
        if entries.is_empty() {
            self.queue.idle.drain(..).for_each(|waiter| _ = waiter.send(()));
            return;
        }
        let ops: Vec<StoreOp> = entries.iter().filter_map(|entry| entry.op.clone()).collect();
        self.queue.under_way = true;
        if ops.is_empty() {
            return self.committed(entries, Vec::new(), ctx);
        }
        self.queue.began = Some(moment());
        let commit = self.setup.store.commit(ops);
        ctx.spawn(commit.into_actor(self).map(|result, coordinator, ctx| match result {
            Ok(results) => {
                coordinator.setup.board.set_store_failing(false);
                coordinator.committed(entries, results, ctx);
            }
            Err(error) => coordinator.commit_failed(entries, &error, ctx),
        }));
    }

    /// Whether what is pending waits for more to share its commit; if so, a timer flushes it.
    fn gathers(&mut self, ctx: &mut Context<Self>) -> bool {
        let attempts = self.nodes.values().map(|node| node.link.taken()).sum();
        let since_last_ms = self.queue.began.map_or(u64::MAX, |began| began.elapsed_ms());
        if !grouping::may_gather(self.queue.pending.len(), attempts, since_last_ms) {
            return false;
        }
        if !std::mem::replace(&mut self.queue.gathering, true) {
            ctx.run_later(Duration::from_millis(grouping::GATHER_MS), |coordinator, ctx| {
                coordinator.queue.gathering = false;
                coordinator.flush(ctx);
            });
        }
        true
    }

    fn committed(&mut self, entries: Vec<Entry>, results: Vec<OpResult>, ctx: &mut Context<Self>) {
        self.queue.under_way = false;
        let mut results = results.into_iter();
        let mut round = Round::default();
        for entry in entries {
            let result =
                if entry.op.is_some() { results.next().unwrap_or(OpResult::Stale) } else { OpResult::Done };
            self.follow(entry.then, result, &mut round);
        }
        self.send_assignments(std::mem::take(&mut round.assignments), ctx);
        std::mem::take(&mut round.wishes).into_iter().for_each(|job| self.send_cancel(job, ctx));
        std::mem::take(&mut round.restate)
            .into_iter()
            .for_each(|node| self.order_cancels(node, Vec::new(), ctx));
        self.tell_listeners(round.changes);
        self.ask_scheduler(round.asks, ctx);
        if round.prune_again && !self.draining {
            ctx.run_later(PRUNE_AGAIN, |coordinator, ctx| coordinator.prune(ctx));
        }
        self.flush(ctx);
    }

    /// Publishes changes that are on disk.
    pub(super) fn tell_listeners(&self, changes: Vec<JobChange>) {
        if changes.is_empty() {
            return;
        }
        let changes = Arc::new(changes);
        for listener in &self.peers.listeners {
            // Bounded: one notice per commit, and one commit at a time; and one at the start.
            listener.do_send(JobChanged { changes: Arc::clone(&changes) });
        }
    }

    /// A failed commit kept nothing. Submits are refused to their clients; the rest is tried again in order.
    fn commit_failed(&mut self, entries: Vec<Entry>, error: &StoreError, ctx: &mut Context<Self>) {
        log::error!(error:% = error, entries = entries.len(); "a commit failed; it will be tried again");
        self.setup.board.set_store_failing(true);
        let refused = self.refuse_submits(&entries, error);
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            match (&entry.then, entry.op.as_ref()) {
                (Then::Submitted { .. }, _) => {}
                (Then::Leased { job, node, incarnation }, _) if refused.contains(job) => {
                    self.release_slots(*node, *incarnation, 1);
                }
                (Then::Wished { job, .. } | Then::Finished { job, .. }, _) if refused.contains(job) => {}
                _ => kept.push(entry),
            }
        }
        kept.append(&mut self.queue.pending);
        self.queue.pending = kept;
        ctx.run_later(RETRY_AFTER, |coordinator, ctx| {
            coordinator.queue.under_way = false;
            coordinator.flush(ctx);
        });
    }

    fn refuse_submits(&mut self, entries: &[Entry], error: &StoreError) -> HashSet<JobId> {
        let (mut refused, mut withdrawn) = (HashSet::new(), Vec::new());
        for entry in entries {
            if let Then::Submitted { ticket, index, job, .. } = &entry.then {
                withdrawn.extend(self.live.remove(job).map(|live| (*job, live.class)));
                self.specs.forget(*job);
                refused.insert(*job);
                ticket.fill(*index, Err(SubmitError::Store(error.to_string())));
            }
        }
        self.withdraw(withdrawn);
        refused
    }

    /// Resolves when nothing is pending or under way.
    pub(super) fn when_idle(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        if self.queue.pending.is_empty() && !self.queue.under_way && self.queue.holds == 0 {
            let _ = sender.send(());
        } else {
            self.queue.idle.push(sender);
        }
        receiver
    }
}

/// What one commit's followers have gathered.
#[derive(Default)]
pub(super) struct Round {
    pub changes: Vec<JobChange>,
    pub assignments: Vec<AttemptId>,
    pub wishes: Vec<JobId>,
    pub asks: Vec<super::nodes::Ask>,
    /// Nodes that are to be told whether to drain.
    pub restate: Vec<NodeId>,
    /// Whether there is more to forget.
    pub prune_again: bool,
}
