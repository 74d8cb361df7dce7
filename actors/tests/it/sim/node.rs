//! A simulated node: the real `NodeLink` and a client that registers and reports. It knows the coordinator only by its
//! messages.

mod disk;
mod executor;

use std::collections::BTreeMap;

use callboard_actors::link::{Command, NodeLink, ReportRefusal, ReportReply, Verdict};
use callboard_actors::model::{AttemptEnd, AttemptId, Incarnation, Term};

use super::env::{Down, Env, Event, Sabotage, Up};
use disk::Disk;
use executor::{Ended, Executor};

/// A clock that runs up to 5 % too fast or too slowly.
#[derive(Clone, Copy)]
pub struct Clock {
    percent: u64,
}

impl Clock {
    fn now(self, env: &Env) -> u64 {
        env.now * self.percent / 100
    }
}
use super::plan::{ANSWER_MS, NodePlan};

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
    clock: Clock,
    disk: Disk,
    executors: BTreeMap<AttemptId, Executor>,
    /// What ended while no life of the node was registered; its keeper has kept that.
    ended: Vec<Ended>,
    registered: bool,
    register: Option<Asked>,
    report: Option<Asked>,
    last_report: u64,
}

impl SimNode {
    pub fn new(index: usize, plan: &NodePlan) -> Self {
        Self {
            index,
            life: None,
            lives: 0,
            link: None,
            slots: plan.slots,
            clock: Clock { percent: plan.clock_percent },
            disk: Disk::default(),
            executors: BTreeMap::new(),
            ended: Vec::new(),
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
        let survivors = self.survivors(env);
        env.oracle.happened[4] += survivors.len() as u64;
        env.oracle.node_dies(self.index, &survivors);
        self.life = None;
        self.link = None;
        self.registered = false;
        (self.register, self.report) = (None, None);
        let spooled = env.plan.nodes[self.index].spooled && env.sabotage != Sabotage::SpoolLost;
        self.disk.crash(env, spooled);
    }

    pub fn lives(&self, life: u64) -> bool {
        self.life == Some(life)
    }

    /// Whether the node has nothing to run and nothing to tell.
    pub fn is_idle(&self) -> bool {
        self.link.as_ref().is_some_and(NodeLink::is_empty) && self.executors.is_empty()
    }

    pub fn change_slots(&mut self, env: &mut Env, slots: u32) {
        self.slots = slots;
        if let Some(link) = &mut self.link {
            let effects = link.set_usable_slots(slots);
            self.perform(env, effects);
        }
    }

    pub fn tick(&mut self, env: &mut Env) {
        let delay = env.rng.within(15, 60);
        env.after(delay, Event::NodeTick { node: self.index, life: self.lives });
        if !self.registered {
            return self.tick_register(env);
        }
        let now = self.clock.now(env);
        let Some(link) = &mut self.link else { return };
        if self.report.as_ref().is_some_and(|asked| asked.until <= now) {
            self.report = None;
            link.on_report_failed();
        }
        let due = link.has_news() || now >= self.last_report + env.plan.timers.heartbeat_ms;
        if self.report.is_none() && due {
            let mut report = link.report(now);
            if matches!(env.sabotage, Sabotage::NoJudgedMemory | Sabotage::ReturnsForgotten) {
                report.cmd_seen /= 2;
            }
            if env.sabotage == Sabotage::ReturnsForgotten {
                // As if this report had been answered already.
                let (n, want_full_inventory) = (report.n, false);
                link.on_reply(&ReportReply { n, want_full_inventory, verdicts: Vec::new() });
            }
            self.last_report = now;
            for note in &report.returned {
                env.oracle.gives_back(self.index, note.attempt);
            }
            let request = env.fresh();
            self.report = Some(Asked { request, until: now + ANSWER_MS });
            env.send_up(self.index, Up::Report { request, report });
        }
    }

    fn tick_register(&mut self, env: &mut Env) {
        let now = self.clock.now(env);
        if self.register.as_ref().is_none_or(|asked| asked.until <= now) {
            let request = env.fresh();
            self.register = Some(Asked { request, until: now + ANSWER_MS });
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
                let now = self.clock.now(env);
                let link = link.with_running(self.adopted(env));
                let mut link = link.with_term_seen(self.disk.term).with_results(now, self.disk.results());
                link.set_prefetch(env.plan.nodes[self.index].prefetch);
                self.link = Some(link);
                self.tell_ended(env);
            }
        }
        self.keep_term();
    }

    /// The highest term seen is on the disk before anything follows from it.
    fn keep_term(&mut self) {
        self.disk.term = self.link.as_ref().map_or(self.disk.term, NodeLink::term_seen);
    }

    fn answered(&mut self, env: &mut Env, answer: Result<ReportReply, ReportRefusal>) {
        let Some(link) = &mut self.link else { return };
        match answer {
            Ok(reply) => {
                for (attempt, verdict) in &reply.verdicts {
                    env.oracle.unspooled(*attempt);
                    if let Some(result) = self.disk.forget(*attempt)
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
        let now = self.clock.now(env);
        let Some(link) = &mut self.link else { return };
        match env.sabotage {
            Sabotage::NoJudgedMemory | Sabotage::ReturnsForgotten => forget_judged(link, now, &mut command),
            Sabotage::OldCommandsObeyed => command.cmd_no = link.clone().report(now).cmd_seen + 1,
            Sabotage::OtherLivesObeyed => command.incarnation = link.incarnation(),
            _ => {}
        }
        let (term, held) = (command.term, link.live_count());
        let answer = link.on_command(now, command);
        let most = (self.slots + env.plan.nodes[self.index].prefetch) as usize;
        if link.live_count() > held.max(most) {
            env.oracle.broken(format!("I7: node {} holds {} attempts", self.index, link.live_count()));
        }
        env.oracle.happened[1] += u64::from(answer.is_err());
        env.oracle.happened[2] += u64::from(link.is_draining());
        if answer.is_ok() {
            env.oracle.obeys(self.index, term);
        }
        self.keep_term();
        let answer = answer.map(|effects| self.perform(env, effects));
        env.send_up(self.index, Up::Acted { exchange, answer });
    }
}

/// Sabotage: numbers are doubled, so that an empty command that lets everything be forgotten fits before each.
fn forget_judged(link: &mut NodeLink, now: u64, command: &mut Command) {
    command.cmd_no *= 2;
    let forget = Command {
        cmd_no: command.cmd_no - 1,
        assign: Vec::new(),
        cancel: Vec::new(),
        retract: Vec::new(),
        answered_n: u64::MAX,
        ..command.clone()
    };
    command.answered_n = u64::MAX;
    // What refuses this refuses the command itself too.
    let _ = link.on_command(now, forget);
}
