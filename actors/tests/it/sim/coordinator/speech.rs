//! Commit before speech: what the coordinator says waits until everything written before it is durable.

use callboard_actors::link::{ReportRefusal, ReportReply};
use callboard_actors::model::{AttemptId, Incarnation, JobEvent, JobId, JobState};

use super::Coordinator;
use crate::sim::env::{Down, Env, Event, Sabotage};

/// What may be said once everything written before it is durable.
pub enum Speech {
    Accepted(JobId),
    Registered { node: usize, request: u64, incarnation: Incarnation },
    Leased { attempt: AttemptId, node: usize, incarnation: Incarnation },
    Kill { node: usize, attempt: AttemptId, grace_ms: u64 },
    Ended { job: JobId, state: Box<JobState> },
    Answer { node: usize, request: u64, incarnation: Incarnation, reply: ReportReply },
}
impl Coordinator {
    pub(super) fn say(&mut self, env: &mut Env, speech: Speech) {
        if env.sabotage == Sabotage::EarlySpeech {
            return self.speak(env, speech);
        }
        self.speeches.push_back((env.store.last_write(), speech));
        self.commit(env);
    }

    /// A commit begins, unless one is under way; what rests on no new write is said at once.
    pub(super) fn commit(&mut self, env: &mut Env) {
        if env.store.begin() {
            let delay = env.rng.within(1, env.plan.sync_most_ms);
            env.after(delay, Event::Synced(self.term));
        }
    }

    pub fn synced(&mut self, env: &mut Env) {
        let upto = env.store.end(&mut env.oracle);
        self.speak_upto(env, upto);
        self.commit(env);
    }

    pub(super) fn speak_upto(&mut self, env: &mut Env, upto: u64) {
        while self.speeches.front().is_some_and(|(after, _)| *after <= upto) {
            if let Some((_, speech)) = self.speeches.pop_front() {
                self.speak(env, speech);
            }
        }
    }

    pub(super) fn speak(&mut self, env: &mut Env, speech: Speech) {
        match speech {
            Speech::Accepted(job) => env.oracle.submit_acknowledged(job),
            Speech::Registered { node, request, incarnation } => {
                self.registered(env, node, request, incarnation)
            }
            Speech::Leased { attempt, node, incarnation } => self.leased(env, attempt, node, incarnation),
            Speech::Kill { node, attempt, grace_ms } => {
                self.nodes[node].lane.cancel.insert(attempt, grace_ms);
            }
            Speech::Ended { job, state } => self.ended(job, *state),
            Speech::Answer { node, request, incarnation, reply } => {
                if let Some(link) = &mut self.nodes[node].link
                    && link.incarnation() == incarnation
                {
                    link.answered(reply.n);
                    env.send_down(node, Down::Answer { request, answer: Ok(reply) });
                } else {
                    let answer = Err(ReportRefusal::Superseded);
                    env.send_down(node, Down::Answer { request, answer });
                }
            }
        }
    }

    pub(super) fn ended(&mut self, job: JobId, state: JobState) {
        let Some(entry) = self.jobs.get_mut(&job) else {
            return;
        };
        let attempt = AttemptId::new(job, entry.state.epoch());
        (entry.state, entry.ending) = (state, false);
        self.settle(attempt);
    }

    pub(super) fn settle(&mut self, attempt: AttemptId) {
        self.unsent.remove(&attempt);
        for side in &mut self.nodes {
            side.lane.assign.remove(&attempt);
            if let Some(link) = &mut side.link {
                link.settle(attempt);
            }
        }
    }

    pub(super) fn leased(
        &mut self,
        env: &mut Env,
        attempt: AttemptId,
        node: usize,
        incarnation: Incarnation,
    ) {
        if !self.unsent.remove(&attempt) || !self.awaits_start(attempt) {
            return;
        }
        let here = self.nodes[node].link.as_ref().is_some_and(|link| link.incarnation() == incarnation);
        let wish = self.jobs[&attempt.job].state.lease().is_some_and(|lease| lease.cancel.is_some());
        if here && !wish {
            self.nodes[node].lane.assign.insert(attempt);
        } else {
            self.apply(env, attempt.job, JobEvent::Returned { epoch: attempt.epoch });
        }
    }
}
