//! On which nodes attempts of live jobs were lost. It decides nothing.

use std::collections::HashMap;

use crate::model::{AttemptRecord, JobId, NodeId};
use crate::policy::breaker::POISON_NODES;

/// How an attempt ended that was lost, in a job's history.
pub(super) const LOST: &str = "lost";

/// The different nodes that have lost attempts of a job, for the few jobs that have such.
#[derive(Debug, Default)]
pub(super) struct Losses(HashMap<JobId, Vec<NodeId>>);

impl Losses {
    /// On how many different nodes attempts of the job were lost, when this one is.
    pub fn count_with(&self, job: JobId, node: NodeId) -> usize {
        self.0.get(&job).map_or(1, |nodes| nodes.len() + usize::from(!nodes.contains(&node)))
    }

    /// An attempt of the job was lost on this node.
    pub fn note(&mut self, job: JobId, node: NodeId) {
        let nodes = self.0.entry(job).or_default();
        if !nodes.contains(&node) && nodes.len() < POISON_NODES {
            nodes.push(node);
        }
    }

    /// What the job's history tells of it.
    pub fn restore(&mut self, job: JobId, attempts: &[AttemptRecord]) {
        attempts.iter().filter(|attempt| attempt.fate == LOST).for_each(|lost| self.note(job, lost.node));
    }

    /// The job is over.
    pub fn forget(&mut self, job: JobId) {
        self.0.remove(&job);
    }
}
