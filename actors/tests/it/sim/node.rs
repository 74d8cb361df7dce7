//! A simulated node: the real `NodeLink`, a client that registers and reports, and executors whose jobs take virtual
//! time. It knows the coordinator only by its messages.

use std::collections::BTreeMap;

use callboard_actors::link::{Command, NodeEffect, NodeLink, ReportRefusal, ReportReply, Verdict};
use callboard_actors::model::{
    AttemptEnd, AttemptId, AttemptResult, Captured, Exit as Left, Incarnation, IsolationReport, Term, Usage,
};

use super::env::{Down, Env, Event, Exit, Sabotage, Up};
use super::plan::ANSWER_MS;

enum Executor {
    Spawning { killed: bool },
    Running { since: u64 },
}

struct Asked {
    request: u64,
    until: u64,
}

pub struct SimNode {
    index: usize,
    /// Which process of the node this is; none while it is down.
    life: Option<u64>,
    lives: u64,
    pub link: Option<NodeLink>,
    slots: u32,
    spool: BTreeMap<AttemptId, AttemptResult>,
    executors: BTreeMap<AttemptId, Executor>,
    registered: bool,
    register: Option<Asked>,
    report: Option<Asked>,
    last_report: u64,
}

impl SimNode {
    pub fn new(index: usize, slots: u32) -> Self {
        Self {
            index,
            life: None,
            lives: 0,
            link: None,
            slots,
            spool: BTreeMap::new(),
            executors: BTreeMap::new(),
            registered: false,
            register: None,
            report: None,
            last_report: 0,
        }
    }

    pub fn boot(&mut self, env: &mut Env) {
        if self.life.is_none() {
            self.lives += 1;
            self.life = Some(self.lives);
            env.after(1, Event::NodeTick { node: self.index, life: self.lives });
        }
    }

    pub fn die(&mut self, env: &mut Env) {
        env.oracle.node_dies(self.index);
        self.life = None;
        self.link = None;
        self.executors.clear();
        self.registered = false;
        (self.register, self.report) = (None, None);
        if !env.plan.nodes[self.index].spooled {
            self.spool.clear();
        }
    }

    pub fn lives(&self, life: u64) -> bool {
        self.life == Some(life)
    }

    /// Whether the node has nothing to run and nothing to tell.
    pub fn is_idle(&self) -> bool {
        self.link.as_ref().is_some_and(NodeLink::is_empty) && self.executors.is_empty()
    }

    pub fn change_slots(&mut self, slots: u32) {
        self.slots = slots;
        if let Some(link) = &mut self.link {
            let _ = link.set_usable_slots(slots);
        }
    }

    pub fn tick(&mut self, env: &mut Env) {
        let delay = env.rng.within(15, 60);
        env.after(delay, Event::NodeTick { node: self.index, life: self.lives });
        if !self.registered {
            return self.tick_register(env);
        }
        let Some(link) = &mut self.link else { return };
        if self.report.as_ref().is_some_and(|asked| asked.until <= env.now) {
            self.report = None;
            link.on_report_failed();
        }
        let due = link.has_news() || env.now >= self.last_report + env.plan.timers.heartbeat_ms;
        if self.report.is_none() && due {
            let mut report = link.report(env.now);
            if env.sabotage == Sabotage::NoJudgedMemory {
                report.cmd_seen /= 2;
            }
            self.last_report = env.now;
            for note in &report.returned {
                env.oracle.gives_back(self.index, note.attempt);
            }
            let request = env.fresh();
            self.report = Some(Asked { request, until: env.now + ANSWER_MS });
            env.send_up(self.index, Up::Report { request, report });
        }
    }

    fn tick_register(&mut self, env: &mut Env) {
        if self.register.as_ref().is_none_or(|asked| asked.until <= env.now) {
            let request = env.fresh();
            self.register = Some(Asked { request, until: env.now + ANSWER_MS });
            env.send_up(self.index, Up::Register { request });
        }
    }

    pub fn hears(&mut self, env: &mut Env, message: Down) {
        match message {
            Down::Registered { request, incarnation, term } => {
                if self.register.as_ref().is_some_and(|asked| asked.request == request) {
                    self.registered(env, incarnation, term);
                }
            }
            Down::Answer { request, answer } => {
                if self.report.as_ref().is_some_and(|asked| asked.request == request) {
                    self.report = None;
                    self.answered(env, answer);
                }
            }
            Down::Command { exchange, command } => self.obeys(env, exchange, command),
        }
    }

