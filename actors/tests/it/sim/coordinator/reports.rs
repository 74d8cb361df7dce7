//! What the coordinator makes of registrations and reports: effects of the link become events of jobs, and the answer
//! waits until they are durable.

use callboard_actors::link::{CoordinatorLink, LinkEffect, Report, ReportRefusal, ReportReply, Verdict};
use callboard_actors::model::{
    AttemptEnd, AttemptId, AttemptResult, Incarnation, JobEvent, JobId, JobState, Outcome,
};

use super::lane::Lane;
use super::{Coordinator, Job, Speech};
use crate::sim::env::{Down, Env, Sabotage, Up};
use crate::sim::store::Write;

impl Coordinator {
    pub fn hears(&mut self, env: &mut Env, node: usize, message: Up) {
        self.in_blackout.clear();
        match message {
            Up::Register { request } => {
                self.nodes[node].last_heard = env.now;
                self.register(env, node, request);
            }
            Up::Report { request, report } => {
                if let Err(refusal) = self.report(env, node, request, report) {
                    env.send_down(node, Down::Answer { request, answer: Err(refusal) });
                }
            }
            Up::Acted { exchange, answer } => self.acted(env, node, exchange, answer),
        }
    }

    fn register(&mut self, env: &mut Env, node: usize, request: u64) {
        let last = env.store.incarnations.get(&node).copied().unwrap_or_default();
        let minted = self.minted.entry(node).or_insert(last);
        *minted = minted.next();
        let incarnation = *minted;
        env.store.write(Write::Incarnation { node, incarnation });
        self.say(env, Speech::Registered { node, request, incarnation });
    }

    pub(super) fn registered(&mut self, env: &mut Env, node: usize, request: u64, incarnation: Incarnation) {
        let id = env.node_ids[node];
        let on_node = |(job, entry): (&JobId, &Job)| {
            let lease = entry.state.lease()?;
            (lease.node == id).then_some(AttemptId::new(*job, lease.tally.epoch))
        };
        let held: Vec<AttemptId> = self.jobs.iter().filter_map(on_node).collect();
        let (unsent, believed): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|held| self.unsent.contains(held));
        for attempt in unsent {
            self.unsent.remove(&attempt);
            self.apply(env, attempt.job, JobEvent::Returned { epoch: attempt.epoch });
        }
        let side = &mut self.nodes[node];
        side.link = Some(CoordinatorLink::new(env.cluster, id, incarnation, self.term, believed));
        side.lane = Lane::default();
        self.set_drain(env, node);
        env.send_down(node, Down::Registered { request, incarnation, term: self.term });
    }

    fn report(
        &mut self,
        env: &mut Env,
        node: usize,
        request: u64,
        mut report: Report,
    ) -> Result<(), ReportRefusal> {
        let side = &mut self.nodes[node];
        let link = side.link.as_mut().ok_or(ReportRefusal::NotRegistered)?;
        let (n, incarnation) = (report.n, report.incarnation);
        // A node that refuses work reports often, and may hold a stale attempt that takes its time to die.
        let in_peace = !env.faulty() && report.returned.is_empty();
        if env.sabotage == Sabotage::AbsenceIsProof {
            report.cmd_seen = u64::MAX;
        }
        let (effects, want_full_inventory) = link.on_report(report, |id| Self::fact(&self.jobs, id))?;
        side.last_heard = env.now;
        self.asked_in_peace += u64::from(want_full_inventory && in_peace);
        let mut reply = ReportReply { n, verdicts: Vec::new(), want_full_inventory };
        for effect in effects {
            self.follow(env, node, effect, &mut reply);
        }
        self.say(env, Speech::Answer { node, request, incarnation, reply });
        Ok(())
    }

    fn follow(&mut self, env: &mut Env, node: usize, effect: LinkEffect, reply: &mut ReportReply) {
        match effect {
            LinkEffect::Started { attempt, started_ms_ago } => {
                let at_ms = env.now.saturating_sub(started_ms_ago) as i64;
                self.apply(env, attempt.job, JobEvent::Started { epoch: attempt.epoch, at_ms });
                self.tell_wish(env, attempt.job);
            }
            LinkEffect::Reattach { attempt, started_ms_ago } => {
                self.reattach(env, node, attempt, started_ms_ago)
            }
            LinkEffect::Record(result) => {
                let attempt = result.attempt;
                let verdict = self.record(env, *result);
                reply.verdicts.push((attempt, verdict));
            }
            LinkEffect::Judge { result, verdict } => {
                let attempt = result.attempt;
                let verdict = self.judge(env, *result, verdict);
                reply.verdicts.push((attempt, verdict));
            }
            LinkEffect::Returned { attempt, why } => {
                env.oracle.happened[0] += u64::from(why == "retracted");
                env.oracle.proved(attempt, "given back");
                self.apply(env, attempt.job, JobEvent::Returned { epoch: attempt.epoch });
            }
            LinkEffect::Lost { attempt, why } => {
                env.oracle.proved_lost(attempt, &why);
                self.lose(env, attempt, &why);
            }
            LinkEffect::Resend(attempt) => {
                self.nodes[node].lane.assign.insert(attempt);
                self.tell_wish(env, attempt.job);
            }
            LinkEffect::KillStale(attempt) => self.say(env, Speech::Kill { node, attempt, grace_ms: 0 }),
            LinkEffect::Capacity { usable_slots } => self.nodes[node].usable_slots = usable_slots,
            LinkEffect::Restate => self.nodes[node].lane.restate = true,
        }
    }

    fn reattach(&mut self, env: &mut Env, node: usize, attempt: AttemptId, started_ms_ago: u64) {
        env.oracle.reattached(attempt);
        let Some(link) = &self.nodes[node].link else {
            return;
        };
        let event = JobEvent::Reattached {
            epoch: attempt.epoch,
            node: env.node_ids[node],
            incarnation: link.incarnation(),
            started_at_ms: env.now.saturating_sub(started_ms_ago) as i64,
        };
        self.apply(env, attempt.job, event);
        self.tell_wish(env, attempt.job);
    }

    fn record(&mut self, env: &mut Env, result: AttemptResult) -> Verdict {
        let attempt = result.attempt;
        env.oracle.result_read(attempt);
        let changed = if let AttemptEnd::Lost { why, .. } = &result.end {
            self.lose(env, attempt, &why.clone())
        } else {
            self.apply(env, attempt.job, JobEvent::Finished(Box::new(result)))
        };
        if changed { Verdict::Recorded } else { Verdict::AlreadyRecorded }
    }

    fn judge(&mut self, env: &mut Env, result: AttemptResult, verdict: Verdict) -> Verdict {
        let attempt = result.attempt;
        if env.sabotage == Sabotage::EpochsIgnored {
            let ended = Outcome::from_result(result, None, None, env.now as i64);
            self.write(env, attempt.job, JobState::Ended(Box::new(ended)));
            return Verdict::Recorded;
        }
        match self.jobs.get(&attempt.job).map(|job| &job.state) {
            None => Verdict::Unknown,
            Some(JobState::Ended(outcome)) if outcome.epoch == attempt.epoch => Verdict::AlreadyRecorded,
            Some(JobState::Ended(_)) => Verdict::Stale,
            Some(_) => verdict,
        }
    }
}
