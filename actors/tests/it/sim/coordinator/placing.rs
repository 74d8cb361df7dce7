//! Who gets which job, and what becomes of the jobs of a node that is silent.

use callboard_actors::link::{CoordinatorLink, NodeHealth};
use callboard_actors::model::{AttemptId, JobEvent, JobId, JobState, OnLost};

use super::{Coordinator, Job, Speech};
use crate::sim::env::{Env, Sabotage};
use crate::sim::plan::MAX_LOST;

impl Coordinator {
    /// What the silence of a node means now.
    pub(super) fn sweep(&mut self, env: &mut Env, node: usize) {
        let side = &mut self.nodes[node];
        let health = env.plan.timers.judge(env.now - side.last_heard, 0);
        if side.health.replace(health) == Some(health) || health < NodeHealth::Unreachable {
            return;
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
        if side.health != Some(NodeHealth::Ready)
            || !side.link.as_ref().is_some_and(CoordinatorLink::is_ready)
        {
            return 0;
        }
        let on_node = |job: &&Job| job.state.lease().is_some_and(|lease| lease.node == env.node_ids[node]);
        let taken = self.jobs.values().filter(on_node).count() as i64;
        let overbooked = i64::from(env.rng.percent(env.plan.overbook_percent)) * 2;
        i64::from(side.usable_slots) + overbooked - taken
    }
}
