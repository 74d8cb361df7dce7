//! Loading, registering, closing, and what is there after opening again.

use super::*;
use crate::model::{Cordon, Eligibility, InputMode, Isolation, Needs, Requires, Term};
use crate::store::{ListQuery, LiveRow, StoreError};

/// Every live row, in pages of this size.
pub async fn load_all(store: &Arc<dyn JobStore>, page: usize) -> Vec<LiveRow> {
    let mut all: Vec<LiveRow> = Vec::new();
    loop {
        let after = all.last().map(|row| row.id);
        let rows = store.load_live(after, page).await.expect("a page loads");
        assert!(rows.len() <= page);
        if rows.is_empty() {
            return all;
        }
        all.extend(rows);
    }
}

/// Ten thousand live jobs load in pages, oldest first, without those that ended.
pub async fn live_jobs_load_in_pages(stage: &dyn Stage) {
    let store = stage.fresh();
    let jobs: Vec<NewJob> = (0..10_100).map(|_| new_job(None)).collect();
    let mut ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    for batch in jobs.chunks(1000) {
        let submits = batch.iter().cloned().map(StoreOp::Submit);
        done(&store, submits.collect()).await;
    }
    let ends = ids.iter().skip(7).step_by(101);
    let ends: Vec<StoreOp> = ends.map(|id| finish_op(*id, 0, EndReason::User, 1)).collect();
    let (live, ended) = (ids.len() - ends.len(), ends.len());
    done(&store, ends).await;
    ids = (0..).zip(ids).filter(|(at, _)| at % 101 != 7).map(|(_, id)| id).collect();
    let loaded = load_all(&store, 999).await;
    let loaded: Vec<JobId> = loaded.into_iter().map(|row| row.id).collect();
    assert_eq!(loaded, ids);
    let totals = store.totals().await.expect("totals");
    assert_eq!((totals.live, totals.finished), (live as u64, ended as u64));
}

/// Each registering of a node is a life of its own.
pub async fn incarnations_grow(stage: &dyn Stage) {
    let store = stage.fresh();
    let register = |byte| StoreOp::RegisterNode { node: NodeId::from_bytes([byte; 16]) };
    let lives = done(&store, vec![register(1), register(1), register(2)]).await;
    assert_eq!(lives, [1, 2, 1].map(|life| registered(life, Eligibility::Eligible)));
    store.close().await.expect("it closes");
    drop(store);
    if let Some(store) = stage.reopen() {
        let lives = done(&store, vec![register(1)]).await;
        assert_eq!(lives, [registered(3, Eligibility::Eligible)]);
    }
}

fn registered(life: u64, eligibility: Eligibility) -> OpResult {
    OpResult::Registered { incarnation: Incarnation(life), eligibility }
}

/// What an operator has said of a node holds in its next life too, until something else is said.
pub async fn a_marked_node_stays_marked(stage: &dyn Stage) {
    let store = stage.fresh();
    let node = NodeId::from_bytes([4; 16]);
    let mark = |eligibility: &Eligibility| StoreOp::MarkNode { node, eligibility: eligibility.clone() };
    let cordon = Cordon { by: "operator".into(), why: "its \"disk\" fails".into(), since_ms: 7 };
    let drain = Eligibility::Draining { cordon: cordon.clone(), deadline_at_ms: Some(i64::MAX) };
    assert_eq!(done(&store, vec![mark(&drain)]).await, [OpResult::NotFound]);
    let register = || StoreOp::RegisterNode { node };
    let results = done(&store, vec![register(), mark(&drain), register()]).await;
    assert_eq!(results[1..], [OpResult::Done, registered(2, drain)]);
    let cordoned = Eligibility::Cordoned(cordon);
    done(&store, vec![mark(&cordoned)]).await;
    store.close().await.expect("it closes");
    drop(store);
    if let Some(store) = stage.reopen() {
        let results = done(&store, vec![register(), mark(&Eligibility::Eligible), register()]).await;
        assert_eq!(results[0], registered(3, cordoned));
        assert_eq!(results[2], registered(4, Eligibility::Eligible));
    }
}

/// A live job loads with what it needs of a node.
pub async fn live_jobs_load_with_their_needs(stage: &dyn Stage) {
    let store = stage.fresh();
    let requires = Requires { labels: [("gpu".into(), "a100".into())].into(), runner: Some("b1".into()) };
    let demanding =
        JobSpec { requires, isolation: Isolation::Sandbox, artifacts: vec!["out".into()], ..spec(None) };
    let plain = new_job(None);
    let other = NewJob { spec: Arc::new(demanding.clone()), ..new_job(None) };
    let expected = [(plain.id, Needs::default()), (other.id, Needs::of(&demanding))];
    done(&store, vec![StoreOp::Submit(plain), StoreOp::Submit(other)]).await;
    let loaded: Vec<_> = load_all(&store, 1).await.into_iter().map(|row| (row.id, row.needs)).collect();
    assert_eq!(loaded, expected);
}

