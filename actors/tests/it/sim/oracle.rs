//! The judge: it sees every record, every process and every promise, and says which rule was broken first. It never
//! tells anything to those whom it watches.

use std::collections::{BTreeMap, BTreeSet};

use callboard_actors::model::{AttemptId, EndReason, Epoch, JobId, JobState, OnLost, Term};

#[derive(Default)]
pub struct Oracle {
    pub violation: Option<String>,
    pub submitted: BTreeMap<JobId, OnLost>,
    acknowledged: BTreeSet<JobId>,
    started: BTreeMap<JobId, BTreeSet<Epoch>>,
    running: BTreeMap<AttemptId, usize>,
    succeeded: BTreeSet<AttemptId>,
    results_read: BTreeSet<AttemptId>,
    given_back: BTreeMap<AttemptId, usize>,
    never_again: BTreeMap<AttemptId, &'static str>,
    /// Results on a node's disk that have no verdict yet.
    spooled: BTreeSet<AttemptId>,
    /// The highest term that each node has acted on.
    terms: BTreeMap<usize, Term>,
    pub processes: u64,
    /// What `Stats::happened` counts.
    pub happened: [u64; 5],
    /// What records became, for the log of a failed run.
    pub trail: Option<Vec<String>>,
}

impl Oracle {
    pub fn broken(&mut self, rule: impl Into<String>) {
        self.violation.get_or_insert(rule.into());
    }

    pub fn submit_acknowledged(&mut self, job: JobId) {
        self.acknowledged.insert(job);
    }

    /// I3: what was acknowledged has survived.
    pub fn check_acknowledged(&mut self, durable: &BTreeMap<JobId, JobState>) {
        if let Some(lost) = self.acknowledged.iter().find(|job| !durable.contains_key(job)) {
            self.broken(format!("I3: the acknowledged job {lost} is gone"));
        }
    }

    /// A record changes in the coordinator's memory.
    pub fn wrote(&mut self, job: JobId, old: &JobState, new: &JobState) {
        if let Some(trail) = &mut self.trail {
            let cancel = new.lease().is_some_and(|lease| lease.cancel.is_some());
            let wish = if cancel { ", to be cancelled" } else { "" };
            trail.push(format!("       {job}: {} -> {} {}{wish}", old.name(), new.name(), new.epoch()));
        }
        if let JobState::Ended(outcome) = new {
            if outcome.epoch != old.epoch() {
                self.broken(format!("I2: {job} ends by epoch {} in epoch {}", outcome.epoch, old.epoch()));
            }
            let attempt = AttemptId::new(job, outcome.epoch);
            if outcome.reason == EndReason::Exited && !self.succeeded.contains(&attempt) {
                self.broken(format!("{job} is completed, but {attempt} never exited with 0"));
            }
        }
        let leased = matches!((old, new), (JobState::Queued(_), JobState::Leased(_)));
        if new.epoch() < old.epoch() || (leased && new.epoch() <= old.epoch()) {
            self.broken(format!("I4: {job} goes from epoch {} to {}", old.epoch(), new.epoch()));
        }
    }

    /// A record reaches the disk.
    pub fn synced(&mut self, job: JobId, old: Option<&JobState>, new: &JobState) {
        let Some(old) = old else { return };
        if old.is_ended() && old != new {
            self.broken(format!("I1: the terminal record of {job} changes: {old:?} to {new:?}"));
        }
        if new.epoch() < old.epoch() {
            self.broken(format!("I4: {job} goes from epoch {} to {} on disk", old.epoch(), new.epoch()));
        }
    }

    /// A process comes to life.
    pub fn process_starts(&mut self, node: usize, attempt: AttemptId) {
        self.processes += 1;
        if let Some(why) = self.never_again.get(&attempt) {
            self.broken(format!("{attempt} starts on node {node} after it was {why}"));
        }
        let here = |(other, at): (&AttemptId, &usize)| other.job == attempt.job && *at == node;
        if self.running.iter().any(here) {
            self.broken(format!("{attempt} starts on node {node} beside an earlier attempt at the job"));
        }
        self.running.insert(attempt, node);
        let epochs = self.started.entry(attempt.job).or_default();
        if !epochs.insert(attempt.epoch) {
            self.broken(format!("I5: {attempt} is started twice"));
        } else if epochs.len() > 1 && self.submitted.get(&attempt.job) == Some(&OnLost::Never) {
            self.broken(format!("I5: {} must start at most once and starts again", attempt.job));
        }
    }

