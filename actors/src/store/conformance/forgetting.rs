//! What finished jobs occupy, and forgetting them by size, by hand and by pages.

use super::finding::{listed, page};
use super::*;
use crate::model::{Status, StoreTotals, footprint};
use crate::store::FinishedQuery;

/// A finished job that has kept so much output; its id and what it should occupy.
async fn heavy(store: &Arc<dyn JobStore>, kept: u64, at_ms: i64) -> (JobId, u64) {
    let id = submitted(store, None).await;
    let mut outcome = outcome_with_output(0, b"said", None);
    outcome.finished_at_ms = at_ms;
    outcome.stdout.summary.head_bytes = kept;
    let bytes = footprint::of_finished(footprint::of_spec(&spec(None)), &outcome);
    let finish = StoreOp::Finish { job: id, epoch: Epoch(0), outcome: Arc::new(outcome) };
    assert_eq!(done(store, vec![finish]).await, [OpResult::Done]);
    (id, bytes)
}

async fn totals(store: &Arc<dyn JobStore>) -> StoreTotals {
    store.totals().await.expect("totals")
}

fn by_size(keep_bytes: u64, limit: u32) -> StoreOp {
    StoreOp::Prune {
        finished_before_ms: None,
        keep: None,
        keep_bytes: Some(keep_bytes),
        keys_before_ms: 0,
        limit,
    }
}

/// Beyond a size the longest finished are forgotten until the rest fits, never more than was told, and no live job.
pub async fn pruning_keeps_a_number_of_bytes(stage: &dyn Stage) {
    let store = stage.fresh();
    let live = submitted(&store, None).await;
    let mut all = Vec::new();
    for (kept, at_ms) in [(9_000_000, 30), (1_000, 10), (500_000, 20), (2_000, 40)] {
        all.push((at_ms, heavy(&store, kept, at_ms).await));
    }
    all.sort_unstable();
    let jobs: Vec<(JobId, u64)> = all.into_iter().map(|(_, job)| job).collect();
    let left = |from: usize| jobs[from..].iter().map(|(_, bytes)| bytes).sum::<u64>();
    assert_eq!(totals(&store).await.retained_bytes, left(0));
    for (op, first, end) in [
        (by_size(left(0), 9), 0, 0),
        (by_size(left(0) - 1, 9), 0, 1),
        (by_size(left(3), 1), 1, 2),
        (by_size(left(3), 9), 2, 3),
        (by_size(0, 9), 3, 4),
        (by_size(0, 9), 4, 4),
    ] {
        let gone = pruned(&store, op).await;
        assert_eq!(gone.jobs, jobs[first..end].iter().map(|(id, _)| *id).collect::<Vec<_>>());
        assert_eq!(gone.bytes, left(first) - left(end));
        assert_eq!(totals(&store).await.retained_bytes, left(end));
    }
    assert_eq!(listed(&store, page(&[], 10)).await, [live]);
}

/// What is counted is what is there: after ends of every kind, deletes, and a reopening.
pub async fn totals_follow_what_is_kept(stage: &dyn Stage) {
    let store = stage.fresh();
    submitted(&store, None).await;
    let (_, heavy_bytes) = heavy(&store, 77_000, 1).await;
    let mut ids = Vec::new();
    for reason in [EndReason::Exited, EndReason::Oom, EndReason::User, EndReason::Exited] {
        ids.push(finished(&store, None, reason, 2).await);
    }
    let before = totals(&store).await;
    assert_eq!((before.live, before.finished, before.ended), (1, 5, [2, 2, 1]));
    let each = (before.retained_bytes - heavy_bytes) / 4;
    assert_eq!(each, footprint::RECORD_BYTES + footprint::of_spec(&spec(None)));
    let deletes = [ids[0], ids[0], ids[2]].map(|job| StoreOp::Delete { job });
    done(&store, deletes.into()).await;
    let after = totals(&store).await;
    assert_eq!((after.finished, after.ended), (3, [1, 2, 0]));
    assert_eq!(after.retained_bytes, before.retained_bytes - 2 * each);
    store.close().await.expect("it closes");
    if let Some(store) = stage.reopen() {
        let again = totals(&store).await;
        assert_eq!((again.ended, again.retained_bytes), (after.ended, after.retained_bytes));
    }
}

/// Of the jobs that are named, those that are finished are forgotten.
pub async fn named_jobs_are_forgotten_once(stage: &dyn Stage) {
    let store = stage.fresh();
    let live = submitted(&store, None).await;
    let (one, one_bytes) = heavy(&store, 5, 1).await;
    let (two, two_bytes) = heavy(&store, 6, 2).await;
    let jobs = vec![two, live, one, clock::new_job_id(), two];
    let gone = pruned(&store, StoreOp::Forget { jobs }).await;
    assert_eq!(gone, Pruned { jobs: vec![two, one], bytes: one_bytes + two_bytes });
    assert_eq!(listed(&store, page(&[], 10)).await, [live]);
    assert_eq!(totals(&store).await.retained_bytes, 0);
}

/// Finished jobs come in the order of their ends, in pages, by status and up to a time.
pub async fn finished_jobs_come_in_the_order_of_their_ends(stage: &dyn Stage) {
    let store = stage.fresh();
    submitted(&store, None).await;
    let mut all = Vec::new();
    for (at_ms, reason) in [
        (30, EndReason::Exited),
        (10, EndReason::Oom),
        (20, EndReason::User),
        (10, EndReason::Exited),
        (10, EndReason::Timeout),
    ] {
        all.push((at_ms, finished(&store, None, reason, at_ms).await, reason.status()));
    }
    all.sort_unstable_by_key(|(at_ms, id, _)| (*at_ms, *id));
    let sets: [&[Status]; 4] =
        [&[], &[Status::Failed], &[Status::Completed, Status::Cancelled], &[Status::Pending]];
    for statuses in sets {
        for before_ms in [10, 11, 30, i64::MAX] {
            let expected: Vec<JobId> = all
                .iter()
                .filter(|(at_ms, _, status)| {
                    *at_ms < before_ms && (statuses.is_empty() || statuses.contains(status))
                })
                .map(|(_, id, _)| *id)
                .collect();
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let query = FinishedQuery { before_ms, statuses: statuses.to_vec(), after, limit: 2 };
                let rows = store.finished(query).await.expect("the read succeeds");
                assert!(rows.len() <= 2);
                let Some(last) = rows.last() else { break };
                after = Some((last.finished_at_ms, last.id));
                found.extend(rows.iter().map(|row| row.id));
            }
            assert_eq!(found, expected, "{statuses:?} before {before_ms}");
        }
    }
}
