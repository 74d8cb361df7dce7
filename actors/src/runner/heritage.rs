//! What a former life of the node left to this one: attempts that went on without it, and ends that nobody was told of. They
//! wait here until their coordinator has registered the node again.

use crate::exec::AdoptedAttempt;
use crate::model::{AttemptId, AttemptResult, ClusterId};

/// Attempts that no bond holds yet.
#[derive(Debug, Default)]
pub(super) struct Heritage {
    running: Vec<Heir>,
    ended: Vec<(ClusterId, AttemptResult)>,
}

#[derive(Clone, Copy, Debug)]
struct Heir {
    attempt: AttemptId,
    cluster: ClusterId,
    /// By the node's clock, in milliseconds.
    started_at: u64,
}

impl Heritage {
    /// What was found at the start, which is `now`.
    pub fn of(now: u64, found: Vec<AdoptedAttempt>) -> Self {
        let heir = |it: AdoptedAttempt| Heir {
            attempt: it.attempt,
            cluster: it.cluster,
            started_at: now.saturating_sub(it.started_ms_ago),
        };
        Self { running: found.into_iter().map(heir).collect(), ended: Vec::new() }
    }

    /// Whether the attempt waits here.
    pub fn holds(&self, attempt: AttemptId) -> bool {
        self.running.iter().any(|heir| heir.attempt == attempt)
    }

    /// Those that run.
    pub fn attempts(&self) -> Vec<AttemptId> {
        self.running.iter().map(|heir| heir.attempt).collect()
    }

    /// The slots that they take.
    pub fn taken(&self) -> u32 {
        self.running.len() as u32
    }

    /// Another cluster than this one whose attempts run here.
    pub fn occupied_by_other(&self, cluster: ClusterId) -> Option<ClusterId> {
        self.running.iter().map(|heir| heir.cluster).find(|other| *other != cluster)
    }

    /// One has ended before its coordinator was there. Its result is where results are kept.
    pub fn end(&mut self, result: AttemptResult) {
        if let Some(at) = self.running.iter().position(|heir| heir.attempt == result.attempt) {
            self.ended.push((self.running.swap_remove(at).cluster, result));
        }
    }

    /// What belongs to the cluster, which is here now: what runs, with the times of its starts, and results.
    pub fn take(&mut self, cluster: ClusterId) -> (Vec<(AttemptId, u64)>, Vec<AttemptResult>) {
        let (ours, others) = self.running.drain(..).partition(|heir| heir.cluster == cluster);
        self.running = others;
        let ours: Vec<Heir> = ours;
        let (results, others) = self.ended.drain(..).partition(|(of, _)| *of == cluster);
        self.ended = others;
        let results: Vec<(ClusterId, AttemptResult)> = results;
        (
            ours.into_iter().map(|heir| (heir.attempt, heir.started_at)).collect(),
            results.into_iter().map(|(_, result)| result).collect(),
        )
    }
}
