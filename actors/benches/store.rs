//! The stores: the life of a job in three commits, alone and with a hundred callers whose commits the store may group.
//! SQLite works in a folder of `TMPDIR`: its figures are that disk's as much as its own.

use std::sync::Arc;

use callboard_actors::clock;
use callboard_actors::model::meter::Meter;
use callboard_actors::model::{EndReason, JobId};
use callboard_actors::store::conformance::{finish_op, lease_op, new_job};
use callboard_actors::store::memory::MemoryStore;
use callboard_actors::store::sqlite::{SqliteOptions, SqliteStore};
use callboard_actors::store::{JobStore, OpResult, StoreOp};
use criterion::{BenchmarkId, Criterion, Throughput};
use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};

/// How many callers commit at once.
const CALLERS: [u64; 2] = [1, 100];

/// Each caller's job is submitted, then leased and finished, then forgotten: the store is as it was.
async fn lives(store: &dyn JobStore, callers: u64) {
    let jobs: Vec<_> = (0..callers).map(|_| new_job(None)).collect();
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    let now_ms = clock::now_ms();
    let run = |id| vec![lease_op(id, 0), finish_op(id, 1, EndReason::Exited, now_ms)];
    commit(store, jobs.into_iter().map(|job| vec![StoreOp::Submit(job)])).await;
    commit(store, ids.iter().map(|id| run(*id))).await;
    commit(store, ids.iter().map(|id| vec![StoreOp::Delete { job: *id }])).await;
}

/// Gives all batches at once and waits until each is durable.
async fn commit(store: &dyn JobStore, batches: impl Iterator<Item = Vec<StoreOp>>) {
    let given: Vec<_> = batches.map(|batch| store.commit(batch)).collect();
    for results in join_all(given).await {
        let results = results.expect("the commit succeeds");
        let fine = |result: &OpResult| matches!(result, OpResult::Done | OpResult::Leased(_));
        assert!(results.iter().all(fine), "{results:?}");
    }
}

fn measure_one(criterion: &mut Criterion, runtime: &Runtime, name: &str, store: &dyn JobStore) {
    let mut group = criterion.benchmark_group(format!("store/{name}"));
    for callers in CALLERS {
        group.throughput(Throughput::Elements(callers));
        let id = BenchmarkId::new("submit, run, forget", callers);
        group.bench_with_input(id, &callers, |bencher, callers| {
            bencher.iter(|| runtime.block_on(lives(store, *callers)));
        });
    }
    group.finish();
    runtime.block_on(store.close()).expect("the store closes");
}

/// Measures it.
pub fn measure(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    measure_one(criterion, &runtime, "memory", &MemoryStore::new());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sqlite = SqliteStore::open(folder.path(), SqliteOptions::default(), Arc::new(Meter::default()));
    measure_one(criterion, &runtime, "sqlite", &sqlite.expect("the store opens"));
}
