//! Who gets which job, and what becomes of the jobs of a node that is silent.

use callboard_actors::link::{CoordinatorLink, Heard, NodeHealth, Sweep};
use callboard_actors::model::{AttemptId, JobEvent, JobId, JobState, OnLost};

use super::{Coordinator, Job, LONGEST_TICK_MS, NodeSide, Speech};
use crate::sim::env::{Env, Sabotage};
use crate::sim::plan::MAX_LOST;

impl Coordinator {
    /// What the silence of the nodes means now.
    pub(super) fn sweep(&mut self, env: &mut Env) {
        let heard = |(node, side): (usize, &NodeSide)| Heard {
            node: env.node_ids[node],
            heard_ms: side.last_heard,
            health: side.health,
        };
        let nodes: Vec<Heard> = self.nodes.iter().enumerate().map(heard).collect();
        let sweep = if env.sabotage == Sabotage::NoBrake {
            let alone = |node: &Heard| {
                let health = env.plan.timers.judge(env.now - node.heard_ms, 0);
                (health != node.health).then_some((node.node, health))
            };
            Sweep { moves: nodes.iter().filter_map(alone).collect(), ..Sweep::default() }
        } else {
            self.watch.sweep(env.now, LONGEST_TICK_MS, &nodes)
        };
        env.oracle.happened[3] += u64::from(sweep.frozen);
        for (id, health) in sweep.moves {
            self.judged(env, env.node_index(id), health);
        }
    }

    /// Everything is cut off: who was heard just now must not be given up as long as nobody is heard.
    pub fn note_blackout(&mut self, env: &Env, on: bool) {
        let late = |side: &NodeSide| env.now - side.last_heard > env.plan.timers.heartbeat_ms;
        let heard = |side: &NodeSide| side.link.is_some() && !late(side);
        let fresh: Vec<usize> = (0..self.nodes.len()).filter(|node| heard(&self.nodes[*node])).collect();
        let there = self.nodes.iter().filter(|side| side.health.is_there()).count();
        let many = fresh.len() >= 3 && fresh.len() * 2 >= there;
        self.in_blackout = if on && many { fresh } else { Vec::new() };
    }

    fn judged(&mut self, env: &mut Env, node: usize, health: NodeHealth) {
        let side = &mut self.nodes[node];
        side.health = health;
        if health < NodeHealth::Unreachable {
            return;
        }
        if self.in_blackout.contains(&node) {
            env.oracle.broken(format!("node {node} is given up though everything fell silent at once"));
        }
        if let Some(link) = &mut side.link {
            if health == NodeHealth::Lost {
                link.give_up();
            } else {
                link.distrust();
            }
        }
        let on_node = |(id, job): (&JobId, &Job)| {
            let lease = job.state.lease()?;
            (lease.node == env.node_ids[node]).then_some(AttemptId::new(*id, lease.tally.epoch))
        };
        let held: Vec<AttemptId> = self.jobs.iter().filter_map(on_node).collect();
        for attempt in held {
            if health == NodeHealth::Lost {
                self.lose(env, attempt, "the node is silent");
            } else {
                self.apply(env, attempt.job, JobEvent::Silent { epoch: attempt.epoch });
            }
        }
    }

    pub(super) fn lose(&mut self, env: &mut Env, attempt: AttemptId, why: &str) -> bool {
        let Some(job) = self.jobs.get(&attempt.job) else {
            return false;
        };
        let on_lost = if env.sabotage == Sabotage::NeverIgnored { OnLost::Requeue } else { job.spec.on_lost };
        let event = JobEvent::Lost { epoch: attempt.epoch, on_lost, max_lost: MAX_LOST, why: why.into() };
        let changed = self.apply(env, attempt.job, event);
        self.settle(attempt);
        changed
    }

    /// Gives waiting jobs to nodes with room.
    pub(super) fn dispatch(&mut self, env: &mut Env) {
        let mut room: Vec<i64> = (0..self.nodes.len()).map(|node| self.room(env, node)).collect();
        for job in self.queue.clone() {
            let open: Vec<usize> = (0..room.len()).filter(|node| room[*node] > 0).collect();
            if open.is_empty() || !matches!(self.jobs[&job].state, JobState::Queued(_)) {
                break;
            }
            let node = env.rng.pick(&open);
            room[node] -= 1;
            let Some(incarnation) = self.nodes[node].link.as_ref().map(CoordinatorLink::incarnation) else {
                continue;
            };
            let id = env.node_ids[node];
            if self.apply(env, job, JobEvent::Leased { node: id, incarnation }) {
                let attempt = AttemptId::new(job, self.jobs[&job].state.epoch());
                self.unsent.insert(attempt);
                self.say(env, Speech::Leased { attempt, node, incarnation });
            }
        }
    }

    pub(super) fn room(&self, env: &mut Env, node: usize) -> i64 {
        let side = &self.nodes[node];
        let Some(link) = side.link.as_ref().filter(|link| link.is_ready()) else {
            return 0;
        };
        if side.health != NodeHealth::Ready || side.usable_slots == 0 {
            return 0;
        }
        // Leased, but in no command yet.
        let to_come = |(id, job): &(&JobId, &Job)| {
            let lease = job.state.lease().filter(|lease| lease.node == env.node_ids[node]);
            lease.is_some_and(|lease| !link.holds(AttemptId::new(**id, lease.tally.epoch)))
        };
        let to_come = self.jobs.iter().filter(to_come).count() as i64;
        let overbooked = i64::from(env.rng.percent(env.plan.overbook_percent)) * 2;
        i64::from(link.room()) + overbooked - to_come
    }
}
