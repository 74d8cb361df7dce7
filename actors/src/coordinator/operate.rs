//! Operating on nodes: cordon, drain, resume, remove, and the breaker that cordons by itself. Whether a node is given
//! work is on disk before anybody acts on it.

use std::collections::BTreeMap;

use actix::{Context, Handler, ResponseFuture};
use tokio::sync::oneshot;

use super::Coordinator;
use super::commit::Then;
use super::goodbye::GONE_NODE_KEPT_MS;
use super::nodes::Node;
use crate::clock;
use crate::link::{CancelOrder, DrainOrder};
use crate::model::eligibility::MAX_WHY_BYTES;
use crate::model::limits::DEFAULT_GRACE_MS;
use crate::model::{AttemptEnd, AttemptId, Cordon, Eligibility, JobEvent, JobId, NodeId, RunnerKind};
use crate::policy::breaker;
use crate::protocol::LookupError;
use crate::protocol::operate::{ChangeRunner, ChangeRunnerError, RunnerChange};
use crate::protocol::scheduling::{ForgetNode, SetEligibility};
use crate::store::{OpResult, StoreOp};

/// How long a lost node is remembered, in milliseconds: a day. What operators have said of it stays in the records.
pub const LOST_NODE_KEPT_MS: u64 = 24 * 3_600_000;

/// How an attempt ended that its node's drain ended, in a job's history.
const DRAINED: &str = "drained";

/// Where the answer to an operator goes; none when the breaker asked.
pub(super) type ChangeReply = Option<oneshot::Sender<Result<Eligibility, ChangeRunnerError>>>;

/// What of a node's work concerns its operators.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    /// Attempts in a row that failed by its fault.
    failures: u32,
    /// Attempts that its drain ends; whether it was told so, as far as is known. Kept until they are off its books.
    evicted: BTreeMap<AttemptId, bool>,
}

impl Coordinator {
    fn change_runner(
        &mut self,
        request: ChangeRunner,
        reply: oneshot::Sender<Result<Eligibility, ChangeRunnerError>>,
    ) -> Result<(), ChangeRunnerError> {
        let ChangeRunner { node: id, change, by } = request;
        if change == RunnerChange::Resume && !self.nodes.contains_key(&id) {
            // It may have been removed, which only the records know.
            self.mark(id, Eligibility::Eligible, Some(reply));
            return Ok(());
        }
        let node = self.nodes.get(&id).ok_or(ChangeRunnerError::Unknown)?;
        let since_ms = clock::now_ms();
        let cordon = |why: String| {
            let fine = why.len() <= MAX_WHY_BYTES && !why.chars().any(char::is_control);
            if fine { Ok(Cordon { by, why, since_ms }) } else { Err(ChangeRunnerError::Why) }
        };
        let eligibility = match change {
            RunnerChange::Cordon { why } => Eligibility::Cordoned(cordon(why)?),
            RunnerChange::Drain { why, deadline_ms } => {
                let at = |deadline_ms| since_ms.saturating_add_unsigned(deadline_ms);
                Eligibility::Draining { cordon: cordon(why)?, deadline_at_ms: deadline_ms.map(at) }
            }
            RunnerChange::Resume => Eligibility::Eligible,
            RunnerChange::Remove => {
                if node.spec.kind == RunnerKind::Local {
                    return Err(ChangeRunnerError::Local);
                }
                refuse_if_busy(node)?;
                let removed = Eligibility::Removed(cordon(String::new())?);
                let op = StoreOp::MarkNode { node: id, eligibility: removed };
                self.push(op, Then::Removed { node: id, reply });
                return Ok(());
            }
        };
        self.mark(id, eligibility, Some(reply));
        Ok(())
    }

    fn mark(&mut self, node: NodeId, eligibility: Eligibility, reply: ChangeReply) {
        let op = StoreOp::MarkNode { node, eligibility: eligibility.clone() };
        self.push(op, Then::Marked { node, eligibility, reply });
    }

