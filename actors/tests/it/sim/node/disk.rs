//! What a simulated node keeps on its disk: results until they have their verdict, and the highest term it has seen.
//! What is not synced may or may not survive a crash.

use std::collections::BTreeMap;

use callboard_actors::model::{AttemptId, AttemptResult, Term};

use crate::sim::env::Env;

#[derive(Default)]
pub struct Disk {
    unsynced: BTreeMap<AttemptId, AttemptResult>,
    results: BTreeMap<AttemptId, AttemptResult>,
    /// Judged, but the note of it is not synced: they may come back.
    judged: BTreeMap<AttemptId, AttemptResult>,
    pub term: Term,
}

impl Disk {
    pub fn write(&mut self, result: AttemptResult) {
        self.unsynced.insert(result.attempt, result);
    }

    pub fn sync(&mut self, attempt: AttemptId) -> Option<AttemptResult> {
        let result = self.unsynced.remove(&attempt)?;
        self.judged.clear();
        self.results.insert(attempt, result.clone());
        Some(result)
    }

    /// The attempt has its verdict; the result, if it was here.
    pub fn forget(&mut self, attempt: AttemptId) -> Option<AttemptResult> {
        let result = self.results.remove(&attempt)?;
        self.judged.insert(attempt, result.clone());
        Some(result)
    }

    pub fn results(&self) -> impl Iterator<Item = AttemptResult> {
        self.results.values().cloned()
    }

    /// The node dies. What was not synced survives by chance; without a spool no result does.
    pub fn crash(&mut self, env: &mut Env, spooled: bool) {
        let unsynced = std::mem::take(&mut self.unsynced).into_values();
        let judged = std::mem::take(&mut self.judged).into_values();
        for result in unsynced.chain(judged) {
            if env.rng.percent(50) {
                self.results.insert(result.attempt, result);
            }
        }
        if !spooled {
            self.results.clear();
        }
    }
}
