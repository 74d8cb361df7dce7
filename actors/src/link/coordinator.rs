//! The coordinator's half of the conversation with one node: numbered commands out, reports in, and what follows from
//! the difference between what the node holds and what it should hold. What a job *is* comes in as a [`JobFact`].

mod commands;
mod reconcile;

use std::collections::BTreeMap;

use super::messages::{Digest, DrainOrder, Draining, Inventory, Report, ReportRefusal, StartedNote, Verdict};
use crate::model::{AttemptId, AttemptResult, ClusterId, Epoch, Incarnation, JobId, NodeId, Term};

/// What the coordinator's records say of a job at the moment a report is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobFact {
    /// No such job is live, and it is not known whether it ever was: the caller must look it up.
    NotLive,
    /// Another node holds it: nothing that this one says of it counts.
    Elsewhere,
    /// It waits; this was its last epoch.
    Waiting(Epoch),
    /// A node holds it under this epoch.
    Leased {
        /// The current epoch.
        epoch: Epoch,
        /// Who holds it.
        node: NodeId,
        /// In which life.
        incarnation: Incarnation,
        /// Whether it is known to have started.
        started: bool,
    },
}

impl JobFact {
    /// The same as it concerns this node: what another one holds is none of its business, whatever epoch it names.
    fn before(self, own: NodeId) -> Self {
        match self {
            Self::Leased { node, .. } if node != own => Self::Elsewhere,
            fact => fact,
        }
    }

    /// Whether the job is live and this is its epoch.
    fn is_current(self, epoch: Epoch) -> bool {
        matches!(self, Self::Waiting(now) | Self::Leased { epoch: now, .. } if now == epoch)
    }
}

/// What the coordinator has to do after a report, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEffect {
    /// The attempt's process runs.
    Started {
        /// Which attempt.
        attempt: AttemptId,
        /// Since when, in milliseconds.
        started_ms_ago: u64,
    },
    /// Record this result, then answer with its verdict.
    Record(Box<AttemptResult>),
    /// Answer with this verdict, once what the facts rest on is durable; the attempt is only history.
    Judge {
        /// The result.
        result: Box<AttemptResult>,
        /// The verdict.
        verdict: Verdict,
    },
    /// The node gave the attempt back.
    Returned {
        /// Which attempt.
        attempt: AttemptId,
        /// Why.
        why: String,
    },
    /// The attempt is gone.
    Lost {
        /// Which attempt.
        attempt: AttemptId,
        /// Why that is certain.
        why: String,
    },
    /// The node still runs what was thought lost, and nobody else was given the job.
    Reattach {
        /// Which attempt.
        attempt: AttemptId,
        /// Since when it runs, in milliseconds.
        started_ms_ago: u64,
    },
    /// The node never saw the assignment: send it again.
    Resend(AttemptId),
    /// The node runs what it should not: end it, once what the facts rest on is durable.
    KillStale(AttemptId),
    /// The node's first inventory has been reconciled, or what it can take changed.
    Capacity {
        /// Usable slots, taken ones included; 0 while it drains.
        usable_slots: u32,
    },
    /// The node drains and should not, or should and does not: send it [`CoordinatorLink::restate`].
    Restate,
}

#[derive(Clone, Copy, Debug)]
struct Given {
    /// The command that gave it; 0 if none of this life did.
    cmd_no: u64,
    /// Whether it came to the node in this life, or is known to have survived into it.
    here: bool,
    finishing: bool,
}

impl Given {
    /// By the records of an earlier life.
    const BELIEVED: Self = Self { cmd_no: 0, here: false, finishing: false };
}

/// The state machine for one life of one node.
#[derive(Clone, Debug)]
pub struct CoordinatorLink {
    cluster: ClusterId,
    node: NodeId,
    incarnation: Incarnation,
    term: Term,
    commands: u64,
    last_n: u64,
    answered_n: u64,
    ready: bool,
    usable_slots: u32,
    prefetch: u32,
    node_drains: Draining,
    drain: Option<DrainOrder>,
    outranked_by: Option<Term>,
    given: BTreeMap<AttemptId, Given>,
}

