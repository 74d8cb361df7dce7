//! Lists, cursors, prefixes, deleting and pruning.

use super::*;
use crate::model::Status;
use crate::store::ListQuery;

/// A mixed crowd, oldest first: one of each place a job can be, twice over.
async fn crowd(store: &Arc<dyn JobStore>) -> Vec<(JobId, Status)> {
    let mut all = Vec::new();
    for _ in 0..2 {
        for (reason, status) in [
            (EndReason::Exited, Status::Completed),
            (EndReason::Oom, Status::Failed),
            (EndReason::User, Status::Cancelled),
        ] {
            all.push((finished(store, Some("ended"), reason, 1).await, status));
        }
        all.push((submitted(store, Some("waits")).await, Status::Pending));
        let runs = submitted(store, None).await;
        let run =
            StoreOp::Update { job: runs, epoch: Epoch(1), state: JobState::Running(lease(1)), attempt: None };
        done(store, vec![lease_op(runs, 0), run]).await;
        all.push((runs, Status::Running));
    }
    all
}

pub(super) async fn listed(store: &Arc<dyn JobStore>, query: ListQuery) -> Vec<JobId> {
    let page = store.list(query).await.expect("the list succeeds");
    page.into_iter().map(|job| job.id).collect()
}

pub(super) fn page(statuses: &[Status], limit: usize) -> ListQuery {
    ListQuery { statuses: statuses.to_vec(), limit, ..ListQuery::default() }
}

/// Every set of statuses gives the jobs that have one of them, newest first; live ones come together.
pub async fn lists_filter_by_status(stage: &dyn Stage) {
    let store = stage.fresh();
    let all = crowd(&store).await;
    for mask in 0..32_u32 {
        let picks = (0..).zip(Status::ALL).filter(|(bit, _)| mask & (1 << bit) != 0);
        let statuses: Vec<Status> = picks.map(|(_, status)| status).collect();
        let live = statuses.iter().any(|status| !status.is_terminal());
        let wanted = |status: Status| {
            statuses.is_empty() || statuses.contains(&status) || (live && !status.is_terminal())
        };
        let expected = |name: Option<&str>| -> Vec<JobId> {
            let named = |at: usize| match at % 5 {
                0..=2 => Some("ended"),
                3 => Some("waits"),
                _ => None,
            };
            let mut ids: Vec<JobId> = (0..)
                .zip(&all)
                .filter(|(at, (_, status))| wanted(*status) && (name.is_none() || named(*at) == name))
                .map(|(_, (id, _))| *id)
                .collect();
            ids.reverse();
            ids
        };
        assert_eq!(listed(&store, page(&statuses, 100)).await, expected(None), "{statuses:?}");
        for name in ["ended", "waits", "nobody"] {
            let query = ListQuery { name: Some(name.into()), ..page(&statuses, 100) };
            assert_eq!(listed(&store, query).await, expected(Some(name)), "{name} {statuses:?}");
        }
    }
}

/// Pages follow one another without a gap or an overlap, whatever the filter.
pub async fn cursors_cut_a_list_into_pages(stage: &dyn Stage) {
    let store = stage.fresh();
    crowd(&store).await;
    let filters: [&[Status]; 5] = [
        &[],
        &[Status::Running],
        &[Status::Failed],
        &[Status::Completed, Status::Failed],
        &[Status::Pending, Status::Cancelled],
    ];
    for statuses in filters {
        let whole = listed(&store, page(statuses, 100)).await;
        let mut pages = Vec::new();
        let mut before = None;
        loop {
            let query = ListQuery { before, ..page(statuses, 3) };
            let next = listed(&store, query).await;
            assert!(next.len() <= 3);
            match next.last() {
                Some(last) => before = Some(*last),
                None => break,
            }
            pages.extend(next);
        }
        assert_eq!(pages, whole, "{statuses:?}");
    }
    assert_eq!(listed(&store, page(&[], 0)).await, []);
}

/// Times of acceptance bound a list: from the first on, up to but without the second.
pub async fn lists_filter_by_time(stage: &dyn Stage) {
    let store = stage.fresh();
    let at = |ms: i64| {
        let mut bytes = [0x70; 16];
        bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
        NewJob { id: JobId::from_bytes(bytes), created_at_ms: ms, ..new_job(None) }
    };
    let ids: Vec<JobId> = [1000, 1001, 1002].map(|ms| at(ms).id).into();
    let submits = [1000, 1001, 1002].map(|ms| StoreOp::Submit(at(ms)));
    done(&store, submits.into()).await;
    let between =
        |after, before| ListQuery { created_after_ms: after, created_before_ms: before, ..page(&[], 10) };
    for (after, before, expected) in [
        (None, None, vec![2, 1, 0]),
        (Some(1001), None, vec![2, 1]),
        (None, Some(1001), vec![0]),
        (Some(1001), Some(1002), vec![1]),
        (Some(1003), None, vec![]),
        (Some(1002), Some(1001), vec![]),
    ] {
        let expected: Vec<JobId> = expected.into_iter().map(|at: usize| ids[at]).collect();
        assert_eq!(listed(&store, between(after, before)).await, expected, "{after:?} {before:?}");
    }
}

