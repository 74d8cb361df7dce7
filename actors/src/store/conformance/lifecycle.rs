//! From submit to the one terminal record: fences, keys, order and atomicity.

use std::sync::Arc;

use super::*;
use crate::model::CancelWish;
use crate::store::{IdempotencyKey, StoreError};

/// A job is queued when submitted, leased when leased, ended when finished; each step comes back as it was given.
pub async fn a_job_goes_from_submit_to_its_end(stage: &dyn Stage) {
    let store = stage.fresh();
    let mut job = new_job(Some("whole"));
    job.retry_of = Some(clock::new_job_id());
    let (id, given) = (job.id, job.clone());
    done(&store, vec![StoreOp::Submit(job)]).await;
    let queued = record(&store, id).await;
    assert_eq!(queued.state, JobState::new());
    assert_eq!((queued.id, queued.spec.clone()), (id, given.spec.clone()));
    assert_eq!(queued.created_at_ms, given.created_at_ms);
    assert_eq!(queued.retry_of, given.retry_of);

    let leased = done(&store, vec![lease_op(id, 0)]).await;
    assert_eq!(leased, [OpResult::Leased(Some(given.spec))]);
    let held = state(&store, id).await;
    let held = held.lease().expect("it is held");
    assert_eq!((held.tally.epoch, held.node), (Epoch(1), node()));
    assert_eq!(held.incarnation, Incarnation(7));

    let outcome = outcome_with_output(1, b"out", Some(b""));
    let finish = StoreOp::Finish { job: id, epoch: Epoch(1), outcome: Arc::new(outcome.clone()) };
    assert_eq!(done(&store, vec![finish]).await, [OpResult::Done]);
    assert_eq!(state(&store, id).await, JobState::Ended(Box::new(outcome)));
}

/// A job that has ended stays as it ended, whoever says otherwise.
pub async fn a_job_has_exactly_one_terminal_record(stage: &dyn Stage) {
    let store = stage.fresh();
    let id = finished(&store, None, EndReason::Exited, 10).await;
    let before = record(&store, id).await;
    let late = done(
        &store,
        vec![
            finish_op(id, 1, EndReason::ExitCode, 20),
            finish_op(id, 0, EndReason::User, 20),
            lease_op(id, 1),
            StoreOp::Update {
                job: id,
                epoch: Epoch(1),
                state: JobState::Running(lease(1)),
                attempt: Some(attempt(1, "lost")),
            },
        ],
    )
    .await;
    assert_eq!(late, vec![OpResult::Stale; 4]);
    assert_eq!(record(&store, id).await, before);
    let totals = store.totals().await.expect("totals");
    assert_eq!((totals.live, totals.finished), (0, 1));
}

/// Of two finishes in one batch the first one counts.
pub async fn the_first_finish_of_a_batch_wins(stage: &dyn Stage) {
    let store = stage.fresh();
    let id = submitted(&store, None).await;
    let both = done(
        &store,
        vec![
            lease_op(id, 0),
            finish_op(id, 1, EndReason::Exited, 1),
            finish_op(id, 1, EndReason::Timeout, 2),
        ],
    )
    .await;
    assert_eq!(both[1..], [OpResult::Done, OpResult::Stale]);
    assert!(matches!(state(&store, id).await, JobState::Ended(o) if o.reason == EndReason::Exited));
}

/// What names an older or a later epoch changes nothing.
pub async fn another_epoch_changes_nothing(stage: &dyn Stage) {
    let store = stage.fresh();
    let id = submitted(&store, None).await;
    done(&store, vec![lease_op(id, 0)]).await;
    let held = record(&store, id).await;
    let update = |epoch| StoreOp::Update {
        job: id,
        epoch: Epoch(epoch),
        state: JobState::Running(lease(epoch)),
        attempt: Some(attempt(epoch, "lost")),
    };
    let wrong = vec![
        update(0),
        update(2),
        finish_op(id, 0, EndReason::Exited, 1),
        finish_op(id, 2, EndReason::Exited, 1),
        lease_op(id, 0),
        lease_op(id, 1),
        finish_op(clock::new_job_id(), 0, EndReason::Exited, 1),
    ];
    let count = wrong.len();
    assert_eq!(done(&store, wrong).await, vec![OpResult::Stale; count]);
    assert_eq!(record(&store, id).await, held);
}

/// A job that was cancelled while it waited is not given to anyone.
pub async fn a_finished_job_is_not_leased(stage: &dyn Stage) {
    let store = stage.fresh();
    let id = submitted(&store, None).await;
    done(&store, vec![finish_op(id, 0, EndReason::User, 1)]).await;
    assert_eq!(done(&store, vec![lease_op(id, 0)]).await, [OpResult::Stale]);
}

/// Every live state comes back as it was stored; a requeued job is leased under the next epoch.
pub async fn updates_keep_every_field(stage: &dyn Stage) {
    let store = stage.fresh();
    let id = submitted(&store, None).await;
    done(&store, vec![lease_op(id, 0)]).await;
    let mut wished = lease(1);
    wished.cancel = Some(CancelWish {
        reason: EndReason::FailFast,
        note: Some("a sibling \u{1F4A5}".into()),
        grace_ms: 5,
    });
    let mut unstarted = lease(1);
    unstarted.started_at_ms = None;
    for moved in [
        JobState::Leased(unstarted),
        JobState::Running(wished.clone()),
        JobState::Unknown(wished),
        JobState::Queued(lease(1).tally),
    ] {
        let update = StoreOp::Update { job: id, epoch: Epoch(1), state: moved.clone(), attempt: None };
        assert_eq!(done(&store, vec![update]).await, [OpResult::Done]);
        assert_eq!(state(&store, id).await, moved);
        let live = store.load_live(None, 10).await.expect("live rows");
        assert_eq!(live[0].state, moved);
    }
    done(&store, vec![lease_op(id, 1)]).await;
    let again = state(&store, id).await;
    let again = again.lease().expect("it is held again");
    assert_eq!((again.tally.epoch, again.tally.lost), (Epoch(2), 2));
    assert_eq!((again.started_at_ms, again.cancel.clone()), (None, None));
}

