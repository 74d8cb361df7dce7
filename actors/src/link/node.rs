//! The node's half of the conversation: what it holds, what it has been told, what it still has to tell.
//! It starts no process itself: it says which attempts to start and to end, and is told what became of them.

mod telling;

use std::collections::BTreeMap;

use super::messages::{Assignment, Command, CommandRefusal, ReturnedNote};
use crate::model::{AttemptId, AttemptResult, ClusterId, Epoch, Incarnation, JobId, NodeId, Term};

/// How long an attempt that was cancelled before it arrived, or given back, is remembered, in milliseconds.
pub const TOMBSTONE_MS: u64 = 600_000;
/// Most results in one report.
pub const MAX_FINISHED_PER_REPORT: usize = 256;

/// What the node has to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEffect {
    /// Start this attempt.
    Start(Assignment),
    /// End this attempt.
    Kill {
        /// Which one.
        attempt: AttemptId,
        /// Time between TERM and KILL, in milliseconds.
        grace_ms: u64,
    },
    /// Nobody can ask for this attempt's output any more.
    Forget(AttemptId),
}

#[derive(Clone, Debug)]
enum NodePhase {
    Taken,
    Running { started_at: u64 },
    Done { result: Box<AttemptResult>, ended_at: u64, told: Told },
}

/// Whether a result has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Not yet: it is news.
    No,
    /// In this report, which has no answer yet.
    In(u64),
    /// The answer had no verdict on it: once more, with the next report.
    Again,
}

/// The state machine. All times are milliseconds of one monotonic clock of the node.
#[derive(Clone, Debug)]
pub struct NodeLink {
    cluster: ClusterId,
    node: NodeId,
    incarnation: Incarnation,
    term_seen: Term,
    cmd_seen: u64,
    reports: u64,
    usable_slots: u32,
    draining: bool,
    full_inventory_due: bool,
    attempts: BTreeMap<AttemptId, NodePhase>,
    waiting_for_death: BTreeMap<JobId, Assignment>,
    /// Attempts that must never start here any more, and since when that is so.
    tombstones: BTreeMap<AttemptId, u64>,
    /// Judged attempts, with the report whose answer judged them: a late assignment of one must not start it again.
    judged: BTreeMap<AttemptId, u64>,
    started: Vec<AttemptId>,
    returned: Vec<ReturnedNote>,
    /// Notes of reports that have no answer yet, with the report's number.
    returned_told: Vec<(u64, ReturnedNote)>,
}

impl NodeLink {
    /// A node that has just registered and holds nothing.
    pub fn new(cluster: ClusterId, node: NodeId, incarnation: Incarnation, term: Term, slots: u32) -> Self {
        Self {
            cluster,
            node,
            incarnation,
            term_seen: term,
            cmd_seen: 0,
            reports: 0,
            usable_slots: slots,
            draining: false,
            full_inventory_due: true,
            attempts: BTreeMap::new(),
            waiting_for_death: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            judged: BTreeMap::new(),
            started: Vec::new(),
            returned: Vec::new(),
            returned_told: Vec::new(),
        }
    }

    /// Adds results of an earlier life that its disk has kept.
    #[must_use]
    pub fn with_results(mut self, now: u64, results: impl IntoIterator<Item = AttemptResult>) -> Self {
        for result in results {
            self.on_finished(now, result);
        }
        self
    }

    /// The node, alive all the while, has registered again: what it holds goes over into its new life, whose numbers
    /// start afresh. Answers to reports of the life before must not be given to it any more.
    pub fn rejoin(&mut self, incarnation: Incarnation, term: Term) {
        self.incarnation = incarnation;
        self.term_seen = self.term_seen.max(term);
        self.cmd_seen = 0;
        self.reports = 0;
        // Commands of the life before are refused, and a new life begins with what the inventory says.
        self.judged.clear();
        self.started.clear();
        self.on_report_failed();
    }

    /// Acts on a command. A number that was seen before, or an older one, changes nothing.
    ///
    /// # Errors
    /// [`CommandRefusal`]; nothing was changed.
    pub fn on_command(&mut self, now: u64, command: Command) -> Result<Vec<NodeEffect>, CommandRefusal> {
        if command.incarnation != self.incarnation {
            return Err(CommandRefusal::OtherIncarnation);
        }
        if command.term < self.term_seen {
            return Err(CommandRefusal::OldTerm);
        }
        self.term_seen = command.term;
        if command.cmd_no <= self.cmd_seen {
            return Ok(Vec::new());
        }
        self.cmd_seen = command.cmd_no;
        self.draining |= command.drain;
        self.tombstones.retain(|_, since| now.saturating_sub(*since) < TOMBSTONE_MS);
        let mut effects = Vec::new();
        for order in command.cancel {
            self.cancel(now, order.attempt, order.grace_ms, &mut effects);
        }
        for assignment in command.assign {
            self.assign(now, assignment, &mut effects);
        }
        self.judged.retain(|_, n| *n > command.answered_n);
        Ok(effects)
    }

    fn assign(&mut self, now: u64, assignment: Assignment, effects: &mut Vec<NodeEffect>) {
        let attempt = assignment.attempt;
        if self.knows(attempt) {
            // The coordinator did not see our news of it yet: the next report repeats what there is to say.
            if matches!(self.attempts.get(&attempt), Some(NodePhase::Running { .. })) {
                self.started.push(attempt);
            }
            return;
        }
        if let Some(why) = self.refusal(attempt) {
            self.give_back(now, attempt, why.into());
            return;
        }
        if let Some(older) = self.waiting_for_death.remove(&attempt.job) {
            self.give_back(now, older.attempt, "a later attempt took its place".into());
        }
        let older: Vec<AttemptId> = self.live_of(attempt.job).collect();
        if older.is_empty() {
            self.attempts.insert(attempt, NodePhase::Taken);
            effects.push(NodeEffect::Start(assignment));
            return;
        }
        effects.extend(older.into_iter().map(|attempt| NodeEffect::Kill { attempt, grace_ms: 0 }));
        self.waiting_for_death.insert(attempt.job, assignment);
    }

