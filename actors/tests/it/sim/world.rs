//! One run of one seed: draws the schedule of faults, hands each event to whom it concerns, and watches until all is
//! over or a rule is broken.

use callboard_actors::link::Inventory;

use super::coordinator::Coordinator;
use super::env::{Down, Env, Event, Sabotage, Up};
use super::faults;
use super::node::SimNode;

/// What a run was like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub steps: u64,
    pub processes: u64,
    pub jobs: u64,
    /// Attempts that came back retracted, commands refused, orders to drain obeyed, sweeps with the brake on,
    /// attempts that outlived their node.
    pub happened: [u64; 5],
}

impl Stats {
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.processes += other.processes;
        self.jobs += other.jobs;
        self.happened.iter_mut().zip(other.happened).for_each(|(all, one)| *all += one);
    }
}

/// Why a run failed, and the last steps before it did.
pub struct Failure {
    pub rule: String,
    pub tail: Vec<String>,
}

/// Steps shown of a failed run.
const TAIL: usize = 250;

struct World {
    env: Env,
    coordinator: Option<Coordinator>,
    nodes: Vec<SimNode>,
    tail: Option<std::collections::VecDeque<String>>,
    steps: u64,
}

/// Runs a seed. It is run again, with a log, if it fails.
pub fn run(seed: u64, sabotage: Sabotage) -> Result<Stats, Failure> {
    World::new(seed, sabotage, false).run().map_err(|rule| match replay(seed, sabotage) {
        Err(failure) if failure.rule == rule => failure,
        _ => Failure { rule: format!("a seed must replay, and this did not: {rule}"), tail: Vec::new() },
    })
}

/// Runs a seed with a log of its last steps.
pub fn replay(seed: u64, sabotage: Sabotage) -> Result<(Stats, Vec<String>), Failure> {
    let mut world = World::new(seed, sabotage, true);
    let run = world.run();
    let mut tail = vec![format!("{:?}", world.env.plan)];
    tail.extend(world.tail.into_iter().flatten());
    tail.extend(world.coordinator.iter().flat_map(Coordinator::live));
    match run {
        Ok(stats) => Ok((stats, tail)),
        Err(rule) => Err(Failure { rule, tail }),
    }
}

impl World {
    fn new(seed: u64, sabotage: Sabotage, log: bool) -> Self {
        let mut env = Env::new(seed, sabotage);
        env.oracle.trail = log.then(Vec::new);
        let plan = env.plan.clone();
        let node = |(index, node): (usize, &super::plan::NodePlan)| SimNode::new(index, node);
        let nodes = plan.nodes.iter().enumerate().map(node).collect();
        faults::draw(&mut env, &plan);
        env.after(0, Event::CoordinatorBoots);
        Self { env, coordinator: None, nodes, tail: log.then(Default::default), steps: 0 }
    }

    fn run(&mut self) -> Result<Stats, String> {
        while let Some(event) = self.env.next() {
            self.steps += 1;
            self.log(&event);
            self.step(event);
            self.check();
            if let Some(rule) = self.env.oracle.violation.take() {
                return Err(rule);
            }
            if self.env.now > self.env.plan.faults_end && self.is_over() {
                self.env.oracle.all_is_over();
                return self.env.oracle.violation.take().map_or_else(|| Ok(self.stats()), Err);
            }
        }
        Err("the world stands still".into())
    }

    fn log(&mut self, event: &Event) {
        let Some(tail) = &mut self.tail else { return };
        tail.extend(self.env.oracle.trail.iter_mut().flat_map(|trail| trail.drain(..)));
        if !says_nothing(event) {
            tail.push_back(format!("{:>6} {event:?}", self.env.now));
        }
        while tail.len() > TAIL {
            tail.pop_front();
        }
    }

    fn stats(&self) -> Stats {
        let (processes, jobs) = (self.env.oracle.processes, self.env.store.durable.len() as u64);
        Stats { steps: self.steps, processes, jobs, happened: self.env.oracle.happened }
    }

    fn is_over(&self) -> bool {
        let idle = |coordinator: &Coordinator| coordinator.all_ended() && coordinator.is_idle();
        self.coordinator.as_ref().is_some_and(idle)
            && self.nodes.iter().all(SimNode::is_idle)
            && !self.env.store.busy()
    }

