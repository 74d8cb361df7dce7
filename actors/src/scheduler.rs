//! The Scheduler: owns the order of waiting jobs, the capacity of nodes and the verdict on their silence. It proposes;
//! whether a job really starts is the Coordinator's to commit.

use std::collections::HashMap;

use actix::{Actor, AsyncContext, Context, Handler, Recipient};

use crate::clock::{self, Moment};
use crate::link::{LivenessTimers, NodeHealth};
use crate::model::{Incarnation, JobId, NodeId, WaitReason};
use crate::policy::placement::{self, Room};
use crate::policy::queue::FifoQueue;
use crate::protocol::metrics::{QueueMeasured, RunnerCount, Shutdown};
use crate::protocol::notices::RunnerChanged;
use crate::protocol::scheduling::{
    EnqueueJobs, ExplainJob, ListRunners, NodeHeard, PauseQueue, Placement, ReleaseSlot, RunnerLost, Runners,
    SetCapacity, StartJobs, WithdrawJobs,
};
use crate::protocol::{DeathGuard, RunnerSummary};

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

#[derive(Debug)]
struct NodeWatch {
    heard: Moment,
    health: NodeHealth,
}

/// The actor.
#[derive(Debug)]
pub struct Scheduler {
    peers: SchedulerPeers,
    timers: LivenessTimers,
    queue: FifoQueue,
    rooms: Vec<Room>,
    watched: HashMap<NodeId, NodeWatch>,
    paused: bool,
    stopping: bool,
    last_sweep: Moment,
    guard: DeathGuard,
}

impl Scheduler {
    /// A Scheduler with nothing queued and no nodes.
    pub fn new(peers: SchedulerPeers, timers: LivenessTimers, paused: bool, guard: DeathGuard) -> Self {
        Self {
            peers,
            timers,
            queue: FifoQueue::default(),
            rooms: Vec::new(),
            watched: HashMap::new(),
            paused,
            stopping: false,
            last_sweep: clock::moment(),
            guard,
        }
    }

    fn enqueue(&mut self, jobs: &[JobId], at_front: bool) {
        if at_front {
            jobs.iter().rev().for_each(|job| self.queue.push_front(*job));
        } else {
            jobs.iter().for_each(|job| self.queue.push_back(*job));
        }
        self.propose();
    }

    /// Proposes as many waiting jobs as there is room for.
    fn propose(&mut self) {
        if self.paused || self.stopping {
            return;
        }
        let mut placements = Vec::new();
        while let Some(room) = placement::least_loaded(&mut self.rooms) {
            let Some(job) = self.queue.pop() else { break };
            room.taken += 1;
            placements.push(Placement { job, node: room.node, incarnation: room.incarnation });
        }
        if !placements.is_empty() {
            // Bounded: never more proposals than free slots, and a slot is free again only after its answer.
            self.peers.start.do_send(StartJobs { placements });
        }
    }

    fn room(&mut self, node: NodeId, incarnation: Incarnation) -> Option<&mut Room> {
        self.rooms.iter_mut().find(|room| room.node == node && room.incarnation == incarnation)
    }

    fn release(&mut self, message: ReleaseSlot) {
        if let Some(room) = self.room(message.node, message.incarnation) {
            room.taken = room.taken.saturating_sub(message.count);
        }
        self.propose();
    }

    fn set_capacity(&mut self, message: SetCapacity) {
        let SetCapacity { node, incarnation, usable_slots, taken } = message;
        match (self.room(node, incarnation), taken) {
            (Some(room), None) => room.usable = usable_slots,
            (_, taken) => {
                self.rooms.retain(|room| room.node != node);
                self.rooms.push(Room { node, incarnation, usable: usable_slots, taken: taken.unwrap_or(0) });
            }
        }
        self.watched.insert(node, NodeWatch { heard: clock::moment(), health: NodeHealth::Ready });
        self.announce(node, NodeHealth::Ready);
        self.propose();
    }

    fn announce(&self, node: NodeId, health: NodeHealth) {
        let room = self.rooms.iter().find(|room| room.node == node);
        let notice = RunnerChanged {
            node,
            state: health.as_str(),
            usable_slots: room.map_or(0, |room| room.usable),
            taken: room.map_or(0, |room| room.taken),
        };
        // Bounded: one notice per change of one node's health or size.
        self.peers.listeners.iter().for_each(|listener| listener.do_send(notice));
    }