/// Attempts that came to nothing are remembered in order, up to a bound, also after the end.
pub async fn attempts_are_remembered(stage: &dyn Stage) {
    let store = stage.fresh();
    let id = submitted(&store, None).await;
    let requeue = StoreOp::Update {
        job: id,
        epoch: Epoch(1),
        state: JobState::Queued(lease(1).tally),
        attempt: Some(attempt(1, "lost")),
    };
    let note = |epoch| StoreOp::NoteAttempt { job: id, attempt: attempt(epoch, "stale") };
    done(&store, vec![lease_op(id, 0), requeue, finish_op(id, 1, EndReason::User, 3), note(1)]).await;
    let kept = record(&store, id).await.attempts;
    assert_eq!(kept, [attempt(1, "lost"), attempt(1, "stale")]);
    done(&store, (2..300).map(note).collect()).await;
    let kept = record(&store, id).await.attempts;
    assert_eq!(kept.len(), crate::store::MAX_ATTEMPTS_KEPT);
    assert_eq!(kept.last(), Some(&attempt(299, "stale")));
    let unknown = StoreOp::NoteAttempt { job: clock::new_job_id(), attempt: attempt(1, "stale") };
    assert_eq!(done(&store, vec![unknown]).await, [OpResult::NotFound]);
}

/// One key is one request, in one batch, in two, and after its job was deleted.
pub async fn a_key_stands_for_one_request(stage: &dyn Stage) {
    let store = stage.fresh();
    let keyed = |hash: u8| {
        let mut job = new_job(None);
        job.idempotency = Some(IdempotencyKey { key: "k\u{e9}y".into(), request_hash: [hash; 32] });
        job
    };
    let first = keyed(1);
    let id = first.id;
    let submits = [first, keyed(1), keyed(2)].map(StoreOp::Submit);
    let expected = [OpResult::Done, OpResult::Duplicate(id), OpResult::KeyConflict];
    assert_eq!(done(&store, submits.into()).await, expected);
    let submits = [keyed(1), keyed(2)].map(StoreOp::Submit);
    assert_eq!(done(&store, submits.into()).await, expected[1..]);
    assert_eq!(store.totals().await.expect("totals").live, 1);
    done(&store, vec![finish_op(id, 0, EndReason::User, 1), StoreOp::Delete { job: id }]).await;
    let late = done(&store, vec![StoreOp::Submit(keyed(1))]).await;
    assert_eq!(late, [OpResult::Duplicate(id)]);
}

/// Operations of a batch see what those before them did, and batches are committed in the order they were given.
pub async fn order_is_kept(stage: &dyn Stage) {
    let store = stage.fresh();
    let job = new_job(None);
    let id = job.id;
    let whole = done(
        &store,
        vec![
            StoreOp::Submit(job),
            lease_op(id, 0),
            finish_op(id, 1, EndReason::Exited, 1),
            StoreOp::Delete { job: id },
            StoreOp::Delete { job: id },
        ],
    )
    .await;
    assert_eq!(whole[2..], [OpResult::Done, OpResult::Done, OpResult::NotFound]);

    let id = submitted(&store, None).await;
    let given: Vec<_> = (0..50)
        .map(|epoch| {
            let requeue = StoreOp::Update {
                job: id,
                epoch: Epoch(epoch + 1),
                state: JobState::Queued(lease(epoch + 1).tally),
                attempt: None,
            };
            [lease_op(id, epoch), requeue].map(|op| store.commit(vec![op]))
        })
        .collect();
    for committed in given.into_iter().flatten() {
        let results = committed.await.expect("the commit succeeds");
        assert_ne!(results, [OpResult::Stale]);
    }
}

/// A batch that fails leaves nothing behind, and neither harms its neighbours nor the store.
pub async fn a_failed_batch_leaves_nothing(stage: &dyn Stage) {
    let store = stage.fresh();
    let taken = submitted(&store, None).await;
    let (fine, twice) = (new_job(None), new_job(None));
    let (fine_id, half_id) = (fine.id, twice.id);
    let clash = NewJob { id: taken, ..new_job(None) };
    let bad = store.commit(vec![StoreOp::Submit(twice), StoreOp::Submit(clash)]);
    let good = store.commit(vec![StoreOp::Submit(fine)]);
    assert!(matches!(bad.await, Err(StoreError::Failed { .. })));
    assert_eq!(good.await.expect("the neighbour succeeds"), [OpResult::Done]);
    assert!(store.get(half_id).await.expect("a read").is_none());
    assert!(store.get(fine_id).await.expect("a read").is_some());
    let ended = JobState::Ended(Box::new(outcome_with_output(0, b"", None)));
    for state in [ended, JobState::Running(lease(9))] {
        let update = StoreOp::Update { job: taken, epoch: Epoch(0), state, attempt: None };
        assert!(matches!(store.commit(vec![update]).await, Err(StoreError::Failed { .. })));
    }
    assert_eq!(store.totals().await.expect("totals").live, 2);
    assert_eq!(done(&store, Vec::new()).await, []);
}
