//! The rules of the conversation, one by one: what each half must do in the situations that are rare enough for the
//! simulator to meet them only now and then.

mod coordinator;
mod node;
mod orders;

use std::sync::Arc;

use callboard_actors::link::{
    Assignment, CancelOrder, Command, CommandRefusal, CoordinatorLink, DrainOrder, Draining, Held, HeldPhase,
    Inventory, JobFact, LinkEffect, NodeEffect, NodeLink, PROTO, Report, ReportRefusal, ReportReply,
    StartedNote, Verdict,
};
use callboard_actors::model::{
    AttemptEnd, AttemptId, AttemptResult, Captured, ClusterId, Epoch, Exit, Incarnation, IsolationReport,
    JobId, JobSpec, NodeId, Term, Usage,
};

const LIFE: Incarnation = Incarnation(1);

fn cluster() -> ClusterId {
    ClusterId::from_bytes([1; 16])
}

fn node_id() -> NodeId {
    NodeId::from_bytes([2; 16])
}

fn attempt(job: u8, epoch: u32) -> AttemptId {
    AttemptId::new(JobId::from_bytes([job; 16]), Epoch(epoch))
}

fn assignment(attempt: AttemptId) -> Assignment {
    Assignment { attempt, spec: Arc::new(JobSpec::shell("true")), started_before: 0 }
}

fn result(attempt: AttemptId) -> AttemptResult {
    AttemptResult {
        attempt,
        end: AttemptEnd::Exited(Exit::Code(0)),
        usage: Usage::default(),
        stdout: Captured::default(),
        stderr: Captured::default(),
        started_ms_ago: Some(0),
        isolation: IsolationReport::default(),
        artifacts: Default::default(),
    }
}

fn node(slots: u32) -> NodeLink {
    NodeLink::new(cluster(), node_id(), LIFE, Term(1), slots)
}
