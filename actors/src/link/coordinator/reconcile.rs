//! What a whole inventory proves: the reconciliation table of the coordinator's half. It refuses to know how an
//! inventory came to be asked for.

use std::collections::BTreeSet;

use super::{CoordinatorLink, Given, JobFact, LinkEffect};
use crate::link::messages::{Held, HeldPhase};
use crate::model::{AttemptId, Incarnation, JobId};

impl CoordinatorLink {
    /// The reconciliation table: a whole inventory against the records.
    pub(super) fn reconcile(
        &mut self,
        held: &[Held],
        (cmd_seen, skipped, born): (u64, &[u64], Option<Incarnation>),
        fact: &impl Fn(JobId) -> JobFact,
        effects: &mut Vec<LinkEffect>,
    ) {
        for line in held {
            self.reconcile_held(line, fact, effects);
        }
        let listed: BTreeSet<AttemptId> = held.iter().map(|line| line.attempt).collect();
        let missing: Vec<(AttemptId, Given)> = self
            .given
            .iter()
            .filter(|(attempt, given)| !listed.contains(attempt) && !given.finishing)
            .map(|(attempt, given)| (*attempt, *given))
            .collect();
        for (attempt, given) in missing {
            if given.cmd_no > cmd_seen {
                // A command that the node has not acted on by the time of a whole inventory may be lost: numbers only
                // rise, so sending it again under a new number is safe whatever became of the first.
                effects.push(LinkEffect::Resend(attempt));
            } else if skipped.contains(&given.cmd_no) {
                self.given.remove(&attempt);
                effects.push(LinkEffect::Returned { attempt, why: "its command was overtaken".into() });
            } else {
                // Absence proves a loss only once the node has acted on the command that carried the assignment.
                self.reconcile_missing(attempt, (given, born), fact(attempt.job), effects);
            }
        }
    }

    fn reconcile_held(
        &mut self,
        line: &Held,
        fact: &impl Fn(JobId) -> JobFact,
        effects: &mut Vec<LinkEffect>,
    ) {
        let Held { attempt, phase } = *line;
        let fact = fact(attempt.job);
        match (fact.is_current(attempt.epoch), phase) {
            // Its result is in this report or in one that follows.
            (_, HeldPhase::Done) => {}
            (true, HeldPhase::Running { started_ms_ago }) => {
                self.take_back(attempt);
                effects.push(LinkEffect::Reattach { attempt, started_ms_ago });
            }
            // What waits again can only be taken back once it has started, and until then others may be given the job.
            (true, HeldPhase::Taken) if matches!(fact, JobFact::Waiting(_)) => {}
            (true, HeldPhase::Taken) => self.take_back(attempt),
            (false, _) => {
                self.given.remove(&attempt);
                effects.push(LinkEffect::KillStale(attempt));
            }
        }
    }

    fn reconcile_missing(
        &mut self,
        attempt: AttemptId,
        (given, born): (Given, Option<Incarnation>),
        fact: JobFact,
        effects: &mut Vec<LinkEffect>,
    ) {
        self.given.remove(&attempt);
        let JobFact::Leased { epoch, node, incarnation, started } = fact else {
            return;
        };
        if epoch != attempt.epoch || node != self.node {
            return;
        }
        let lived_on = born.is_some_and(|born| born <= incarnation);
        if lived_on && given.cmd_no == 0 && !started {
            // It was on its way when the coordinator ended: a node that has it would list it.
            let why = "it never reached the runner".into();
            effects.push(LinkEffect::Returned { attempt, why });
            return;
        }
        let why = if incarnation != self.incarnation || !given.here {
            "the runner was restarted and did not bring it back"
        } else {
            "the runner lost track of it"
        };
        effects.push(LinkEffect::Lost { attempt, why: why.into() });
    }
}
