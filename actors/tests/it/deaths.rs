//! An actor that dies is noticed, whichever it is and however it comes to it: `Platform::died` names it, and the
//! platform no longer calls itself alive.

use std::sync::Arc;
use std::time::Duration;

use callboard_actors::graph::deaths::Die;
use callboard_actors::graph::{Builder, ExecutorChoice, Platform};
use callboard_actors::model::access::{TokenOp, TokenRecord};
use callboard_actors::model::{JobId, JobRecord, JobSpec, Tenant};
use callboard_actors::protocol::SubmitError;
use callboard_actors::store::memory::MemoryStore;
use callboard_actors::store::{
    FinishedQuery, FinishedRow, JobStore, ListQuery, LiveRow, OpResult, StoreFuture, StoreIdentity, StoreOp,
    StoreTotals, TokenStore,
};
use callboard_actors::testing::{idle_executor, scripted_executor};

async fn platform() -> Platform {
    Builder::new(ExecutorChoice::Custom(idle_executor(1))).start().await.expect("nothing is in the way")
}

/// Who died, within a patience; and nothing is said to be well afterwards.
async fn mourned(mut platform: Platform) -> &'static str {
    let died = tokio::time::timeout(Duration::from_secs(20), platform.died()).await;
    assert!(!platform.handle().health().await.alive);
    died.expect("the death is noticed")
}

#[actix::test]
async fn a_runner_whose_executor_panics() {
    let make = scripted_executor(1, |_| panic!("a test wants the runner to die"));
    let builder = Builder::new(ExecutorChoice::Custom(make));
    let platform = builder.start().await.expect("nothing is in the way");
    platform.handle().submit_one(JobSpec::shell("true")).await.expect("it is accepted");
    assert_eq!(mourned(platform).await, "runner");
}

/// A store that panics when it is given a submit.
struct Treacherous(MemoryStore);

impl TokenStore for Treacherous {
    fn tokens(&self) -> StoreFuture<Vec<TokenRecord>> {
        self.0.tokens()
    }
    fn change_tokens(&self, ops: Vec<TokenOp>) -> StoreFuture<()> {
        self.0.change_tokens(ops)
    }
}

impl JobStore for Treacherous {
    fn identity(&self) -> StoreIdentity {
        self.0.identity()
    }
    fn commit(&self, batch: Vec<StoreOp>) -> StoreFuture<Vec<OpResult>> {
        let treason = batch.iter().any(|op| matches!(op, StoreOp::Submit(_)));
        assert!(!treason, "a test wants the coordinator to die");
        self.0.commit(batch)
    }
    fn load_live(&self, after: Option<JobId>, limit: usize) -> StoreFuture<Vec<LiveRow>> {
        self.0.load_live(after, limit)
    }
    fn get(&self, id: JobId) -> StoreFuture<Option<JobRecord>> {
        self.0.get(id)
    }
    fn tenant_of(&self, id: JobId) -> StoreFuture<Option<Tenant>> {
        self.0.tenant_of(id)
    }
    fn find(&self, prefix: String, tenant: Option<Tenant>, limit: usize) -> StoreFuture<Vec<JobId>> {
        self.0.find(prefix, tenant, limit)
    }
    fn list(&self, query: ListQuery) -> StoreFuture<Vec<JobRecord>> {
        self.0.list(query)
    }
    fn finished(&self, query: FinishedQuery) -> StoreFuture<Vec<FinishedRow>> {
        self.0.finished(query)
    }
    fn totals(&self) -> StoreFuture<StoreTotals> {
        self.0.totals()
    }
    fn close(&self) -> StoreFuture<()> {
        self.0.close()
    }
}

#[actix::test]
async fn a_coordinator_whose_store_panics_and_its_client_is_answered() {
    let builder = Builder::new(ExecutorChoice::Custom(idle_executor(1)));
    let builder = Builder { store: Arc::new(Treacherous(MemoryStore::new())), ..builder };
    let platform = builder.start().await.expect("nothing is in the way");
    let submitted = platform.handle().submit_one(JobSpec::shell("true")).await;
    assert_eq!(submitted.err(), Some(SubmitError::Gone));
    assert_eq!(mourned(platform).await, "coordinator");
}

#[actix::test]
async fn a_scheduler_or_a_listener_that_panics() {
    let one = platform().await;
    one.mortals().events.do_send(Die);
    assert_eq!(mourned(one).await, "events");
    let one = platform().await;
    one.mortals().scheduler.do_send(Die);
    assert_eq!(mourned(one).await, "scheduler");
    let one = platform().await;
    one.mortals().metrics.do_send(Die);
    assert_eq!(mourned(one).await, "metrics");
}

#[actix::test]
async fn the_thread_of_all_actors_ends() {
    let make = scripted_executor(1, |_| {
        actix::Arbiter::current().stop();
        None
    });
    let builder = Builder::new(ExecutorChoice::Custom(make));
    let platform = builder.start().await.expect("nothing is in the way");
    let handle = platform.handle().clone();
    // The answer may still come, or not.
    let _ = handle.submit_one(JobSpec::shell("true")).await;
    let died = mourned(platform).await;
    assert!(["coordinator", "scheduler", "runner", "metrics", "arbiter"].contains(&died), "{died}");
    assert_eq!(handle.submit_one(JobSpec::shell("true")).await.err(), Some(SubmitError::Gone));
}

#[actix::test]
async fn a_platform_that_was_stopped_mourns_nobody() {
    let mut platform = platform().await;
    let handle = platform.handle().clone();
    let early = tokio::time::timeout(Duration::from_millis(50), platform.died()).await;
    assert!(early.is_err(), "{early:?} died");
    platform.stop(0).await;
    assert!(!handle.health().await.alive);
}