    /// The mark is on disk: from now on it holds.
    pub(super) fn marked(
        &mut self,
        id: NodeId,
        eligibility: Eligibility,
        result: &OpResult,
        reply: ChangeReply,
    ) {
        let known = *result == OpResult::Done;
        if let (true, Some(node)) = (known, self.nodes.get_mut(&id)) {
            log::info!(node:% = id, name = node.spec.name.as_str(), eligibility = eligibility.as_str(); "a runner was changed");
            node.link.set_drain(drain_order(&eligibility));
            node.eligibility = eligibility.clone();
            node.conduct.failures = 0;
            // Bounded: one per request of an operator, and those are bounded by permits; and one per trip of the breaker.
            self.peers.eligibility.do_send(SetEligibility { node: id, eligibility: eligibility.clone() });
        }
        // An operator who is gone needs no answer.
        let _ = reply
            .map(|reply| reply.send(if known { Ok(eligibility) } else { Err(ChangeRunnerError::Unknown) }));
    }

    /// That the node is removed is on disk: it is forgotten, unless it was given work meanwhile.
    pub(super) fn removed(
        &mut self,
        id: NodeId,
        reply: oneshot::Sender<Result<Eligibility, ChangeRunnerError>>,
    ) {
        let node = self.nodes.get(&id).ok_or(ChangeRunnerError::Unknown);
        let answer = node.and_then(refuse_if_busy).map(|()| {
            self.nodes.remove(&id);
            log::info!(node:% = id; "a runner was removed");
            // Bounded: as above.
            self.peers.forget.do_send(ForgetNode { node: id });
            Eligibility::Eligible
        });
        if let (Err(_), Some(node)) = (&answer, self.nodes.get(&id)) {
            let op = StoreOp::MarkNode { node: id, eligibility: node.eligibility.clone() };
            self.push(op, Then::Tell(None));
        }
        // An operator who is gone needs no answer.
        let _ = reply.send(answer);
    }

    /// Forgets nodes that were given up long ago or said goodbye: where nodes come and go, most never come back.
    pub(super) fn forget_lost(&mut self) {
        let now_ms = clock::uptime_ms();
        let is_old = |node: &Node| {
            let silent_ms = now_ms.saturating_sub(node.handle.pulse.last_ms());
            let is_long_gone = node.left_ms.is_some_and(|at| now_ms.saturating_sub(at) > GONE_NODE_KEPT_MS);
            let is_forgotten = is_long_gone || silent_ms > LOST_NODE_KEPT_MS;
            !node.announced && is_forgotten && node.link.given().next().is_none()
        };
        let old: Vec<NodeId> =
            self.nodes.iter().filter(|(_, node)| is_old(node)).map(|(id, _)| *id).collect();
        for id in old {
            self.nodes.remove(&id);
            // Bounded: one per node that was registered.
            self.peers.forget.do_send(ForgetNode { node: id });
        }
    }

    /// Ends what drained nodes still run after their deadlines.
    pub(super) fn end_drained(&mut self, ctx: &mut Context<Self>) {
        let now_ms = clock::now_ms();
        let due = |node: &Node| node.eligibility.deadline_at_ms().is_some_and(|at| at <= now_ms);
        let mut overdue = Vec::new();
        for (id, node) in self.nodes.iter_mut().filter(|(_, node)| due(node)) {
            let Node { link, conduct, .. } = node;
            conduct.evicted.retain(|attempt, _| link.holds(*attempt));
            let told = |attempt: &AttemptId| conduct.evicted.get(attempt).is_some_and(|told| *told);
            let left: Vec<AttemptId> = link.given().filter(|attempt| !told(attempt)).collect();
            conduct.evicted.extend(left.iter().map(|attempt| (*attempt, true)));
            if !left.is_empty() {
                overdue.push((*id, left));
            }
        }
        for (id, left) in overdue {
            log::warn!(node:% = id, attempts = left.len(); "a drain's deadline has passed: ending what still runs");
            let order = |attempt: AttemptId| {
                let grace_ms = self.specs.get(attempt.job).map_or(DEFAULT_GRACE_MS, |spec| spec.grace_ms);
                CancelOrder { attempt, grace_ms }
            };
            let orders = left.into_iter().map(order).collect();
            self.order_cancels(id, orders, ctx);
        }
    }