    /// Judges the silence of every node. The Scheduler's own delay since the last sweep is no silence of theirs.
    fn sweep(&mut self) {
        let lag_ms = self.last_sweep.elapsed_ms().saturating_sub(SWEEP.as_millis() as u64);
        self.last_sweep = clock::moment();
        let mut changed = Vec::new();
        for (node, watch) in &mut self.watched {
            let health = self.timers.judge(watch.heard.elapsed_ms(), lag_ms);
            if health != watch.health {
                watch.health = health;
                changed.push((*node, health));
            }
        }
        for (node, health) in changed {
            self.judge(node, health);
        }
        self.queue.shrink();
        self.measure();
    }

    fn judge(&mut self, node: NodeId, health: NodeHealth) {
        log::warn!(node:% = node, health = health.as_str(); "a runner's health changed");
        self.announce(node, health);
        let Some(room) = self.rooms.iter().find(|room| room.node == node) else {
            return;
        };
        let incarnation = room.incarnation;
        // Bounded: at most two such messages per silence of one node.
        match health {
            NodeHealth::Ready | NodeHealth::Suspect => {}
            NodeHealth::Unreachable => {
                self.peers.lost.do_send(RunnerLost { node, incarnation, given_up: false })
            }
            NodeHealth::Lost => {
                self.rooms.retain(|room| room.node != node);
                self.peers.lost.do_send(RunnerLost { node, incarnation, given_up: true });
            }
        }
    }

    fn measure(&self) {
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
        });
    }

    /// A node that is merely suspect is given jobs, so it counts as ready.
    fn count(&self, state: RunnerCount) -> u64 {
        let state_of = |watch: &NodeWatch| match watch.health {
            NodeHealth::Unreachable | NodeHealth::Lost => RunnerCount::Lost,
            NodeHealth::Ready | NodeHealth::Suspect if self.stopping => RunnerCount::Draining,
            NodeHealth::Ready | NodeHealth::Suspect => RunnerCount::Ready,
        };
        self.watched.values().filter(|watch| state_of(watch) == state).count() as u64
    }

    fn reason(&self) -> WaitReason {
        if self.paused || self.stopping {
            WaitReason::QueuePaused
        } else if self.rooms.iter().all(|room| room.usable == 0) {
            WaitReason::NoCapableRunner
        } else {
            WaitReason::Resources
        }
    }

    fn runners(&self) -> Vec<RunnerSummary> {
        let summary = |room: &Room| RunnerSummary {
            id: room.node,
            incarnation: room.incarnation,
            state: self.watched.get(&room.node).map_or("lost", |watch| watch.health.as_str()),
            usable_slots: room.usable,
            taken: room.taken,
        };
        self.rooms.iter().map(summary).collect()
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

handle!(EnqueueJobs, (), scheduler, message => scheduler.enqueue(&message.jobs, message.at_front));
handle!(WithdrawJobs, (), scheduler, message => message.jobs.iter().for_each(|job| scheduler.queue.withdraw(*job)));
handle!(ReleaseSlot, (), scheduler, message => scheduler.release(message));
handle!(SetCapacity, (), scheduler, message => scheduler.set_capacity(message));

impl Handler<ListRunners> for Scheduler {
    type Result = actix::MessageResult<ListRunners>;

    fn handle(&mut self, _: ListRunners, _: &mut Context<Self>) -> Self::Result {
        actix::MessageResult(Runners { nodes: self.runners(), paused: self.paused })
    }
}

impl Handler<ExplainJob> for Scheduler {
    type Result = actix::MessageResult<ExplainJob>;

    fn handle(&mut self, _: ExplainJob, _: &mut Context<Self>) -> Self::Result {
        actix::MessageResult(self.reason())
    }
}

impl Handler<NodeHeard> for Scheduler {
    type Result = ();

    fn handle(&mut self, message: NodeHeard, _: &mut Context<Self>) {
        if let Some(watch) = self.watched.get_mut(&message.node) {
            watch.heard = clock::moment();
        }
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
