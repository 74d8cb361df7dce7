//! The command lane of one node: what it shall be told next, and the one exchange that is under way. A command without
//! an answer is sent once more under its number, or given up: then the node may or may not have acted on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use callboard_actors::link::{Assignment, CancelOrder, Command, CommandRefusal, NodeHealth};
use callboard_actors::model::{AttemptId, JobEvent};

use super::Coordinator;
use crate::sim::env::{Down, Env, Sabotage};
use crate::sim::plan::ANSWER_MS;

#[derive(Default)]
pub struct Lane {
    pub assign: BTreeSet<AttemptId>,
    /// With the time between TERM and KILL.
    pub cancel: BTreeMap<AttemptId, u64>,
    pub retract: BTreeSet<AttemptId>,
    /// Whether the node must be told again whether to drain.
    pub restate: bool,
    under_way: Option<Exchange>,
}

struct Exchange {
    number: u64,
    command: Command,
    until: u64,
}

impl Coordinator {
    /// Looks after the lane of one node: gives up waiting, or says what is next.
    pub(super) fn pump(&mut self, env: &mut Env, node: usize) {
        let lane = &mut self.nodes[node].lane;
        if let Some(exchange) = lane.under_way.take_if(|exchange| exchange.until <= env.now) {
            if env.rng.percent(30) {
                return self.exchange(env, node, exchange.command);
            }
            self.unanswered(env, node, exchange.command);
        }
        let side = &self.nodes[node];
        let reachable = side.health < NodeHealth::Unreachable;
        if side.link.is_none() || side.lane.under_way.is_some() || !reachable {
            return;
        }
        self.withhold_cancelled(env, node);
        if let Some(command) = self.next_command(node) {
            self.exchange(env, node, command);
        }
    }

    /// Whatever was to be cancelled before any command carried it was never sent, and is given back on the node's behalf.
    fn withhold_cancelled(&mut self, env: &mut Env, node: usize) {
        let side = &self.nodes[node];
        let unsent = |attempt: &&AttemptId| !side.link.as_ref().is_some_and(|link| link.holds(**attempt));
        let attempts: Vec<AttemptId> = side.lane.assign.iter().filter(unsent).copied().collect();
        for attempt in attempts {
            let lease = self.jobs.get(&attempt.job).and_then(|job| job.state.lease());
            if self.awaits_start(attempt) && lease.is_some_and(|lease| lease.cancel.is_some()) {
                self.apply(env, attempt.job, JobEvent::Returned { epoch: attempt.epoch });
            }
        }
    }

    fn next_command(&mut self, node: usize) -> Option<Command> {
        let lane = &mut self.nodes[node].lane;
        let cancel = std::mem::take(&mut lane.cancel);
        let ends = !cancel.is_empty() || !lane.retract.is_empty();
        let retract = if cancel.is_empty() { std::mem::take(&mut lane.retract) } else { BTreeSet::new() };
        let assign = if ends { BTreeSet::new() } else { std::mem::take(&mut lane.assign) };
        let restate = std::mem::take(&mut lane.restate);
        let assign: Vec<Assignment> =
            assign.into_iter().filter_map(|attempt| self.assignment(attempt)).collect();
        let order = |(attempt, grace_ms)| CancelOrder { attempt, grace_ms };
        let link = self.nodes[node].link.as_mut()?;
        if !cancel.is_empty() {
            Some(link.cancel(cancel.into_iter().map(order).collect()))
        } else if !retract.is_empty() {
            Some(link.retract(retract))
        } else if !assign.is_empty() {
            Some(link.assign(assign))
        } else {
            restate.then(|| link.restate())
        }
    }

    fn assignment(&self, attempt: AttemptId) -> Option<Assignment> {
        let job = self.jobs.get(&attempt.job).filter(|_| self.awaits_start(attempt))?;
        let lease = job.state.lease().filter(|lease| lease.cancel.is_none())?;
        Some(Assignment { attempt, spec: Arc::clone(&job.spec), started_before: lease.tally.started })
    }

    fn exchange(&mut self, env: &mut Env, node: usize, command: Command) {
        let number = env.fresh();
        let until = env.now + ANSWER_MS;
        self.nodes[node].lane.under_way = Some(Exchange { number, command: command.clone(), until });
        env.send_down(node, Down::Command { exchange: number, command });
    }

    /// Whether the node has acted on the command is not known: its next whole inventory tells. What is no assignment is
    /// repeated.
    fn unanswered(&mut self, env: &Env, node: usize, command: Command) {
        let side = &mut self.nodes[node];
        for order in command.cancel {
            side.lane.cancel.insert(order.attempt, order.grace_ms);
        }
        side.lane.retract.extend(command.retract);
        if let Some(link) = &mut side.link
            && env.sabotage != Sabotage::NoDistrust
        {
            link.distrust();
        }
    }

    pub fn acted(&mut self, env: &mut Env, node: usize, number: u64, answer: Result<(), CommandRefusal>) {
        let lane = &mut self.nodes[node].lane;
        if let Some(exchange) = lane.under_way.take_if(|exchange| exchange.number == number)
            && answer.is_err()
        {
            self.unanswered(env, node, exchange.command);
        }
    }
}