impl CoordinatorLink {
    /// The conversation with a node that has just registered. `believed` are the attempts that the records say it
    /// holds from an earlier life of it or of us; its first inventory decides over them.
    pub fn new(
        cluster: ClusterId,
        node: NodeId,
        incarnation: Incarnation,
        term: Term,
        believed: impl IntoIterator<Item = AttemptId>,
    ) -> Self {
        let given = believed.into_iter().map(|attempt| (attempt, Given::BELIEVED)).collect();
        Self {
            cluster,
            node,
            incarnation,
            term,
            commands: 0,
            last_n: 0,
            answered_n: 0,
            ready: false,
            usable_slots: 0,
            prefetch: 0,
            node_drains: Draining::No,
            drain: None,
            outranked_by: None,
            given,
        }
    }

    /// Which life of the node this is about.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Whether the first inventory has been reconciled: only then may work be given.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Something may have been missed: a command had no answer, or the node was silent for long. Work may be given again
    /// after its next whole inventory, which the answer to its next report asks for.
    pub fn distrust(&mut self) {
        self.ready = false;
    }

    /// Attempts that the node should hold.
    pub fn given(&self) -> impl Iterator<Item = AttemptId> {
        self.given.keys().copied()
    }

    /// Whether the node should hold this attempt.
    pub fn holds(&self, attempt: AttemptId) -> bool {
        self.given.contains_key(&attempt)
    }

    /// Slots that its attempts take: those whose result is being recorded are free already.
    pub fn taken(&self) -> u32 {
        self.given.values().filter(|given| !given.finishing).count() as u32
    }

    /// The node is given up: nothing is expected of it, and if it is heard again its inventory decides anew.
    pub fn give_up(&mut self) {
        self.given.clear();
        self.ready = false;
    }

    /// How many more attempts the node takes, those that would wait for a slot included.
    pub fn room(&self) -> u32 {
        let drains = self.drain.is_some() || self.node_drains != Draining::No;
        if drains || !self.ready || self.usable_slots == 0 {
            return 0;
        }
        (self.usable_slots.saturating_add(self.prefetch)).saturating_sub(self.taken())
    }

    /// Whether the node takes no more work, as its last report said.
    pub fn node_drains(&self) -> Draining {
        self.node_drains
    }

    /// The highest term that the node has seen, if it is above ours: it obeys another coordinator, or our records are
    /// older than it. It is given no work.
    pub fn outranked_by(&self) -> Option<Term> {
        self.outranked_by
    }

    /// The coordinator's term is this one from now on, and what the node held under an older one is given up: its next whole
    /// inventory decides anew.
    pub fn raise(&mut self, term: Term) {
        self.give_up();
        (self.term, self.outranked_by) = (self.term.max(term), None);
    }

    /// The attempt is off the books: recorded, returned, lost or superseded.
    pub fn settle(&mut self, attempt: AttemptId) {
        self.given.remove(&attempt);
    }

    /// Report `n` is being answered, and what its answer judges is settled.
    pub fn answered(&mut self, n: u64) {
        self.answered_n = self.answered_n.max(n);
    }