    fn registered(&mut self, env: &mut Env, incarnation: Incarnation, term: Term) {
        self.registered = true;
        (self.register, self.report) = (None, None);
        match &mut self.link {
            Some(link) => link.rejoin(incarnation, term),
            None => {
                let id = env.node_ids[self.index];
                let link = NodeLink::new(env.cluster, id, incarnation, term, self.slots);
                self.link = Some(link.with_results(env.now, self.spool.values().cloned()));
            }
        }
    }

    fn answered(&mut self, env: &mut Env, answer: Result<ReportReply, ReportRefusal>) {
        let Some(link) = &mut self.link else { return };
        match answer {
            Ok(reply) => {
                for (attempt, verdict) in &reply.verdicts {
                    if let Some(result) = self.spool.remove(attempt)
                        && matches!(verdict, Verdict::Recorded | Verdict::AlreadyRecorded)
                    {
                        let was_lost = matches!(result.end, AttemptEnd::Lost { .. });
                        env.oracle.result_forgotten(*attempt, &env.store.durable, was_lost);
                    }
                }
                link.on_reply(&reply);
            }
            Err(refusal) => {
                link.on_report_failed();
                self.registered &= refusal == ReportRefusal::NotNow;
            }
        }
    }

    fn obeys(&mut self, env: &mut Env, exchange: u64, mut command: Command) {
        let Some(link) = &mut self.link else { return };
        match env.sabotage {
            Sabotage::NoJudgedMemory => forget_judged(link, env.now, &mut command),
            Sabotage::OldCommandsObeyed => command.cmd_no = link.clone().report(env.now).cmd_seen + 1,
            Sabotage::OtherLivesObeyed => command.incarnation = link.incarnation(),
            _ => {}
        }
        let answer = link.on_command(env.now, command);
        let answer = answer.map(|effects| self.perform(env, effects));
        env.send_up(self.index, Up::Acted { exchange, answer });
    }

    fn perform(&mut self, env: &mut Env, effects: Vec<NodeEffect>) {
        for effect in effects {
            match effect {
                NodeEffect::Start(assignment) => self.spawn_soon(env, assignment.attempt),
                NodeEffect::Kill { attempt, grace_ms } => self.kill(env, attempt, grace_ms),
                NodeEffect::Forget(_) => {}
            }
        }
    }

    fn spawn_soon(&mut self, env: &mut Env, attempt: AttemptId) {
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
        env.after(delay, Event::Exit { node: self.index, life: self.lives, attempt, how });
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
        env.oracle.process_starts(self.index, self.lives, attempt);
        self.executors.insert(attempt, Executor::Running { since: env.now });
        if let Some(link) = &mut self.link {
            link.on_started(env.now, attempt);
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
        let ran_ms = env.now - since;
        let (end, code) = match how {
            Exit::Code(code) => (AttemptEnd::Exited(Left::Code(code)), Some(code)),
            Exit::Killed => {
                let exit = Left::Signal { number: 15, core_dumped: false };
                (AttemptEnd::Killed { exit: Some(exit) }, None)
            }
            Exit::Lost => (AttemptEnd::Lost { why: "the keeper died".into() }, None),
        };
        env.oracle.process_ends(attempt, code);
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
        self.spool.insert(attempt, result.clone());
        let Some(link) = &mut self.link else { return };
        let effects = link.on_finished(env.now, result);
        self.perform(env, effects);
    }
}

/// Sabotage: numbers are doubled, so that an empty command that lets everything be forgotten fits before each.
fn forget_judged(link: &mut NodeLink, now: u64, command: &mut Command) {
    command.cmd_no *= 2;
    let forget = Command {
        cmd_no: command.cmd_no - 1,
        assign: Vec::new(),
        cancel: Vec::new(),
        answered_n: u64::MAX,
        ..command.clone()
    };
    command.answered_n = u64::MAX;
    // What refuses this refuses the command itself too.
    let _ = link.on_command(now, forget);
}
