//! What happened, told to whoever listens: Metrics, event streams, embedding applications. Past tense, no answer.

use std::sync::Arc;

use actix::Message;

use crate::model::{EndReason, JobId, NodeId, Status, Usage};

/// One change of a job.
#[derive(Clone, Debug)]
pub struct JobChange {
    /// Which job.
    pub id: JobId,
    /// What happened.
    pub what: JobChangeKind,
}

/// What happened to a job.
#[derive(Clone, Debug)]
pub enum JobChangeKind {
    /// It was accepted.
    Accepted,
    /// It was found in the store at start.
    Restored {
        /// Where it stood.
        status: Status,
    },
    /// It was given to a node.
    Leased {
        /// How long it waited, in milliseconds.
        waited_ms: u64,
    },
    /// The node has acted on its assignment.
    Dispatched {
        /// From the commit of the lease to the answer, in microseconds.
        took_us: u64,
    },
    /// Its process runs.
    Started,
    /// It waits again.
    Requeued {
        /// Whether it was known to run before.
        was_running: bool,
    },
    /// It is over.
    Ended {
        /// Why.
        reason: EndReason,
        /// Where it stood before.
        from: Status,
        /// From the start of the process to its end, in milliseconds; none when it never ran.
        runtime_ms: Option<u64>,
        /// What it used.
        usage: Usage,
        /// Bytes it wrote to the two streams, and whether some were dropped, output first.
        output: [(u64, bool); 2],
    },
    /// It was forgotten.
    Deleted,
}

/// Coordinator → subscribers. Durable changes, in order, one batch a commit. At most one is under way per commit, so
/// it is sent without waiting.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct JobChanged {
    /// The changes.
    pub changes: Arc<Vec<JobChange>>,
}

/// Scheduler → subscribers. A node came, changed or went. Sent once per change.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct RunnerChanged {
    /// Which node.
    pub node: NodeId,
    /// `ready`, `suspect`, `unreachable`, `lost` or `removed`.
    pub state: &'static str,
    /// Slots that can be used.
    pub usable_slots: u32,
    /// Slots taken.
    pub taken: u32,
}
