//! What a former life of the node left behind: processes that still run, output that no record refers to. It starts
//! nothing.

use std::path::PathBuf;
use std::sync::Arc;

use crate::coordinator::live::{LiveJob, LiveTable};
use crate::exec::kill_survivors;
use crate::model::{AttemptId, JobId, JobState, NodeId};
use crate::spool::Spool;
use crate::store::JobStore;

/// Clears both away. The processes are looked for only when the former life still holds slots.
pub(super) async fn clear(
    live: &LiveTable,
    holds_slots: bool,
    node: NodeId,
    spool_dir: &Option<PathBuf>,
    store: &Arc<dyn JobStore>,
) {
    if holds_slots {
        end(live, node).await;
    }
    sweep_spool(spool_dir.clone(), store).await;
}

/// A former life still holds slots: whatever of its attempts is alive must be dead before they can be called lost.
async fn end(live: &LiveTable, node: NodeId) {
    let held = |(job, live): (&JobId, &LiveJob)| {
        let lease = live.state.lease().filter(|lease| lease.node == node)?;
        Some(AttemptId::new(*job, lease.tally.epoch))
    };
    let attempts: Vec<AttemptId> = live.iter().filter_map(held).collect();
    // Looking through every process takes a while, and this thread has nothing else to do yet.
    if tokio::task::spawn_blocking(move || kill_survivors(&attempts)).await.is_err() {
        log::error!("the search for processes of a former life failed");
    }
}

/// Removes spooled output that no record refers to: of attempts that were lost, or of jobs forgotten since.
async fn sweep_spool(dir: Option<PathBuf>, store: &Arc<dyn JobStore>) {
    let Some(spool) = dir.map(Spool::new) else { return };
    let attempts = match spool.list() {
        Ok(attempts) => attempts,
        Err(error) => return log::warn!("spooled output cannot be listed: {error}"),
    };
    for attempt in attempts {
        let found = store.get(attempt.job).await;
        let kept = match &found {
            Ok(Some(record)) => match &record.state {
                JobState::Ended(outcome) => outcome.epoch == attempt.epoch,
                _ => false,
            },
            Ok(None) => false,
            Err(_) => true,
        };
        if !kept && let Err(error) = spool.remove(attempt) {
            log::warn!(attempt:% = attempt; "spooled output cannot be removed: {error}");
        }
    }
}