    fn check(&mut self) {
        let env = &mut self.env;
        if let Some(coordinator) = &self.coordinator {
            coordinator.check(env);
            if env.now > env.plan.faults_end + env.plan.recovery_ms() {
                let ended = coordinator.all_ended();
                env.oracle.broken(if ended {
                    "I10: a node or a link still holds attempts of jobs that are over"
                } else {
                    "I8: long after the faults, a job has not ended"
                });
            }
        }
    }

    fn step(&mut self, event: Event) {
        let Self { env, coordinator, nodes, .. } = self;
        match event {
            Event::Arrives(node, message) => {
                if let Some(coordinator) = coordinator {
                    coordinator.hears(env, node, message);
                }
            }
            Event::ArrivesAt(..) | Event::NodeTick { .. } | Event::SlotsChange(_) => {
                node_step(env, nodes, event)
            }
            Event::Spawn { .. } | Event::Exit { .. } | Event::Spooled { .. } => node_step(env, nodes, event),
            Event::NodeDies(node) => {
                env.paused.remove(&Some(node));
                nodes[node].die(env);
            }
            Event::NodeBoots(node) => nodes[node].boot(env),
            Event::CoordinatorTick(term) => {
                if let Some(coordinator) = coordinator.as_mut().filter(|up| up.term() == term) {
                    coordinator.tick(env);
                }
            }
            Event::Synced(term) => {
                if let Some(coordinator) = coordinator.as_mut().filter(|up| up.term() == term) {
                    coordinator.synced(env);
                }
            }
            Event::CoordinatorDies => {
                env.paused.remove(&None);
                if coordinator.take().is_some() {
                    env.store.crash(&mut env.rng, &mut env.oracle);
                    env.oracle.count(&env.store.durable);
                }
            }
            Event::CoordinatorBoots => {
                coordinator.get_or_insert_with(|| Coordinator::boot(env));
            }
            Event::Cut { node, up, cut } => {
                env.cuts.insert((node, up), cut);
            }
            Event::Blackout(on) => {
                env.blackout = on;
                if let Some(coordinator) = coordinator {
                    coordinator.note_blackout(env, on);
                }
            }
            Event::Pause { node, for_ms } => {
                env.paused.insert(node, env.now + for_ms);
            }
            Event::Submit | Event::Cancel | Event::Retract | Event::Drain { .. } => {
                if let Event::Drain { node, drain } = event
                    && env.store.drains.insert(node, drain).unwrap_or(false) == drain
                {
                    return;
                }
                if let Some(coordinator) = coordinator {
                    coordinator.asked(env, event);
                }
            }
        }
    }
}

/// What a node notices; what belongs to an earlier life of it is void.
fn node_step(env: &mut Env, nodes: &mut [SimNode], event: Event) {
    match event {
        Event::ArrivesAt(node, message) => nodes[node].hears(env, message),
        Event::SlotsChange(node) => {
            let slots = env.rng.within(1, 3) as u32;
            nodes[node].change_slots(env, slots);
        }
        Event::NodeTick { node, life } if nodes[node].lives(life) => nodes[node].tick(env),
        Event::Spawn { node, life, attempt } if nodes[node].lives(life) => nodes[node].spawn(env, attempt),
        // A process may outlive the life that started it.
        Event::Exit { node, attempt, how } => nodes[node].exit(env, attempt, how),
        Event::Spooled { node, life, attempt } if nodes[node].lives(life) => {
            nodes[node].spooled(env, attempt)
        }
        _ => {}
    }
}

/// Ticks and heartbeats are most of all steps and would fill the log.
fn says_nothing(event: &Event) -> bool {
    match event {
        Event::NodeTick { .. } | Event::CoordinatorTick(_) => true,
        Event::Arrives(_, Up::Report { report, .. }) => {
            let told = report.started.len() + report.finished.len() + report.returned.len();
            told == 0 && matches!(report.inventory, Inventory::Digest(_))
        }
        Event::ArrivesAt(_, Down::Answer { answer: Ok(reply), .. }) => {
            reply.verdicts.is_empty() && !reply.want_full_inventory
        }
        _ => false,
    }
}
