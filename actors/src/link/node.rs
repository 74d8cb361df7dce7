//! The node's half of the conversation: what it holds, what it has been told, what it still has to tell.
//! It starts no process itself: it says which attempts to start and to end, and is told what became of them.

mod memory;
mod orders;
mod telling;

use std::collections::{BTreeMap, VecDeque};

use super::messages::{Assignment, ReturnedNote};
use crate::model::{AttemptId, AttemptResult, ClusterId, Incarnation, NodeId, Term};
use memory::Memory;

/// Most results in one report.
pub const MAX_FINISHED_PER_REPORT: usize = 256;
/// Output in the results of a report from which on no more of them are added, in bytes.
pub const MAX_REPORTED_OUTPUT_BYTES: usize = 4 << 20;

/// Most overtaken commands that a node remembers. An attempt of an older one counts as lost, as if it had been started.
pub const MAX_SKIPPED: usize = 64;

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
    /// Commands that others overtook.
    skipped: VecDeque<u64>,
    reports: u64,
    usable_slots: u32,
    prefetch: u32,
    /// It drains by itself.
    own_drain: bool,
    /// The life in which this process began.
    born: Incarnation,
    /// It drains because it was told to, until when.
    ordered_drain: Option<Option<u64>>,
    /// What it can take has changed since the last report.
    size_news: bool,
    full_inventory_due: bool,
    attempts: BTreeMap<AttemptId, NodePhase>,
    /// How many of them are not over: each has a slot.
    occupied: usize,
    /// Taken without having a slot yet, or while an earlier attempt at the job dies; in order of arrival.
    waiting: VecDeque<Assignment>,
    /// Attempts that must not start here any more.
    memory: Memory,
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
            skipped: VecDeque::new(),
            reports: 0,
            usable_slots: slots,
            prefetch: 0,
            own_drain: false,
            born: incarnation,
            ordered_drain: None,
            size_news: false,
            full_inventory_due: true,
            attempts: BTreeMap::new(),
            occupied: 0,
            waiting: VecDeque::new(),
            memory: Memory::default(),
            started: Vec::new(),
            returned: Vec::new(),
            returned_told: Vec::new(),
        }
    }

    /// Adds the highest term that an earlier life of the node has kept on its disk.
    #[must_use]
    pub fn with_term_seen(mut self, term: Term) -> Self {
        self.term_seen = self.term_seen.max(term);
        self
    }

    /// Adds attempts of an earlier life that its executor has kept alive, with when they started.
    #[must_use]
    pub fn with_running(mut self, attempts: impl IntoIterator<Item = (AttemptId, u64)>) -> Self {
        for (attempt, started_at) in attempts {
            self.attempts.insert(attempt, NodePhase::Running { started_at });
            self.occupied += 1;
        }
        self
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
        self.skipped.clear();
        self.reports = 0;
        // A coordinator that means it says so again.
        self.ordered_drain = None;
        self.memory.begin_life();
        self.started.clear();
        self.on_report_failed();
    }

    /// The process of an attempt runs.
    pub fn on_started(&mut self, now: u64, attempt: AttemptId) {
        if let Some(phase @ NodePhase::Taken) = self.attempts.get_mut(&attempt) {
            *phase = NodePhase::Running { started_at: now };
            self.started.push(attempt);
        }
    }

    /// An attempt is over and nothing of it is left. What waited for its slot, or for its death, starts now.
    pub fn on_finished(&mut self, now: u64, result: AttemptResult) -> Vec<NodeEffect> {
        let attempt = result.attempt;
        let done = NodePhase::Done { result: Box::new(result), ended_at: now, told: Told::No };
        if let Some(NodePhase::Taken | NodePhase::Running { .. }) = self.attempts.insert(attempt, done) {
            self.occupied -= 1;
        }
        self.start_waiting()
    }

    /// An attempt could not be started after all and leaves no trace. What waited for it starts now.
    pub fn on_not_started(&mut self, attempt: AttemptId, why: String) -> Vec<NodeEffect> {
        if matches!(self.attempts.get(&attempt), Some(NodePhase::Taken)) {
            self.attempts.remove(&attempt);
            self.occupied -= 1;
            self.give_back(attempt, why);
        }
        self.start_waiting()
    }

    /// Attempts that are taken or running.
    pub fn live(&self) -> impl Iterator<Item = AttemptId> {
        let taken = self.attempts.iter().filter(|(_, phase)| !matches!(phase, NodePhase::Done { .. }));
        taken.map(|(attempt, _)| *attempt).chain(self.waiting.iter().map(|next| next.attempt))
    }

    /// Whether this attempt is taken or running.
    pub fn is_live(&self, attempt: AttemptId) -> bool {
        let here = self.attempts.get(&attempt);
        here.is_some_and(|phase| !matches!(phase, NodePhase::Done { .. }))
            || self.waiting.iter().any(|next| next.attempt == attempt)
    }

    /// How many attempts are taken or running.
    pub fn live_count(&self) -> usize {
        self.occupied + self.waiting.len()
    }

    /// Whether nothing runs and every result has its verdict.
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty() && self.waiting.is_empty()
    }

    /// The highest term of a coordinator that it has seen: what is older is refused, after a restart too if this is kept.
    pub fn term_seen(&self) -> Term {
        self.term_seen
    }

    /// Its life.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }
}