/// A raised term holds, also after opening again; every live job's epoch is above what it was, and can be leased from there.
pub async fn a_raised_term_raises_every_live_epoch(stage: &dyn Stage) {
    let store = stage.fresh();
    let (waiting, held, ended) =
        (submitted(&store, None).await, submitted(&store, None).await, submitted(&store, None).await);
    done(&store, vec![lease_op(held, 0), lease_op(ended, 0), finish_op(ended, 1, EndReason::User, 1)]).await;
    let before = record(&store, ended).await;
    let to = Term(store.identity().term.0 + 41);
    let raise = |to, floor| StoreOp::RaiseTerm { to, floor: Epoch(floor) };
    assert!(store.is_exclusive());
    assert_eq!(done(&store, vec![raise(to, 500)]).await, [OpResult::Done]);
    for id in [waiting, held] {
        assert_eq!(state(&store, id).await.epoch(), Epoch(500));
    }
    assert_eq!(record(&store, ended).await, before);
    // A lower one lowers nothing, and no epoch stays.
    assert_eq!(done(&store, vec![raise(Term(1), 3)]).await, [OpResult::Done]);
    let leases =
        done(&store, vec![lease_op(waiting, 0), lease_op(waiting, 500), lease_op(waiting, 501)]).await;
    assert_eq!(leases[..2], [OpResult::Stale, OpResult::Stale]);
    assert!(matches!(leases[2], OpResult::Leased(_)));
    assert_eq!(state(&store, waiting).await.epoch(), Epoch(502));
    store.close().await.expect("it closes");
    drop(store);
    if let Some(store) = stage.reopen() {
        assert_eq!(store.identity().term, to.next());
        assert_eq!(state(&store, held).await.epoch(), Epoch(501));
    }
}

/// After opening again everything is there, in a later term of the same cluster.
pub async fn everything_is_there_after_reopening(stage: &dyn Stage) {
    let store = stage.fresh();
    let identity = store.identity();
    let waiting = submitted(&store, Some("waits")).await;
    let ended = submitted(&store, None).await;
    let finish = StoreOp::Finish {
        job: ended,
        epoch: Epoch(1),
        outcome: Arc::new(outcome_with_output(1, b"\xff\0", Some(b"err"))),
    };
    let mut keyed = new_job(None);
    keyed.spec = Arc::new(JobSpec { input: InputMode::Inline(vec![0, 255, 10]), ..spec(None) });
    keyed.idempotency = Some(crate::store::IdempotencyKey { key: "key".into(), request_hash: [1; 32] });
    let note = StoreOp::NoteAttempt { job: waiting, attempt: attempt(0, "stale") };
    let batch = vec![lease_op(ended, 0), finish, StoreOp::Submit(keyed.clone()), note];
    done(&store, batch).await;
    let mut before = Vec::new();
    for id in [waiting, ended, keyed.id] {
        before.push(record(&store, id).await);
    }
    assert_eq!(before[2].spec, keyed.spec);
    let totals = store.totals().await.expect("totals");
    store.close().await.expect("it closes");
    drop(store);

    let Some(store) = stage.reopen() else { return };
    assert_eq!(store.identity().cluster, identity.cluster);
    assert_eq!(store.identity().term, identity.term.next());
    for old in before {
        assert_eq!(record(&store, old.id).await, old);
    }
    let again = store.totals().await.expect("totals");
    assert_eq!((again.live, again.finished), (totals.live, totals.finished));
    let late = NewJob { id: clock::new_job_id(), ..keyed.clone() };
    let late = done(&store, vec![StoreOp::Submit(late)]).await;
    assert_eq!(late, [OpResult::Duplicate(keyed.id)]);
}

/// What was given before closing is done; what comes after is told that it is closed.
pub async fn a_closed_store_says_so(stage: &dyn Stage) {
    let store = stage.fresh();
    let job = new_job(None);
    let id = job.id;
    let last = store.commit(vec![StoreOp::Submit(job)]);
    store.close().await.expect("it closes");
    assert_eq!(last.await.expect("the last commit"), [OpResult::Done]);
    let closed = |error| matches!(error, StoreError::Closed);
    assert!(store.commit(Vec::new()).await.is_err_and(closed));
    assert!(store.get(id).await.is_err_and(closed));
    assert!(store.load_live(None, 1).await.is_err_and(closed));
    assert!(store.find("0".into(), None, 1).await.is_err_and(closed));
    assert!(store.list(ListQuery::default()).await.is_err_and(closed));
    assert!(store.totals().await.is_err_and(closed));
    assert!(store.close().await.is_err_and(closed));
    drop(store);
    if let Some(store) = stage.reopen() {
        assert_eq!(record(&store, id).await.id, id);
    }
}
