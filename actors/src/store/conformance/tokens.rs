//! Tokens, and whose jobs are whose.

use std::sync::Arc;

use super::{Stage, done, finished, new_job, submitted};
use crate::model::access::{Scope, Scopes, TokenOp, TokenRecord};
use crate::model::{EndReason, IdempotencyKey, JobId, Status, Tenant};
use crate::store::{JobStore, ListQuery, NewJob, OpResult, StoreOp};

fn token(id: &str, created_at_ms: i64) -> TokenRecord {
    TokenRecord {
        id: id.into(),
        name: Some("an \"odd\" näme".into()),
        hash: [7; 32],
        tenant: tenant("store-team"),
        scopes: Scopes::of(&[Scope::Submit, Scope::Metrics]),
        created_at_ms,
        expires_at_ms: Some(i64::MAX),
        last_used_at_ms: None,
        revoked_at_ms: None,
    }
}

fn tenant(name: &str) -> Tenant {
    Tenant::named(name).expect("a fine name")
}

fn touch(id: &str, at_ms: i64) -> TokenOp {
    TokenOp::Touch { id: id.into(), at_ms }
}

fn revoke(id: &str, at_ms: i64) -> TokenOp {
    TokenOp::Revoke { id: id.into(), at_ms }
}

/// Tokens come back whole and in order, revoked once for all, also after a restart; and forgotten ones do not.
pub async fn tokens_are_kept(stage: &dyn Stage) {
    let store = stage.fresh();
    assert_eq!(store.tokens().await.expect("the read succeeds"), []);
    let (first, second) =
        (token("bb", 1), TokenRecord { tenant: Tenant::DEFAULT, name: None, ..token("aa", 2) });
    let add = |token: &TokenRecord| TokenOp::Add(Box::new(token.clone()));
    store.change_tokens(vec![add(&first), add(&second), add(&token("cc", 3))]).await.expect("they are new");
    let ops =
        vec![touch("bb", 9), revoke("bb", 10), revoke("bb", 11), touch("nobody", 1), revoke("nobody", 1)];
    store.change_tokens(ops).await.expect("it changes");
    store.change_tokens(vec![TokenOp::Forget { id: "cc".into() }]).await.expect("it is forgotten");
    let first = TokenRecord { last_used_at_ms: Some(9), revoked_at_ms: Some(10), ..first };
    let kept = [first, second];
    assert_eq!(store.tokens().await.expect("the read succeeds"), kept);
    store.close().await.expect("it closes");
    drop(store);
    if let Some(store) = stage.reopen() {
        assert_eq!(store.tokens().await.expect("the read succeeds"), kept);
    }
}

async fn of(store: &Arc<dyn JobStore>, owner: Tenant) -> JobId {
    let job = NewJob { tenant: owner, ..new_job(Some("shared name")) };
    let id = job.id;
    assert_eq!(done(store, vec![StoreOp::Submit(job)]).await, [OpResult::Done]);
    id
}

/// A job keeps its tenant, and questions for one tenant find nothing of another.
pub async fn tenants_are_apart(stage: &dyn Stage) {
    let store = stage.fresh();
    let (one, other) = (tenant("store-one"), tenant("store-other"));
    let nobody = tenant("store-nobody");
    let mine = [of(&store, one).await, of(&store, one).await];
    let theirs = of(&store, other).await;
    let common = [submitted(&store, None).await, finished(&store, None, EndReason::Exited, 5).await];
    for (id, owner) in
        [(mine[0], one), (theirs, other), (common[0], Tenant::DEFAULT), (common[1], Tenant::DEFAULT)]
    {
        assert_eq!(store.tenant_of(id).await.expect("the read succeeds"), Some(owner));
        assert_eq!(store.get(id).await.expect("the read succeeds").map(|job| job.tenant), Some(owner));
        let prefix = id.to_string();
        for asked in [one, other, Tenant::DEFAULT, nobody] {
            let found = store.find(prefix.clone(), Some(asked), 10).await.expect("the read succeeds");
            assert_eq!(found.contains(&id), asked == owner, "{id} {asked}");
        }
        assert_eq!(store.find(prefix, None, 10).await.expect("the read succeeds"), [id]);
    }
    assert_eq!(store.tenant_of(crate::clock::new_job_id()).await.expect("the read succeeds"), None);
    let shared = Some("shared name".to_owned());
    let (live, ended) = (vec![Status::Pending, Status::Running], vec![Status::Completed]);
    for (owner, statuses, name, expected) in [
        (one, vec![], None, vec![mine[1], mine[0]]),
        (one, live.clone(), shared.clone(), vec![mine[1], mine[0]]),
        (one, ended.clone(), None, vec![]),
        (other, vec![], shared.clone(), vec![theirs]),
        (nobody, vec![], None, vec![]),
        (Tenant::DEFAULT, vec![], None, vec![common[1], common[0]]),
        (Tenant::DEFAULT, live, None, vec![common[0]]),
        (Tenant::DEFAULT, ended, None, vec![common[1]]),
        (Tenant::DEFAULT, vec![], shared, vec![]),
    ] {
        let query = ListQuery { tenant: Some(owner), statuses, name, limit: 10, ..ListQuery::default() };
        let found = store.list(query.clone()).await.expect("the read succeeds");
        assert_eq!(found.iter().map(|job| job.id).collect::<Vec<_>>(), expected, "{query:?}");
    }
}

/// The same key of two tenants stands for two requests.
pub async fn a_key_is_one_tenant_s_own(stage: &dyn Stage) {
    let store = stage.fresh();
    let keyed = |owner, hash| NewJob {
        tenant: owner,
        idempotency: Some(IdempotencyKey { key: "k".into(), request_hash: [hash; 32] }),
        ..new_job(None)
    };
    let (one, other) = (tenant("store-one"), Tenant::DEFAULT);
    let first = keyed(one, 1);
    let id = first.id;
    let batch = [first, keyed(other, 2), keyed(one, 1), keyed(one, 3)].map(StoreOp::Submit);
    let expected = [OpResult::Done, OpResult::Done, OpResult::Duplicate(id), OpResult::KeyConflict];
    assert_eq!(done(&store, batch.into()).await, expected);
}
