//! Forgetting finished jobs, and the sums that say when.

use super::*;

impl Tables {
    /// One more has ended like this.
    pub(super) fn count(&mut self, status: Status, bytes: u64) {
        if let Some(at) = StoreTotals::place_of(status) {
            self.ended[at] += 1;
        }
        self.retained_bytes = self.retained_bytes.saturating_add(bytes);
    }

    /// What the job occupied, if there was such a finished one.
    pub(super) fn forget_one(&mut self, job: JobId) -> Option<u64> {
        let bytes = self.jobs.get(&job).and_then(finished_row)?.bytes;
        let status = self.jobs.remove(&job)?.state.status();
        if let Some(at) = StoreTotals::place_of(status) {
            self.ended[at] = self.ended[at].saturating_sub(1);
        }
        self.retained_bytes = self.retained_bytes.saturating_sub(bytes);
        Some(bytes)
    }

    pub(super) fn forget(&mut self, jobs: Vec<JobId>) -> OpResult {
        let mut pruned = Pruned::default();
        for job in jobs {
            if let Some(bytes) = self.forget_one(job) {
                pruned.jobs.push(job);
                pruned.bytes = pruned.bytes.saturating_add(bytes);
            }
        }
        OpResult::Pruned(pruned)
    }

    pub(super) fn prune(
        &mut self,
        before_ms: Option<i64>,
        keep: Option<u64>,
        keep_bytes: Option<u64>,
        limit: usize,
    ) -> OpResult {
        let mut finished: Vec<FinishedRow> = self.jobs.values().filter_map(finished_row).collect();
        finished.sort_unstable_by_key(|row| (row.finished_at_ms, row.id));
        let excess = keep.map_or(0, |keep| (finished.len() as u64).saturating_sub(keep));
        let mut left = self.retained_bytes;
        let mut pruned = Vec::new();
        for (at, row) in (0_u64..).zip(finished).take(limit) {
            let too_old = before_ms.is_some_and(|before| row.finished_at_ms < before);
            if at >= excess && !too_old && keep_bytes.is_none_or(|keep| left <= keep) {
                break;
            }
            left = left.saturating_sub(row.bytes);
            pruned.push(row.id);
        }
        self.forget(pruned)
    }

    pub(super) fn prune_keys(&mut self, before_ms: i64, limit: usize) {
        let mut expired: Vec<(i64, (Tenant, String))> = self
            .keys
            .iter()
            .filter(|(_, used)| used.created_at_ms < before_ms)
            .map(|(key, used)| (used.created_at_ms, key.clone()))
            .collect();
        expired.sort_unstable();
        for (_, key) in expired.into_iter().take(limit) {
            self.keys.remove(&key);
        }
    }
}
