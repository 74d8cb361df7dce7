//! Reading a node's reports: what they mean is decided in `link`, what they do to a job in `transition`; here the two
//! are carried out, and the report is answered when all of it is durable.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use actix::{Context, Handler, ResponseFuture};
use tokio::sync::oneshot;

use super::Coordinator;
use super::commit::{ReportTicket, Then};
use super::live::LiveJob;
use super::nodes::{Applied, Ask};
use crate::clock;
use crate::link::{CancelOrder, JobFact, LinkEffect, ReportRefusal, ReportReply, Verdict};
use crate::model::{
    AttemptEnd, AttemptId, AttemptRecord, AttemptResult, Incarnation, JobEvent, JobId, JobState, NodeId,
    OnLost, RunnerKind,
};
use crate::protocol::notices::{JobChange, JobChangeKind};
use crate::protocol::runner::RunnerReport;
use crate::protocol::scheduling::{NodeLife, SetCapacity};
use crate::store::StoreOp;

impl Coordinator {
    /// Carries out one effect of a report. Jobs that wait again and slots that are free are gathered.
    fn effect(
        &mut self,
        id: NodeId,
        effect: LinkEffect,
        ticket: &Rc<ReportTicket>,
        round: &mut ReportRound,
        ctx: &mut Context<Self>,
    ) {
        match effect {
            LinkEffect::Started { attempt, started_ms_ago } => {
                let at_ms = clock::now_ms().saturating_sub(started_ms_ago as i64);
                let event = JobEvent::Started { epoch: attempt.epoch, at_ms };
                if self.apply(attempt.job, event) == Applied::Changed {
                    let change = JobChange { id: attempt.job, what: JobChangeKind::Started };
                    self.push_after(Then::Tell(Some(change)));
                }
            }
            LinkEffect::Record(result) => self.record(id, *result, ticket, round),
            LinkEffect::Judge { result, verdict } => self.judge(id, &result, verdict, ticket),
            LinkEffect::Returned { attempt, why } => {
                round.released += 1;
                round.requeued.extend(self.give_back(attempt, why));
            }
            LinkEffect::Lost { attempt, why } => {
                round.released += 1;
                round.requeued.extend(self.lose(attempt, why));
            }
            LinkEffect::Reattach { attempt, started_ms_ago } => {
                self.reattach(id, attempt, started_ms_ago);
                self.tell_drain_again(id);
                // The wish to cancel may have been told to a former life only.
                self.send_cancel(attempt.job, ctx);
            }
            LinkEffect::Resend(attempt) => round.resend.push(attempt),
            LinkEffect::KillStale(attempt) => {
                round.kill.push(CancelOrder { attempt, grace_ms: 0 });
            }
            LinkEffect::Capacity { usable_slots } => round.capacity = Some(usable_slots),
            LinkEffect::Restate => round.restate = true,
        }
    }

    fn record(
        &mut self,
        id: NodeId,
        result: AttemptResult,
        ticket: &Rc<ReportTicket>,
        round: &mut ReportRound,
    ) {
        let attempt = result.attempt;
        round.released += 1;
        self.judge_conduct(id, &result.end);
        let evicted = self.is_evicted(id, attempt);
        let never = self.specs.get(attempt.job).is_none_or(|spec| spec.on_lost == OnLost::Never);
        let wished = self
            .live
            .get(&attempt.job)
            .and_then(|live| live.state.lease())
            .is_some_and(|l| l.cancel.is_some());
        let why = match &result.end {
            AttemptEnd::Lost { why, .. } => Some(why.clone()),
            // Ended by the node's own shutdown: an accepted job is not lost by a restart.
            AttemptEnd::Killed { .. } if !wished && !never => Some("the runner was shut down".into()),
            _ => None,
        };
        if let Some(why) = why {
            let was_drained = evicted && matches!(result.end, AttemptEnd::Killed { .. });
            round.requeued.extend(if was_drained { self.evict(attempt) } else { self.lose(attempt, why) });
            ticket.judge(attempt, Verdict::Recorded);
            return;
        }
        if matches!(self.live.get(&attempt.job).map(|live| &live.state), Some(JobState::Queued(_))) {
            self.withdraw_live(attempt.job);
        }
        match self.apply(attempt.job, JobEvent::Finished(Box::new(result))) {
            Applied::Ending => self.finish_answers(ticket),
            // Another end of it is on its way to the disk.
            Applied::Changed | Applied::Nothing => ticket.judge(attempt, Verdict::AlreadyRecorded),
        }
    }

    fn judge(&mut self, id: NodeId, result: &AttemptResult, verdict: Verdict, ticket: &Rc<ReportTicket>) {
        let attempt = result.attempt;
        if verdict != Verdict::Stale {
            return ticket.judge(attempt, verdict);
        }
        let why = "a later attempt had taken its place".into();
        let at_ms = clock::now_ms();
        let record = AttemptRecord { epoch: attempt.epoch, node: id, fate: "stale".into(), why, at_ms };
        let op = StoreOp::NoteAttempt { job: attempt.job, attempt: record };
        self.push(op, Then::Noted { attempt, verdict, ticket: Rc::clone(ticket) });
    }

