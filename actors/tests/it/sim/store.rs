//! The records as a disk keeps them: writes are in order, become durable later, and those that are not durable yet may
//! or may not survive a crash. What a record means is none of its business.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use callboard_actors::model::{Incarnation, JobId, JobSpec, JobState, Term};

use super::oracle::Oracle;
use super::rng::Rng;

#[derive(Clone, Debug)]
pub enum Write {
    Job { job: JobId, state: JobState, spec: Arc<JobSpec> },
    Incarnation { node: usize, incarnation: Incarnation },
}

#[derive(Default)]
pub struct StoreModel {
    pub durable: BTreeMap<JobId, JobState>,
    pub specs: BTreeMap<JobId, Arc<JobSpec>>,
    pub incarnations: BTreeMap<usize, Incarnation>,
    pub term: Term,
    /// Nodes that an operator has put out of service, or in again: told durably at once.
    pub drains: BTreeMap<usize, bool>,
    pending: VecDeque<(u64, Write)>,
    written: u64,
    committing: Option<u64>,
}

impl StoreModel {
    pub fn write(&mut self, write: Write) {
        self.written += 1;
        self.pending.push_back((self.written, write));
    }

    /// The number of the last write: what is said may rest on it.
    pub fn last_write(&self) -> u64 {
        self.written
    }

    /// Whether something is not durable yet.
    pub fn busy(&self) -> bool {
        self.committing.is_some() || !self.pending.is_empty()
    }

    /// Begins a commit of all that is pending, unless one is under way or nothing is.
    pub fn begin(&mut self) -> bool {
        if self.committing.is_some() || self.pending.is_empty() {
            return false;
        }
        self.committing = Some(self.written);
        true
    }

    /// The commit under way is durable, up to the write that is returned.
    pub fn end(&mut self, oracle: &mut Oracle) -> u64 {
        let upto = self.committing.take().expect("a commit is under way");
        self.sync(upto, oracle);
        upto
    }

    fn sync(&mut self, upto: u64, oracle: &mut Oracle) {
        while let Some((number, _)) = self.pending.front()
            && *number <= upto
        {
            match self.pending.pop_front().expect("it was there").1 {
                Write::Job { job, state, spec } => {
                    oracle.synced(job, self.durable.get(&job), &state);
                    self.durable.insert(job, state);
                    self.specs.insert(job, spec);
                }
                Write::Incarnation { node, incarnation } => {
                    self.incarnations.insert(node, incarnation);
                }
            }
        }
    }

    /// The process dies. The commit under way may have reached the disk all the same.
    pub fn crash(&mut self, rng: &mut Rng, oracle: &mut Oracle) {
        if let Some(upto) = self.committing.take()
            && rng.percent(50)
        {
            self.sync(upto, oracle);
        }
        self.pending.clear();
        oracle.check_acknowledged(&self.durable);
    }

    /// A new process opens it.
    pub fn open(&mut self) -> Term {
        self.term = self.term.next();
        self.term
    }
}
