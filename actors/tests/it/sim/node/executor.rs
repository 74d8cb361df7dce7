//! The executors of a simulated node: processes that take virtual time, and the disk that keeps their results. They know
//! no coordinator.

use callboard_actors::link::{NodeEffect, NodeLink};
use callboard_actors::model::{
    AttemptEnd, AttemptId, AttemptResult, Captured, Exit as Left, IsolationReport, Usage,
};

use super::SimNode;
use crate::sim::env::{Env, Event, Exit, Sabotage};

pub enum Executor {
    Spawning { killed: bool },
    Running { since: u64 },
}

/// An end that the keeper of the attempt has kept.
pub struct Ended {
    attempt: AttemptId,
    since: u64,
    end: AttemptEnd,
    ran_ms: u64,
}

impl SimNode {
    /// What outlives the node's process: some of what runs, and of the ends that were kept before.
    pub(super) fn survivors(&mut self, env: &mut Env) -> Vec<AttemptId> {
        let held = env.plan.nodes[self.index].held;
        let mut lives_on = || held && env.rng.percent(80);
        self.executors.retain(|_, executor| matches!(executor, Executor::Running { .. }) && lives_on());
        self.ended.retain(|_| lives_on());
        self.executors.keys().copied().collect()
    }

    /// What the node's next life finds, with when it started.
    pub(super) fn adopted(&self, env: &mut Env) -> Vec<(AttemptId, u64)> {
        if env.sabotage == Sabotage::AdoptedUnlisted {
            return Vec::new();
        }
        let running = self.executors.iter().filter_map(|(attempt, executor)| match executor {
            Executor::Running { since } => Some((*attempt, *since)),
            Executor::Spawning { .. } => None,
        });
        running.chain(self.ended.iter().map(|ended| (ended.attempt, ended.since))).collect()
    }

    /// The ends that keepers have kept come to the life that is registered now.
    pub(super) fn tell_ended(&mut self, env: &mut Env) {
        for Ended { attempt, end, ran_ms, .. } in std::mem::take(&mut self.ended) {
            self.finish(env, attempt, end, Some(ran_ms));
        }
    }

    pub(super) fn perform(&mut self, env: &mut Env, effects: Vec<NodeEffect>) {
        for effect in effects {
            match effect {
                NodeEffect::Start(assignment) => self.spawn_soon(env, assignment.attempt),
                NodeEffect::Kill { attempt, grace_ms } => self.kill(env, attempt, grace_ms),
                NodeEffect::Forget(_) => {}
            }
        }
    }

    fn spawn_soon(&mut self, env: &mut Env, attempt: AttemptId) {
        let draining = self.link.as_ref().is_some_and(NodeLink::is_draining);
        if draining || self.executors.len() >= self.slots as usize {
            env.oracle.broken(format!(
                "I7: {attempt} starts on node {}: draining {draining}, or no slot",
                self.index
            ));
        }
        self.executors.insert(attempt, Executor::Spawning { killed: false });
        let most = env.rng.pick(&[0, 5, 5, 20, 20, 20, 20, 300, 1_500, 6_000]);
        let delay = env.rng.within(0, most);
        env.after(delay, Event::Spawn { node: self.index, life: self.lives, attempt });
    }

    fn kill(&mut self, env: &mut Env, attempt: AttemptId, grace_ms: u64) {
        match self.executors.get_mut(&attempt) {
            Some(Executor::Spawning { killed }) => *killed = true,
            Some(Executor::Running { .. }) => {
                let delay = env.rng.within(0, grace_ms.min(800) + 400);
                self.exit_after(env, delay, attempt, Exit::Killed);
            }
            None => {}
        }
    }

    fn exit_after(&self, env: &mut Env, delay: u64, attempt: AttemptId, how: Exit) {
        env.after(delay, Event::Exit { node: self.index, attempt, how });
    }

    /// The executor gets to it: the process starts, or something is in the way.
    pub fn spawn(&mut self, env: &mut Env, attempt: AttemptId) {
        let Some(Executor::Spawning { killed }) = self.executors.get(&attempt) else {
            return;
        };
        if *killed {
            return self.finish(env, attempt, AttemptEnd::Killed { exit: None }, None);
        }
        if env.rng.percent(env.plan.mishap_percent) {
            return self.mishap(env, attempt);
        }
        env.oracle.process_starts(self.index, attempt);
        self.executors.insert(attempt, Executor::Running { since: self.clock.now(env) });
        if let Some(link) = &mut self.link {
            link.on_started(self.clock.now(env), attempt);
        }
        let how = match env.rng.within(0, 99) {
            chance if chance < env.plan.mishap_percent => Exit::Lost,
            chance if chance < 85 => Exit::Code(0),
            _ => Exit::Code(1),
        };
        let delay = env.rng.within(0, env.plan.longest_job_ms);
        self.exit_after(env, delay, attempt, how);
    }

    fn mishap(&mut self, env: &mut Env, attempt: AttemptId) {
        if env.rng.percent(50) {
            let end = AttemptEnd::SpawnError { message: "no such program".into(), shell_code: 127 };
            return self.finish(env, attempt, end, None);
        }
        self.executors.remove(&attempt);
        let Some(link) = &mut self.link else { return };
        let effects = link.on_not_started(attempt, "no keeper was free".into());
        self.perform(env, effects);
    }

    /// A process has ended, unless it had ended before.
    pub fn exit(&mut self, env: &mut Env, attempt: AttemptId, how: Exit) {
        let Some(Executor::Running { since }) = self.executors.get(&attempt) else {
            return;
        };
        let ran_ms = self.clock.now(env) - since;
        let (end, code) = match how {
            Exit::Code(code) => (AttemptEnd::Exited(Left::Code(code)), Some(code)),
            Exit::Killed => {
                let exit = Left::Signal { number: 15, core_dumped: false };
                (AttemptEnd::Killed { exit: Some(exit) }, None)
            }
            Exit::Lost => (AttemptEnd::Lost { why: "the keeper died".into(), fenced: false }, None),
        };
        let since = *since;
        env.oracle.process_ends(attempt, code);
        if self.link.is_none() {
            self.executors.remove(&attempt);
            return self.ended.push(Ended { attempt, since, end, ran_ms });
        }
        self.finish(env, attempt, end, Some(ran_ms));
    }

    fn finish(&mut self, env: &mut Env, attempt: AttemptId, end: AttemptEnd, ran_ms: Option<u64>) {
        self.executors.remove(&attempt);
        let result = AttemptResult {
            attempt,
            end,
            usage: Usage::default(),
            stdout: Captured::default(),
            stderr: Captured::default(),
            started_ms_ago: ran_ms,
            isolation: IsolationReport::default(),
            artifacts: Default::default(),
        };
        self.disk.write(result.clone());
        if env.plan.nodes[self.index].spooled {
            let delay = env.rng.within(0, env.plan.sync_most_ms);
            return env.after(delay, Event::Spooled { node: self.index, life: self.lives, attempt });
        }
        self.spooled(env, attempt);
    }

    /// A result is on the node's disk, so that it may be told and its slot be given to another.
    pub fn spooled(&mut self, env: &mut Env, attempt: AttemptId) {
        let Some(result) = self.disk.sync(attempt) else { return };
        if env.plan.nodes[self.index].spooled {
            env.oracle.spooled(attempt);
        }
        let now = self.clock.now(env);
        let Some(link) = &mut self.link else { return };
        let effects = link.on_finished(now, result);
        self.perform(env, effects);
    }
}
