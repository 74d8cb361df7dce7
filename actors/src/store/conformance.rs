//! What every store must do, as a suite that runs against any of them. A test gives it a [`Stage`]; it refuses to know
//! which store it holds.

mod durability;
mod finding;
mod forgetting;
mod lifecycle;
mod tokens;

use std::sync::Arc;

use crate::clock;
use crate::model::state::Tally;
use crate::model::{
    AttemptRecord, Captured, EndReason, Epoch, Exit, Incarnation, JobId, JobRecord, JobSpec, JobState, Lease,
    NodeId, Outcome, OutputSummary, Tenant,
};

use super::{JobStore, NewJob, OpResult, Pruned, StoreOp};

pub use durability::*;
pub use finding::*;
pub use forgetting::*;
pub use lifecycle::*;
pub use tokens::*;

/// Makes stores for the suite.
pub trait Stage {
    /// A new, empty store.
    fn fresh(&self) -> Arc<dyn JobStore>;

    /// Opens again what `fresh` made last, which the suite has closed; none when the store keeps nothing.
    fn reopen(&self) -> Option<Arc<dyn JobStore>>;
}

/// A spec with one shell line and a name.
pub fn spec(name: Option<&str>) -> JobSpec {
    JobSpec {
        name: name.map(String::from),
        env: [("GREETING".to_owned(), "héllo\n".to_owned())].into(),
        cwd: Some("/tmp".into()),
        timeout_ms: Some(30_000),
        ..JobSpec::shell("echo hello")
    }
}

/// A new job of now, without a key.
pub fn new_job(name: Option<&str>) -> NewJob {
    NewJob {
        id: clock::new_job_id(),
        spec: Arc::new(spec(name)),
        created_at_ms: clock::now_ms(),
        tenant: Tenant::DEFAULT,
        retry_of: None,
        idempotency: None,
    }
}

/// A lease of the job by a node of this suite, with the spec wanted.
pub fn lease_op(job: JobId, from: u32) -> StoreOp {
    StoreOp::Lease { job, from: Epoch(from), node: node(), incarnation: Incarnation(7), want_spec: true }
}

/// The end of the job under this epoch.
pub fn finish_op(job: JobId, epoch: u32, reason: EndReason, finished_at_ms: i64) -> StoreOp {
    StoreOp::Finish {
        job,
        epoch: Epoch(epoch),
        outcome: Arc::new(Outcome::without_process(Epoch(epoch), reason, None, finished_at_ms)),
    }
}

fn node() -> NodeId {
    NodeId::from_bytes([9; 16])
}

fn lease(epoch: u32) -> Box<Lease> {
    Box::new(Lease {
        tally: Tally { epoch: Epoch(epoch), lost: 2, started: 1 },
        node: node(),
        incarnation: Incarnation(u64::MAX),
        started_at_ms: Some(1_234),
        cancel: None,
    })
}

fn attempt(epoch: u32, fate: &str) -> AttemptRecord {
    AttemptRecord {
        epoch: Epoch(epoch),
        node: node(),
        fate: fate.into(),
        why: "the node was unplugged".into(),
        at_ms: 55,
    }
}

fn outcome_with_output(epoch: u32, stdout: &[u8], stderr: Option<&[u8]>) -> Outcome {
    let captured = |bytes: Option<&[u8]>| Captured {
        summary: OutputSummary {
            total_bytes: 99,
            head_bytes: bytes.map_or(0, |bytes| bytes.len() as u64),
            tail_bytes: 1,
        },
        inline: bytes.map(Vec::from),
    };
    Outcome {
        exit: Some(Exit::Signal { number: 11, core_dumped: true }),
        started_at_ms: Some(5),
        stdout: captured(Some(stdout)),
        stderr: captured(stderr),
        isolation: Some(Default::default()),
        artifacts: Default::default(),
        ..Outcome::without_process(Epoch(epoch), EndReason::Signal, Some("it \"fell\"".into()), 77)
    }
}

/// Commits, and insists on success.
async fn done(store: &Arc<dyn JobStore>, batch: Vec<StoreOp>) -> Vec<OpResult> {
    store.commit(batch).await.expect("the commit succeeds")
}

/// What an operation that forgets has forgotten.
async fn pruned(store: &Arc<dyn JobStore>, op: StoreOp) -> Pruned {
    match &done(store, vec![op]).await[..] {
        [OpResult::Pruned(pruned)] => pruned.clone(),
        other => panic!("a store answered {other:?}"),
    }
}

/// Submits a new job and gives its id.
async fn submitted(store: &Arc<dyn JobStore>, name: Option<&str>) -> JobId {
    let job = new_job(name);
    let id = job.id;
    assert_eq!(done(store, vec![StoreOp::Submit(job)]).await, [OpResult::Done]);
    id
}

/// Submits, leases and finishes a job.
async fn finished(store: &Arc<dyn JobStore>, name: Option<&str>, reason: EndReason, at_ms: i64) -> JobId {
    let id = submitted(store, name).await;
    let results = done(store, vec![lease_op(id, 0), finish_op(id, 1, reason, at_ms)]).await;
    assert_eq!(results[1], OpResult::Done);
    id
}

async fn record(store: &Arc<dyn JobStore>, id: JobId) -> JobRecord {
    let found = store.get(id).await.expect("the read succeeds");
    found.expect("the job is there")
}

async fn state(store: &Arc<dyn JobStore>, id: JobId) -> JobState {
    record(store, id).await.state
}