    /// Reads a report. `fact` tells what the records say of a job. The second value asks for a whole inventory.
    ///
    /// # Errors
    /// [`ReportRefusal`]; nothing was changed.
    pub fn on_report(
        &mut self,
        report: Report,
        fact: impl Fn(JobId) -> JobFact,
    ) -> Result<(Vec<LinkEffect>, bool), ReportRefusal> {
        if report.cluster != self.cluster {
            return Err(ReportRefusal::OtherCluster);
        }
        if report.incarnation != self.incarnation {
            return Err(ReportRefusal::Superseded);
        }
        let own = self.node;
        let fact = |job| fact(job).before(own);
        let mut effects = Vec::new();
        let old = report.n <= self.last_n;
        for result in report.finished {
            self.finished(result, &fact, &mut effects);
        }
        if old {
            return Ok((effects, false));
        }
        self.last_n = report.n;
        for note in report.started {
            effects.extend(self.started(note, fact(note.attempt.job)));
        }
        for note in report.returned {
            if self.given.remove(&note.attempt).is_some() {
                effects.push(LinkEffect::Returned { attempt: note.attempt, why: note.why });
            }
        }
        if report.term_seen > self.term {
            self.outranked_by = Some(report.term_seen);
            self.ready = false;
            return Ok((effects, false));
        }
        let size = (report.usable_slots, report.prefetch, report.draining);
        let misled = self.is_misled(report.draining);
        let want_full = match report.inventory {
            Inventory::Full(held) => {
                let seen = (report.cmd_seen, &report.skipped[..], report.born);
                self.reconcile(&held, seen, &fact, &mut effects);
                let first = !std::mem::replace(&mut self.ready, true);
                self.capacity(size, first, &mut effects);
                effects.extend(misled.then_some(LinkEffect::Restate));
                false
            }
            Inventory::Digest(digest) => {
                self.capacity(size, false, &mut effects);
                // While a command is on its way, it may be what the node has not heard yet.
                effects.extend((misled && report.cmd_seen == self.commands).then_some(LinkEffect::Restate));
                !self.ready || !self.agrees(digest, report.cmd_seen)
            }
        };
        Ok((effects, want_full))
    }

    /// Whether the node drains, or does not, against what it was told or should have been.
    fn is_misled(&self, draining: Draining) -> bool {
        match draining {
            Draining::No => self.drain.is_some(),
            Draining::Ordered => self.drain.is_none(),
            Draining::Itself => false,
        }
    }

    fn capacity(&mut self, size: (u32, u32, Draining), first: bool, effects: &mut Vec<LinkEffect>) {
        let changed = size != (self.usable_slots, self.prefetch, self.node_drains);
        (self.usable_slots, self.prefetch, self.node_drains) = size;
        if first || (self.ready && changed) {
            let usable_slots = if self.node_drains == Draining::No { self.usable_slots } else { 0 };
            effects.push(LinkEffect::Capacity { usable_slots });
        }
    }

    /// Whether the digest fits what was given. While a command is on its way nothing can be said.
    fn agrees(&self, digest: Digest, cmd_seen: u64) -> bool {
        cmd_seen < self.commands
            || digest
                == Digest::of(self.given.iter().filter(|(_, given)| !given.finishing).map(|(id, _)| *id))
    }

    fn started(&mut self, note: StartedNote, fact: JobFact) -> Option<LinkEffect> {
        let StartedNote { attempt, started_ms_ago } = note;
        match fact {
            JobFact::Leased { epoch, .. } if epoch == attempt.epoch => {
                Some(LinkEffect::Started { attempt, started_ms_ago })
            }
            // It was thought lost before it had started.
            JobFact::Waiting(epoch) if epoch == attempt.epoch => {
                self.take_back(attempt);
                Some(LinkEffect::Reattach { attempt, started_ms_ago })
            }
            _ => None,
        }
    }

    /// The node holds it, by whichever command it came to it.
    fn take_back(&mut self, attempt: AttemptId) {
        self.given.entry(attempt).or_insert(Given::BELIEVED).here = true;
    }

    fn finished(
        &mut self,
        result: AttemptResult,
        fact: &impl Fn(JobId) -> JobFact,
        effects: &mut Vec<LinkEffect>,
    ) {
        let attempt = result.attempt;
        let result = Box::new(result);
        match fact(attempt.job) {
            // The record decides: the same result again, another one, or a job that was never here.
            JobFact::NotLive => effects.push(LinkEffect::Judge { result, verdict: Verdict::AlreadyRecorded }),
            JobFact::Waiting(epoch) | JobFact::Leased { epoch, .. } if epoch == attempt.epoch => {
                if let Some(given) = self.given.get_mut(&attempt) {
                    if given.finishing {
                        return;
                    }
                    given.finishing = true;
                }
                effects.push(LinkEffect::Record(result));
            }
            // Not even its history tells of what somebody said who never had it.
            JobFact::Elsewhere => effects.push(LinkEffect::Judge { result, verdict: Verdict::Unknown }),
            JobFact::Waiting(_) | JobFact::Leased { .. } => {
                self.given.remove(&attempt);
                effects.push(LinkEffect::Judge { result, verdict: Verdict::Stale });
            }
        }
    }
}