    fn reattach(&mut self, id: NodeId, attempt: AttemptId, started_ms_ago: u64) {
        let Some(node) = self.nodes.get(&id) else { return };
        let incarnation = node.link.incarnation();
        let started_at_ms = clock::now_ms().saturating_sub(started_ms_ago as i64);
        let waited =
            self.live.get(&attempt.job).is_some_and(|live| matches!(live.state, JobState::Queued(_)));
        let event = JobEvent::Reattached { epoch: attempt.epoch, node: id, incarnation, started_at_ms };
        if let (Applied::Changed, Some(state)) = (self.apply(attempt.job, event), self.state_of(attempt.job))
        {
            let op = StoreOp::Update { job: attempt.job, epoch: attempt.epoch, state, attempt: None };
            let change = JobChange { id: attempt.job, what: JobChangeKind::Started };
            self.push(op, Then::Tell(Some(change)));
            if waited {
                self.withdraw_live(attempt.job);
            }
        }
    }

    fn report(
        &mut self,
        message: RunnerReport,
        ctx: &mut Context<Self>,
    ) -> Result<oneshot::Receiver<ReportReply>, ReportRefusal> {
        let id = message.report.node;
        let n = message.report.n;
        // Whoever said goodbye must register anew.
        let node = self.nodes.get_mut(&id).filter(|node| node.left_ms.is_none());
        let node = node.ok_or(ReportRefusal::NotRegistered)?;
        node.handle.pulse.beat(clock::uptime_ms());
        let incarnation = node.link.incarnation();
        let live = &self.live;
        let fact = |job| live.get(&job).map_or(JobFact::NotLive, LiveJob::fact);
        let (effects, want_full_inventory) = node.link.on_report(message.report, fact)?;
        let (is_ready, outranked_by) = (node.link.is_ready(), node.link.outranked_by());
        let (sender, receiver) = oneshot::channel();
        let reply = ReportReply { n, verdicts: Vec::new(), want_full_inventory };
        let ticket =
            Rc::new(ReportTicket { node: id, reply: RefCell::new(reply), sender: Cell::new(Some(sender)) });
        let mut round = ReportRound::default();
        for effect in effects {
            self.effect(id, effect, &ticket, &mut round, ctx);
        }
        if !is_ready {
            // It has seen a later term than ours, or has not told what it holds.
            self.doubt(id);
        }
        self.push_after(Then::Answer { ticket });
        self.close_round(id, incarnation, round, ctx);
        if let Some(seen) = outranked_by {
            self.outranked(seen, ctx);
        }
        self.flush(ctx);
        Ok(receiver)
    }

    fn close_round(
        &mut self,
        id: NodeId,
        incarnation: Incarnation,
        round: ReportRound,
        ctx: &mut Context<Self>,
    ) {
        self.send_assignments(round.resend, ctx);
        if let Some(first) = round.kill.first() {
            let (attempts, first) = (round.kill.len(), first.attempt);
            log::warn!(node:% = id, attempts, first:% = first; "a runner holds attempts that are not current: ending them");
        }
        if !round.kill.is_empty() || round.restate {
            self.order_cancels(id, round.kill, ctx);
        }
        let mut asks = Vec::new();
        if !round.requeued.is_empty() {
            asks.push(Ask::Requeue { jobs: round.requeued });
        }
        if round.released > 0 && round.capacity.is_none() {
            asks.push(Ask::Release { node: id, incarnation, count: round.released });
        }
        self.ask_scheduler(asks, ctx);
        if let Some(usable_slots) = round.capacity {
            self.announce_capacity(id, usable_slots, round.released, ctx);
        }
    }

    fn announce_capacity(&mut self, id: NodeId, usable_slots: u32, released: u32, ctx: &mut Context<Self>) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        if node.spec.kind == RunnerKind::Local && node.spec.slots == 0 {
            // A coordinator that runs nothing itself is no runner: none is listed, counted or waited for.
            return;
        }
        let incarnation = node.link.incarnation();
        let first = !std::mem::replace(&mut node.announced, true);
        node.doubted = false;
        let life = first.then(|| NodeLife {
            spec: Arc::clone(&node.spec),
            rooms: Arc::clone(&node.handle.rooms),
            pulse: Arc::clone(&node.handle.pulse),
            taken: node.link.taken(),
            eligibility: node.eligibility.clone(),
        });
        let message = SetCapacity { node: id, incarnation, usable_slots, life };
        let asked = self.peers.capacity.send(message);
        self.flush_after(asked, ctx);
        if !first && released > 0 {
            self.ask_scheduler(vec![Ask::Release { node: id, incarnation, count: released }], ctx);
        }
    }
}

/// What one report's effects have gathered.
#[derive(Default)]
struct ReportRound {
    requeued: Vec<JobId>,
    released: u32,
    resend: Vec<AttemptId>,
    kill: Vec<CancelOrder>,
    /// Whether the node must be told again whether to drain: every command says it.
    restate: bool,
    capacity: Option<u32>,
}

impl Handler<RunnerReport> for Coordinator {
    type Result = ResponseFuture<Result<ReportReply, ReportRefusal>>;

    fn handle(&mut self, message: RunnerReport, ctx: &mut Context<Self>) -> Self::Result {
        let answer = self.report(message, ctx);
        Box::pin(async { answer?.await.map_err(|_| ReportRefusal::NotNow) })
    }
}