    /// A process is no more.
    pub fn process_ends(&mut self, attempt: AttemptId, code: Option<i32>) {
        self.running.remove(&attempt);
        if code == Some(0) {
            self.succeeded.insert(attempt);
        }
    }

    /// Everything on a node died with it, but for these.
    pub fn node_dies(&mut self, node: usize, survivors: &[AttemptId]) {
        self.running.retain(|attempt, at| *at != node || survivors.contains(attempt));
        self.given_back.retain(|_, at| *at != node);
    }

    /// The coordinator has read an attempt's result.
    pub fn result_read(&mut self, attempt: AttemptId) {
        self.results_read.insert(attempt);
    }

    /// A result is on its node's disk, which survives.
    pub fn spooled(&mut self, attempt: AttemptId) {
        self.spooled.insert(attempt);
    }

    /// A result has its verdict.
    pub fn unspooled(&mut self, attempt: AttemptId) {
        self.spooled.remove(&attempt);
    }

    /// I11: a node acts on a command.
    pub fn obeys(&mut self, node: usize, term: Term) {
        let highest = self.terms.entry(node).or_insert(term);
        if *highest > term {
            let rule = format!("I11: node {node} obeys {term:?} after {highest:?}");
            return self.broken(rule);
        }
        *highest = term;
    }

    /// All faults are over and every job has ended.
    pub fn all_is_over(&mut self) {
        if let Some(attempt) = self.spooled.first() {
            self.broken(format!("I10: the result of {attempt} is on a disk and never had a verdict"));
        }
    }

    /// The coordinator believes that an attempt runs.
    pub fn reattached(&mut self, attempt: AttemptId) {
        if self.results_read.contains(&attempt) {
            self.broken(format!("{attempt} is taken for running after its result was read"));
        }
    }

    /// A node tells that it gives an attempt back.
    pub fn gives_back(&mut self, node: usize, attempt: AttemptId) {
        self.given_back.insert(attempt, node);
    }

    /// The coordinator counts an attempt as lost because its node does not list it.
    pub fn proved_lost(&mut self, attempt: AttemptId, why: &str) {
        if let Some(node) = self.given_back.get(&attempt) {
            self.broken(format!("{attempt} counts as lost, but node {node} lives and gave it back"));
        }
        if why.contains("lost track") {
            self.broken(format!(
                "{attempt} counts as lost, but its node has lived on and loses track of nothing"
            ));
        }
        if self.spooled.contains(&attempt) {
            self.broken(format!("{attempt} counts as lost, but its result is on its node's disk"));
        }
        self.proved(attempt, "proved to be gone");
    }

    /// The coordinator takes an attempt for gone or for never started, on the word of its node.
    pub fn proved(&mut self, attempt: AttemptId, what: &'static str) {
        if let Some(node) = self.running.get(&attempt) {
            self.broken(format!("{attempt} was {what} while it runs on node {node}"));
        }
        self.never_again.insert(attempt, what);
    }

    /// A node lets a result go because it was told that it is on record.
    pub fn result_forgotten(
        &mut self,
        attempt: AttemptId,
        durable: &BTreeMap<JobId, JobState>,
        was_lost: bool,
    ) {
        let safe = durable
            .get(&attempt.job)
            .is_some_and(|state| state.is_ended() || state.epoch() > attempt.epoch || was_lost);
        if !safe {
            self.broken(format!("the result of {attempt} is forgotten before it is on disk"));
        }
    }

    /// I9: every job that was submitted is in exactly one state, and none is there that nobody submitted.
    pub fn count(&mut self, records: &BTreeMap<JobId, JobState>) {
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        for (job, state) in records {
            *states.entry(state.name()).or_default() += 1;
            if !self.submitted.contains_key(job) {
                self.broken(format!("I9: nobody submitted {job}"));
            }
        }
        let known = self.acknowledged.iter().filter(|job| records.contains_key(job)).count();
        if states.values().sum::<usize>() != records.len() || known != self.acknowledged.len() {
            self.broken(format!("I9: {states:?} do not add up to what was submitted"));
        }
    }
}
