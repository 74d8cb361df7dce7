//! The Scheduler: owns the order of waiting jobs, the capacity of nodes and the verdict on their silence. It proposes;
//! whether a job really starts is the Coordinator's to commit.

mod capable;
mod nodes;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use actix::{Actor, AsyncContext, Context, Handler, Recipient};

use crate::clock;
use crate::link::{Heard, LivenessTimers, LivenessWatch, NodeHealth};
use crate::model::{ClassId, Incarnation, NodeId};
use crate::policy::placement::{self, PlacementRule, Room};
use crate::policy::queue::ClassQueues;
use crate::protocol::metrics::{QueueMeasured, RunnerCount, Shutdown};
use crate::protocol::notices::RunnerChanged;
use crate::protocol::scheduling::{
    DoubtNode, EnqueueJobs, ExplainJobs, ForgetNode, ListRunners, NodeGone, PauseQueue, Placement,
    ReleaseSlot, RunnerLost, Runners, SetCapacity, SetEligibility, Silence, StartJobs, WaitReasons,
    WithdrawJobs,
};
use crate::protocol::{DeathGuard, RunnerSummary};
use capable::Capabilities;
use nodes::Node;

/// How often silence is judged and the queue is measured.
const SWEEP: std::time::Duration = std::time::Duration::from_secs(1);

/// Whom the Scheduler talks to.
#[derive(Clone, Debug)]
pub struct SchedulerPeers {
    /// Takes proposals.
    pub start: Recipient<StartJobs>,
    /// Takes the verdict on a silent node.
    pub lost: Recipient<RunnerLost>,
    /// Hear of changes of nodes.
    pub listeners: Vec<Recipient<RunnerChanged>>,
    /// Takes measurements of the queue.
    pub measured: Recipient<QueueMeasured>,
}

/// The actor.
#[derive(Debug)]
pub struct Scheduler {
    peers: SchedulerPeers,
    watch: LivenessWatch,
    frozen: bool,
    rule: PlacementRule,
    queue: ClassQueues,
    capable: Capabilities,
    nodes: BTreeMap<NodeId, Node>,
    /// How many choices were made.
    choices: u64,
    paused: bool,
    stopping: bool,
    guard: DeathGuard,
}

impl Scheduler {
    /// A Scheduler with nothing queued and no nodes.
    pub fn new(peers: SchedulerPeers, timers: LivenessTimers, paused: bool, guard: DeathGuard) -> Self {
        Self {
            peers,
            watch: LivenessWatch::new(timers, clock::uptime_ms()),
            frozen: false,
            rule: PlacementRule::default(),
            queue: ClassQueues::default(),
            capable: Capabilities::default(),
            nodes: BTreeMap::new(),
            choices: 0,
            paused,
            stopping: false,
            guard,
        }
    }

    /// The same, choosing nodes by this rule.
    #[must_use]
    pub fn by_rule(self, rule: PlacementRule) -> Self {
        Self { rule, ..self }
    }

    fn enqueue(&mut self, message: EnqueueJobs) {
        let EnqueueJobs { jobs, at_front } = message;
        jobs.iter().for_each(|job| self.capable.learn(job.class, &job.needs));
        if at_front {
            jobs.iter().rev().for_each(|job| self.queue.push_front(job.class, job.job));
        } else {
            jobs.iter().for_each(|job| self.queue.push_back(job.class, job.job));
        }
        if self.capable.are_many() {
            self.capable.keep(|class| self.queue.has(class));
        }
        self.propose();
    }

    /// Proposes as many waiting jobs as there is room for: the first of all that some node can take now, then the next.
    /// A class that has none now is passed over, and costs one look.
    fn propose(&mut self) {
        if self.paused || self.stopping {
            return;
        }
        let mut open: Vec<NodeId> =
            self.nodes.iter().filter(|(_, node)| node.is_open()).map(|(id, _)| *id).collect();
        if open.is_empty() {
            return;
        }
        let mut heads: BinaryHeap<_> = self.queue.heads().into_iter().map(Reverse).collect();
        let mut placements = Vec::new();
        while let Some(Reverse((_, class))) = heads.pop() {
            let Some(id) = self.choose(class, &open) else { continue };
            let (Some(node), Some(job)) = (self.nodes.get_mut(&id), self.queue.pop(class)) else { continue };
            self.choices += 1;
            node.room.taken += 1;
            node.room.chosen = self.choices;
            placements.push(Placement { job, node: id, incarnation: node.room.incarnation });
            if !node.is_open() {
                open.retain(|other| *other != id);
            }
            if open.is_empty() {
                break;
            }
            heads.extend(self.queue.head_of(class).map(|place| Reverse((place, class))));
        }
        if !placements.is_empty() {
            // Bounded: never more proposals than free slots, and a slot is free again only after its answer.
            self.peers.start.do_send(StartJobs { placements });
        }
    }

