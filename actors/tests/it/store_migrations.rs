//! Databases of earlier versions: what is in them is there after they were brought up to date.

use std::path::Path;
use std::sync::Arc;

use callboard_actors::model::meter::Meter;
use callboard_actors::model::{
    Eligibility, Incarnation, Isolation, JobId, JobSpec, Mount, Needs, NodeId, ResourceLimits,
};
use callboard_actors::store::conformance::load_all;
use callboard_actors::store::sqlite::{SqliteOptions, SqliteStore};
use callboard_actors::store::{JobStore, OpResult, StoreOp};

/// A database as version 1 made it, with these jobs waiting and one node.
fn version_1(folder: &Path, jobs: &[(JobId, &JobSpec)], node: NodeId) {
    let database = rusqlite::Connection::open(folder.join("callboard.db")).expect("a database");
    database.execute_batch(include_str!("../../src/store/sqlite/schema/v1.sql")).expect("tables");
    for (id, spec) in jobs {
        let spec = serde_json::to_string(spec).expect("a spec");
        let job = "INSERT INTO job (id, created_ms, spec) VALUES (?1, 5, ?2)";
        database.execute(job, (id.as_bytes(), spec)).expect("a job");
        let hot = "INSERT INTO job_hot (id, created_ms, state, epoch, lost, started, spec_bytes) \
                   VALUES (?1, 5, 0, 0, 0, 0, 9)";
        database.execute(hot, [id.as_bytes()]).expect("a live row");
    }
    let known = "INSERT INTO node (id, incarnation) VALUES (?1, 4)";
    database.execute(known, [node.as_bytes()]).expect("a node");
    database.pragma_update(None, "application_id", 0x4341_4c4c).expect("a pragma");
    database.pragma_update(None, "user_version", 1).expect("a pragma");
}

#[tokio::test]
async fn jobs_and_nodes_of_version_1_are_there_with_what_the_jobs_need() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plain = JobSpec::shell("true");
    let demanding = JobSpec {
        isolation: Isolation::Sandbox,
        limits: ResourceLimits { memory_bytes: Some(1 << 30), ..ResourceLimits::default() },
        mounts: vec![Mount { path: "/data".into(), read_only: true }],
        artifacts: vec!["out".into()],
        ..JobSpec::shell("true")
    };
    let limits = ResourceLimits { processes: Some(9), ..ResourceLimits::default() };
    let limited = JobSpec { limits, ..JobSpec::shell("true") };
    let id = |n: u8| JobId::from_bytes([n; 16]);
    let jobs = [(id(1), &plain), (id(2), &demanding), (id(3), &limited)];
    let node = NodeId::from_bytes([4; 16]);
    version_1(folder.path(), &jobs, node);
    let store = SqliteStore::open(folder.path(), SqliteOptions::default(), Arc::new(Meter::default()));
    let store: Arc<dyn JobStore> = Arc::new(store.expect("it is brought up to date"));
    let loaded: Vec<(JobId, Needs)> =
        load_all(&store, 10).await.into_iter().map(|row| (row.id, row.needs)).collect();
    assert_eq!(loaded, jobs.map(|(id, spec)| (id, Needs::of(spec))));
    let registered = store.commit(vec![StoreOp::RegisterNode { node }]).await.expect("a commit");
    let (incarnation, eligibility) = (Incarnation(5), Eligibility::Eligible);
    assert_eq!(registered, [OpResult::Registered { incarnation, eligibility }]);
}