/// A job is found by any beginning of its id, with dashes or without.
pub async fn jobs_are_found_by_prefix(stage: &dyn Stage) {
    let store = stage.fresh();
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(submitted(&store, None).await);
    }
    let find = |prefix: &str, limit| store.find(prefix.to_owned(), None, limit);
    for id in &all {
        let text = id.to_string();
        assert_eq!(find(&text, 5).await.expect("found"), [*id]);
        let bare = text.replace('-', "").to_uppercase();
        assert_eq!(find(&bare, 5).await.expect("found"), [*id]);
        for len in 1..bare.len() {
            let expected: Vec<JobId> = all
                .iter()
                .copied()
                .filter(|id| id.0.simple().to_string().starts_with(&bare[..len].to_lowercase()))
                .collect();
            assert_eq!(find(&bare[..len], 100).await.expect("found"), expected);
        }
    }
    assert_eq!(find(&all[0].to_string()[..3], 7).await.expect("found").len(), 7);
    for wrong in ["", "zz", "0190%", "ffffffff"] {
        assert_eq!(find(wrong, 5).await.expect("nothing"), [], "{wrong}");
    }
    let unknown = store.get(clock::new_job_id()).await.expect("a read");
    assert!(unknown.is_none());
}

/// Only what has ended can be deleted, and then it is gone from everywhere.
pub async fn finished_jobs_can_be_deleted(stage: &dyn Stage) {
    let store = stage.fresh();
    let live = submitted(&store, Some("n")).await;
    let ended = finished(&store, Some("n"), EndReason::Oom, 5).await;
    let deletes = [live, ended, ended].map(|job| StoreOp::Delete { job });
    assert_eq!(done(&store, deletes.into()).await, [OpResult::NotFound, OpResult::Done, OpResult::NotFound]);
    assert!(store.get(ended).await.expect("a read").is_none());
    assert_eq!(listed(&store, page(&[], 10)).await, [live]);
    assert_eq!(listed(&store, page(&[Status::Failed], 10)).await, []);
    assert_eq!(store.find(ended.to_string(), None, 5).await.expect("found"), []);
    let totals = store.totals().await.expect("totals");
    assert_eq!((totals.live, totals.finished), (1, 0));
}

/// Pruning forgets the longest finished first, by age, by count, and never more than it was told.
pub async fn pruning_forgets_the_oldest(stage: &dyn Stage) {
    let store = stage.fresh();
    let live = submitted(&store, None).await;
    // The order of finishing is not the order of submitting.
    let mut by_end = Vec::new();
    for at_ms in [50, 10, 40, 20, 30] {
        by_end.push((at_ms, finished(&store, None, EndReason::Exited, at_ms).await));
    }
    by_end.sort_unstable();
    let ids: Vec<JobId> = by_end.into_iter().map(|(_, id)| id).collect();
    let prune = |finished_before_ms, keep, limit| StoreOp::Prune {
        finished_before_ms,
        keep,
        keep_bytes: None,
        keys_before_ms: 0,
        limit,
    };
    for (op, expected) in [
        (prune(None, None, 9), &ids[..0]),
        (prune(Some(10), Some(5), 9), &ids[..0]),
        (prune(Some(21), Some(5), 1), &ids[..1]),
        (prune(Some(21), None, 9), &ids[1..2]),
        (prune(Some(21), Some(2), 9), &ids[2..3]),
        (prune(None, Some(0), 9), &ids[3..]),
    ] {
        assert_eq!(pruned(&store, op).await.jobs, expected);
    }
    assert_eq!(listed(&store, page(&[], 10)).await, [live]);
    let totals = store.totals().await.expect("totals");
    assert_eq!((totals.live, totals.finished), (1, 0));
}

/// Keys are forgotten by age, and can then be used anew.
pub async fn pruning_forgets_old_keys(stage: &dyn Stage) {
    let store = stage.fresh();
    let keyed = |at_ms: i64| {
        let mut job = new_job(None);
        job.created_at_ms = at_ms;
        job.idempotency =
            Some(crate::store::IdempotencyKey { key: format!("key {at_ms}"), request_hash: [3; 32] });
        StoreOp::Submit(job)
    };
    done(&store, vec![keyed(10), keyed(20), keyed(30)]).await;
    let prune = |keys_before_ms, limit| StoreOp::Prune {
        finished_before_ms: None,
        keep: None,
        keep_bytes: None,
        keys_before_ms,
        limit,
    };
    done(&store, vec![prune(30, 1), prune(20, 9)]).await;
    let again = done(&store, vec![keyed(10), keyed(20), keyed(30)]).await;
    assert_eq!(again[0], OpResult::Done);
    assert!(matches!(again[1..], [OpResult::Duplicate(_), OpResult::Duplicate(_)]));
}

/// A list tells how much output there is, without the bytes.
pub async fn lists_come_without_inline_output(stage: &dyn Stage) {
    let store = stage.fresh();
    let id = submitted(&store, None).await;
    let outcome = outcome_with_output(0, &[0, 159, 146, 150, b'\n', 255], None);
    let finish = StoreOp::Finish { job: id, epoch: Epoch(0), outcome: Arc::new(outcome.clone()) };
    let note = StoreOp::NoteAttempt { job: id, attempt: attempt(0, "stale") };
    done(&store, vec![finish, note]).await;
    let whole = record(&store, id).await;
    assert_eq!(whole.state, JobState::Ended(Box::new(outcome)));
    let mut expected = whole;
    if let JobState::Ended(outcome) = &mut expected.state {
        (outcome.stdout.inline, outcome.stderr.inline) = (None, None);
    }
    let rows = store.list(page(&[], 1)).await.expect("the list succeeds");
    assert_eq!(rows, [expected]);
}