    /// The open node that the next job of this class goes to.
    fn choose(&mut self, class: ClassId, open: &[NodeId]) -> Option<NodeId> {
        let (nodes, capable) = (&self.nodes, &mut self.capable);
        let fitting = open.iter().enumerate().filter_map(|(at, id)| {
            let node = nodes.get(id)?;
            capable.is_for(class, *id, node).then_some((at, &node.room))
        });
        placement::choose(self.rule, fitting).and_then(|at| open.get(at).copied())
    }

    /// The node, in this life of it.
    fn node(&mut self, id: NodeId, incarnation: Incarnation) -> Option<&mut Node> {
        self.nodes.get_mut(&id).filter(|node| node.room.incarnation == incarnation)
    }

    fn release(&mut self, message: ReleaseSlot) {
        if let Some(node) = self.node(message.node, message.incarnation) {
            node.room.taken = node.room.taken.saturating_sub(message.count);
        }
        self.propose();
    }

    fn set_capacity(&mut self, message: SetCapacity) {
        let SetCapacity { node: id, incarnation, usable_slots, life } = message;
        if let Some(life) = life {
            let chosen = self.nodes.get(&id).map_or(0, |node| node.room.chosen);
            let room = Room { node: id, incarnation, usable: usable_slots, taken: life.taken, chosen };
            self.nodes.insert(id, Node::new(room, life));
        } else {
            let Some(node) = self.node(id, incarnation) else { return };
            node.room.usable = usable_slots;
            node.is_doubted = false;
            node.health = NodeHealth::Ready;
        }
        self.capable.doubt();
        self.announce(id);
        self.propose();
    }

    fn set_eligibility(&mut self, message: SetEligibility) {
        if let Some(node) = self.nodes.get_mut(&message.node) {
            node.eligibility = message.eligibility;
            self.announce(message.node);
            self.propose();
        }
    }

    fn forget(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.remove(&id) {
            self.tell(RunnerChanged { node: id, state: "removed", usable_slots: 0, taken: node.room.taken });
            self.capable.doubt();
        }
    }

    fn leave(&mut self, message: NodeGone) {
        let Some(node) = self.node(message.node, message.incarnation) else { return };
        node.leave();
        self.capable.doubt();
        self.announce(message.node);
    }

    fn announce(&self, id: NodeId) {
        if let Some(node) = self.nodes.get(&id) {
            let Room { usable, taken, .. } = node.room;
            self.tell(RunnerChanged { node: id, state: node.state(), usable_slots: usable, taken });
        }
    }

    fn tell(&self, notice: RunnerChanged) {
        // Bounded: one notice per change of one node's health, size or eligibility.
        self.peers.listeners.iter().for_each(|listener| listener.do_send(notice));
    }

    /// Judges the silence of every node. The Scheduler's own delays are no silence of theirs, and while most of them fall
    /// silent together nobody is given up.
    fn sweep(&mut self) {
        let heard = |(id, node): (&NodeId, &Node)| Heard {
            node: *id,
            heard_ms: node.pulse.last_ms(),
            health: node.health,
        };
        // Whoever said goodbye is not silent, and is none of those that may fall silent together.
        let there = self.nodes.iter().filter(|(_, node)| node.health != NodeHealth::Gone);
        let heard: Vec<Heard> = there.map(heard).collect();
        let sweep = self.watch.sweep(clock::uptime_ms(), SWEEP.as_millis() as u64, &heard);
        if sweep.frozen != self.frozen {
            self.frozen = sweep.frozen;
            log::warn!(frozen = sweep.frozen; "most runners have fallen silent together, or no longer: while they are, none is given up");
        }
        for (id, health) in sweep.moves {
            self.judge(id, health);
        }
        for id in sweep.fenced {
            self.note_fenced(id);
        }
        self.capable.doubt();
        self.capable.keep(|class| self.queue.has(class));
        self.queue.shrink();
        self.propose();
        self.measure();
    }