    /// What the node was told of its drain may not have reached it, or it has come back: it is told again.
    pub(super) fn tell_drain_again(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.conduct.evicted.values_mut().for_each(|told| *told = false);
        }
    }

    /// Whether this attempt was ended by its node's drain.
    pub(super) fn is_evicted(&self, node: NodeId, attempt: AttemptId) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.conduct.evicted.contains_key(&attempt))
    }

    /// A drain ended the attempt: the job waits again, and nothing is counted against it.
    pub(super) fn evict(&mut self, attempt: AttemptId) -> Option<JobId> {
        let event = JobEvent::Drained { epoch: attempt.epoch };
        self.put_back(attempt, event, DRAINED, "its runner was drained, and the deadline had passed".into())
    }

    /// Judges a node by how an attempt on it ended: a node that fails again and again where others do not is given no
    /// more work.
    pub(super) fn judge_conduct(&mut self, id: NodeId, end: &AttemptEnd) {
        let fault = match end {
            AttemptEnd::Lost { why, fenced: false } => why,
            AttemptEnd::SandboxError { message, .. } | AttemptEnd::Unavailable { message, .. } => message,
            _ => return self.forgive(id),
        };
        let why = format!(
            "{} attempts in a row failed by its fault, the last one: {fault}",
            breaker::BREAKER_FAILURES
        );
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.eligibility.is_eligible()) else {
            return;
        };
        node.conduct.failures += 1;
        let failures = node.conduct.failures;
        let works = |node: &Node| node.eligibility.is_eligible() && node.announced && !node.doubted;
        let others = self.nodes.iter().filter(|(other, node)| **other != id && works(node));
        if breaker::trips(failures, others.map(|(_, node)| node.conduct.failures)) {
            log::error!(node:% = id, why = why.as_str(); "a runner is kept from work");
            // A character has at most four bytes.
            let why = why.chars().filter(|c| !c.is_control()).take(MAX_WHY_BYTES / 4).collect();
            let cordon = Cordon { by: "breaker".into(), why, since_ms: clock::now_ms() };
            self.mark(id, Eligibility::Cordoned(cordon), None);
            self.forgive(id);
        }
    }

    fn forgive(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.conduct.failures = 0;
        }
    }
}

/// What a node is told that stands so: one that drains starts nothing more and gives back what waits for its slots.
pub(super) fn drain_order(eligibility: &Eligibility) -> Option<DrainOrder> {
    let left_ms = |at: i64| at.saturating_sub(clock::now_ms()).max(0).unsigned_abs();
    let is_draining = matches!(eligibility, Eligibility::Draining { .. });
    is_draining.then(|| DrainOrder { deadline_ms: eligibility.deadline_at_ms().map(left_ms) })
}

fn refuse_if_busy(node: &Node) -> Result<(), ChangeRunnerError> {
    match node.link.given().count() {
        0 => Ok(()),
        attempts => Err(ChangeRunnerError::Busy { attempts }),
    }
}

impl Handler<ChangeRunner> for Coordinator {
    type Result = ResponseFuture<Result<Eligibility, ChangeRunnerError>>;

    fn handle(&mut self, message: ChangeRunner, ctx: &mut Context<Self>) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let asked = self.change_runner(message, reply);
        self.flush(ctx);
        Box::pin(async {
            asked?;
            answer.await.unwrap_or_else(|_| Err(LookupError::Gone.into()))
        })
    }
}