    /// Whether the attempt is here, or was here and has its verdict.
    fn knows(&self, attempt: AttemptId) -> bool {
        let waits = self.waiting_for_death.get(&attempt.job);
        self.attempts.contains_key(&attempt)
            || self.judged.contains_key(&attempt)
            || waits.is_some_and(|waiting| waiting.attempt == attempt)
    }

    fn refusal(&self, attempt: AttemptId) -> Option<&'static str> {
        let waits = self.waiting_for_death.get(&attempt.job);
        if self.tombstones.contains_key(&attempt) {
            Some("it was cancelled or given back before")
        } else if waits.is_some_and(|waiting| waiting.attempt.epoch > attempt.epoch)
            || self.all_of(attempt.job).any(|(here, _)| *here > attempt)
        {
            Some("a later attempt at the job is here")
        } else if self.draining {
            Some("the node is draining")
        } else if self.live_count() >= self.usable_slots as usize {
            Some("no free slot")
        } else {
            None
        }
    }

    /// What is given back never starts here, whatever command still carries it: others may be given the job.
    fn give_back(&mut self, now: u64, attempt: AttemptId, why: String) {
        self.tombstones.insert(attempt, now);
        self.returned.push(ReturnedNote { attempt, why });
    }

    fn all_of(&self, job: JobId) -> impl Iterator<Item = (&AttemptId, &NodePhase)> {
        let attempt = |epoch| AttemptId::new(job, Epoch(epoch));
        self.attempts.range(attempt(0)..=attempt(u32::MAX))
    }

    fn live_of(&self, job: JobId) -> impl Iterator<Item = AttemptId> {
        let live = |(_, phase): &(&AttemptId, &NodePhase)| !matches!(phase, NodePhase::Done { .. });
        self.all_of(job).filter(live).map(|(attempt, _)| *attempt)
    }

    fn cancel(&mut self, now: u64, attempt: AttemptId, grace_ms: u64, effects: &mut Vec<NodeEffect>) {
        match self.attempts.get(&attempt) {
            Some(NodePhase::Taken | NodePhase::Running { .. }) => {
                effects.push(NodeEffect::Kill { attempt, grace_ms })
            }
            Some(NodePhase::Done { .. }) => {}
            None => {
                if self.waiting_for_death.get(&attempt.job).is_some_and(|waiting| waiting.attempt == attempt)
                {
                    self.waiting_for_death.remove(&attempt.job);
                    self.give_back(now, attempt, "cancelled before it started".into());
                }
                self.tombstones.insert(attempt, now);
            }
        }
    }

    /// The process of an attempt runs.
    pub fn on_started(&mut self, now: u64, attempt: AttemptId) {
        if let Some(phase @ NodePhase::Taken) = self.attempts.get_mut(&attempt) {
            *phase = NodePhase::Running { started_at: now };
            self.started.push(attempt);
        }
    }

    /// An attempt is over and nothing of it is left. An attempt that waited for this death starts now.
    pub fn on_finished(&mut self, now: u64, result: AttemptResult) -> Vec<NodeEffect> {
        let attempt = result.attempt;
        let done = NodePhase::Done { result: Box::new(result), ended_at: now, told: Told::No };
        self.attempts.insert(attempt, done);
        self.start_waiting(attempt.job)
    }

    /// An attempt could not be started after all and leaves no trace. An attempt that waited for it starts now.
    pub fn on_not_started(&mut self, now: u64, attempt: AttemptId, why: String) -> Vec<NodeEffect> {
        if matches!(self.attempts.get(&attempt), Some(NodePhase::Taken)) {
            self.attempts.remove(&attempt);
            self.give_back(now, attempt, why);
        }
        self.start_waiting(attempt.job)
    }

    fn start_waiting(&mut self, job: JobId) -> Vec<NodeEffect> {
        if self.live_of(job).next().is_some() {
            return Vec::new();
        }
        let next = self.waiting_for_death.remove(&job);
        next.into_iter()
            .map(|next| {
                self.attempts.insert(next.attempt, NodePhase::Taken);
                NodeEffect::Start(next)
            })
            .collect()
    }

    /// The number of usable slots changed.
    pub fn set_usable_slots(&mut self, slots: u32) {
        self.usable_slots = slots;
    }

    /// No more attempts are taken.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Attempts that are taken or running.
    pub fn live(&self) -> impl Iterator<Item = AttemptId> {
        let taken = self.attempts.iter().filter(|(_, phase)| !matches!(phase, NodePhase::Done { .. }));
        taken.map(|(attempt, _)| *attempt).chain(self.waiting_for_death.values().map(|next| next.attempt))
    }

    /// Whether this attempt is taken or running.
    pub fn is_live(&self, attempt: AttemptId) -> bool {
        let here = self.attempts.get(&attempt);
        here.is_some_and(|phase| !matches!(phase, NodePhase::Done { .. }))
            || self.waiting_for_death.get(&attempt.job).is_some_and(|next| next.attempt == attempt)
    }

    /// How many attempts are taken or running.
    pub fn live_count(&self) -> usize {
        self.live().count()
    }

    /// Whether nothing runs and every result has its verdict.
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty() && self.waiting_for_death.is_empty()
    }

    /// Its life.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }
}