    fn judge(&mut self, id: NodeId, health: NodeHealth) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let health = node.next_health(health);
        if health == node.health {
            return;
        }
        log::warn!(node:% = id, name = node.spec.name.as_str(), health = health.as_str(); "a runner's health changed");
        node.health = health;
        node.fenced &= health >= NodeHealth::Unreachable;
        let incarnation = node.room.incarnation;
        if health == NodeHealth::Lost {
            (node.room.usable, node.room.taken) = (0, 0);
        }
        self.announce(id);
        if health >= NodeHealth::Unreachable {
            let meaning = if health == NodeHealth::Lost { Silence::GivenUp } else { Silence::Unknown };
            // Bounded: at most three such messages per silence of one node.
            self.peers.lost.do_send(RunnerLost { node: id, incarnation, meaning });
        }
    }

    /// A node was silent for so long that it has ended what must not outlive its connection.
    fn note_fenced(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if node.health == NodeHealth::Unreachable && !std::mem::replace(&mut node.fenced, true) {
            let incarnation = node.room.incarnation;
            self.peers.lost.do_send(RunnerLost { node: id, incarnation, meaning: Silence::Fenced });
        }
    }

    fn measure(&mut self) {
        let oldest = self.queue.peek().and_then(|job| job.0.get_timestamp()).map_or(0, |at| {
            let (seconds, nanos) = at.to_unix();
            seconds as i64 * 1000 + i64::from(nanos) / 1_000_000
        });
        // Bounded: one a second, and one at the stop.
        self.peers.measured.do_send(QueueMeasured {
            depth: self.queue.len() as u64,
            oldest_created_at_ms: oldest,
            runners: self.runners(),
            counts: RunnerCount::ALL.map(|state| self.count(state)),
            frozen: self.frozen,
        });
    }

    fn count(&self, state: RunnerCount) -> u64 {
        self.nodes.values().filter(|node| node.counted_as(self.stopping) == state).count() as u64
    }

    fn reasons(&mut self) -> WaitReasons {
        let (capable, nodes) = (&mut self.capable, &self.nodes);
        let without_node = self.queue.classes().filter(|class| !capable.has_node(*class, nodes)).collect();
        WaitReasons { paused: self.paused || self.stopping, without_node }
    }

    fn runners(&self) -> Vec<RunnerSummary> {
        let now_ms = clock::uptime_ms();
        self.nodes.values().map(|node| node.summary(now_ms)).collect()
    }
}

impl Actor for Scheduler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(SWEEP, |scheduler, _| scheduler.sweep());
    }
}

macro_rules! handle {
    ($message:ty, $result:ty, $scheduler:ident, $name:ident => $body:expr) => {
        impl Handler<$message> for Scheduler {
            type Result = $result;

            fn handle(&mut self, $name: $message, _: &mut Context<Self>) -> $result {
                let $scheduler = self;
                $body
            }
        }
    };
}

handle!(EnqueueJobs, (), scheduler, message => scheduler.enqueue(message));
handle!(WithdrawJobs, (), scheduler, message => {
    message.jobs.iter().for_each(|(job, class)| scheduler.queue.withdraw(*class, *job));
});
handle!(ReleaseSlot, (), scheduler, message => scheduler.release(message));
handle!(SetCapacity, (), scheduler, message => scheduler.set_capacity(message));
handle!(SetEligibility, (), scheduler, message => scheduler.set_eligibility(message));
handle!(ForgetNode, (), scheduler, message => scheduler.forget(message.node));
handle!(NodeGone, (), scheduler, message => scheduler.leave(message));
handle!(DoubtNode, (), scheduler, message => {
    if let Some(node) = scheduler.node(message.node, message.incarnation) {
        node.is_doubted = true;
        scheduler.announce(message.node);
    }
});

impl Handler<ListRunners> for Scheduler {
    type Result = actix::MessageResult<ListRunners>;

    fn handle(&mut self, _: ListRunners, _: &mut Context<Self>) -> Self::Result {
        actix::MessageResult(Runners { nodes: self.runners(), paused: self.paused })
    }
}

impl Handler<ExplainJobs> for Scheduler {
    type Result = actix::MessageResult<ExplainJobs>;

    fn handle(&mut self, _: ExplainJobs, _: &mut Context<Self>) -> Self::Result {
        actix::MessageResult(self.reasons())
    }
}

impl Handler<PauseQueue> for Scheduler {
    type Result = ();

    fn handle(&mut self, message: PauseQueue, _: &mut Context<Self>) {
        self.paused = message.paused;
        self.propose();
    }
}

impl Handler<Shutdown> for Scheduler {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Context<Self>) {
        self.stopping = true;
        self.measure();
        self.guard.disarm();
    }
}
