//! What users and operators ask of the simulated coordinator.

use std::sync::Arc;

use callboard_actors::link::DrainOrder;
use callboard_actors::model::{AttemptId, CancelWish, EndReason, JobEvent, JobId, JobSpec, JobState, OnLost};

use super::{Coordinator, Job, Speech};
use crate::sim::env::{Env, Event};
use crate::sim::store::Write;

impl Coordinator {
    pub fn asked(&mut self, env: &mut Env, event: Event) {
        match event {
            Event::Submit => self.submit(env),
            Event::Cancel => self.cancel_one(env),
            Event::Retract => self.retract_some(env),
            Event::Drain { node, .. } => {
                self.set_drain(env, node);
                self.nodes[node].lane.restate = true;
            }
            _ => {}
        }
    }

    fn submit(&mut self, env: &mut Env) {
        let id = env.job_id();
        let on_lost = if env.rng.percent(env.plan.never_percent) { OnLost::Never } else { OnLost::Requeue };
        let spec = Arc::new(JobSpec { grace_ms: 500, on_lost, ..JobSpec::shell("true") });
        env.oracle.submitted.insert(id, on_lost);
        let state = JobState::new();
        env.store.write(Write::Job { job: id, state: state.clone(), spec: Arc::clone(&spec) });
        self.jobs.insert(id, Job { spec, state, ending: false });
        self.queue.push_back(id);
        self.say(env, Speech::Accepted(id));
    }

    fn cancel_one(&mut self, env: &mut Env) {
        let live: Vec<JobId> =
            self.jobs.iter().filter(|(_, job)| !job.state.is_ended()).map(|(id, _)| *id).collect();
        if live.is_empty() {
            return;
        }
        let job = env.rng.pick(&live);
        let wish = CancelWish { reason: EndReason::User, note: None, grace_ms: 300 };
        self.apply(env, job, JobEvent::CancelRequested(wish));
        self.tell_wish(env, job);
    }

    /// Asks back everything that a node is not known to have started.
    fn retract_some(&mut self, env: &mut Env) {
        let node = env.rng.within(0, self.nodes.len() as u64 - 1) as usize;
        let held = self.nodes[node].link.iter().flat_map(|link| link.given());
        let held: Vec<AttemptId> = held.filter(|attempt| self.awaits_start(*attempt)).collect();
        self.nodes[node].lane.retract.extend(held);
    }

    /// From now on commands tell the node what an operator wants of it.
    pub(super) fn set_drain(&mut self, env: &Env, node: usize) {
        let drain = env.store.drains.get(&node) == Some(&true);
        let side = &mut self.nodes[node];
        if let Some(link) = &mut side.link {
            link.set_drain(drain.then(DrainOrder::default));
            side.lane.restate = drain;
        }
    }
}
