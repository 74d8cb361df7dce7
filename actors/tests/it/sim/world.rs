//! One run of one seed: draws the schedule of faults, hands each event to whom it concerns, and watches until all is
//! over or a rule is broken.

use callboard_actors::link::Inventory;

use super::coordinator::Coordinator;
use super::env::{Down, Env, Event, Sabotage, Up};
use super::node::SimNode;
use super::plan::Plan;

/// What a run was like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub steps: u64,
    pub processes: u64,
    pub jobs: u64,
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
    let mut world = World::new(seed, sabotage, false);
    match world.run() {
        Ok(stats) => Ok(stats),
        Err(rule) => {
            let mut again = World::new(seed, sabotage, true);
            let replayed = again.run();
            assert_eq!(replayed.err().as_ref(), Some(&rule), "a seed must replay");
            let mut tail = vec![format!("{:?}", again.env.plan)];
            tail.extend(again.tail.into_iter().flatten());
            tail.extend(again.coordinator.iter().flat_map(Coordinator::live));
            Err(Failure { rule, tail })
        }
    }
}

impl World {
    fn new(seed: u64, sabotage: Sabotage, log: bool) -> Self {
        let mut env = Env::new(seed, sabotage);
        env.oracle.trail = log.then(Vec::new);
        let plan = env.plan.clone();
        let node = |(index, node): (usize, &super::plan::NodePlan)| SimNode::new(index, node.slots);
        let nodes = plan.nodes.iter().enumerate().map(node).collect();
        draw_faults(&mut env, &plan);
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
                return Ok(self.stats());
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
        Stats { steps: self.steps, processes, jobs }
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
            Event::ArrivesAt(node, message) => nodes[node].hears(env, message),
            Event::NodeTick { node, life } if nodes[node].lives(life) => nodes[node].tick(env),
            Event::Spawn { node, life, attempt } if nodes[node].lives(life) => {
                nodes[node].spawn(env, attempt)
            }
            Event::Exit { node, life, attempt, how } if nodes[node].lives(life) => {
                nodes[node].exit(env, attempt, how)
            }
            Event::NodeTick { .. } | Event::Spawn { .. } | Event::Exit { .. } => {}
            Event::NodeDies(node) => nodes[node].die(env),
            Event::NodeBoots(node) => nodes[node].boot(env),
            Event::SlotsChange(node) => {
                let slots = env.rng.within(1, 3) as u32;
                nodes[node].change_slots(slots);
            }
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
            Event::Submit | Event::Cancel => {
                if let Some(coordinator) = coordinator {
                    match event {
                        Event::Submit => coordinator.submit(env),
                        _ => coordinator.cancel_one(env),
                    }
                }
            }
        }
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

/// Puts everything on the agenda that the plan wants to happen before the faults end.
fn draw_faults(env: &mut Env, plan: &Plan) {
    let end = plan.faults_end;
    let node = |env: &mut Env| env.rng.within(0, plan.nodes.len() as u64 - 1) as usize;
    for _ in 0..plan.jobs {
        let at = env.rng.within(0, end);
        env.after(at, Event::Submit);
    }
    for _ in 0..plan.cancels {
        let at = env.rng.within(0, end);
        env.after(at, Event::Cancel);
    }
    for _ in 0..plan.slot_changes {
        let (at, node) = (env.rng.within(0, end), node(env));
        env.after(at, Event::SlotsChange(node));
    }
    for _ in 0..plan.node_crashes {
        let (at, node) = (env.rng.within(0, end), node(env));
        let down = env.rng.pick(&[5, 300, 2_000, 8_000]);
        env.after(at, Event::NodeDies(node));
        env.after((at + down).min(end), Event::NodeBoots(node));
    }
    for _ in 0..plan.coordinator_crashes {
        let at = env.rng.within(0, end);
        let down = env.rng.pick(&[5, 300, 2_000]);
        env.after(at, Event::CoordinatorDies);
        env.after((at + down).min(end), Event::CoordinatorBoots);
    }
    for _ in 0..plan.partitions {
        let (at, node) = (env.rng.within(0, end), node(env));
        let long = env.rng.pick(&[500, 3_000, 9_000]);
        let ways: &[bool] = env.rng.pick(&[&[true][..], &[false][..], &[true, false][..]]);
        for up in ways {
            env.after(at, Event::Cut { node, up: *up, cut: true });
            env.after((at + long).min(end), Event::Cut { node, up: *up, cut: false });
        }
    }
    for node in 0..plan.nodes.len() {
        let at = env.rng.within(0, 200);
        env.after(at, Event::NodeBoots(node));
        env.after(end, Event::NodeBoots(node));
    }
    env.after(end, Event::CoordinatorBoots);
}
