//! Operating on nodes: to keep one from work, to empty it, to let it work again, to forget it.

use actix::Message;

use super::errors::LookupError;
use crate::model::{Eligibility, NodeId};

/// What is to become of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunnerChange {
    /// It is given no more work; what it runs goes on.
    Cordon {
        /// Why, for people; may be empty.
        why: String,
    },
    /// It is given no more work; what it still runs after the deadline is ended and waits again.
    Drain {
        /// Why, for people; may be empty.
        why: String,
        /// How long what it runs may go on, in milliseconds; for as long as it takes when none is given.
        deadline_ms: Option<u64>,
    },
    /// It is given work again. One that was removed, and is named by its id, may register again.
    Resume,
    /// It is forgotten, but for the number of its lives and that it was removed: it may not register until it is resumed.
    Remove,
}

/// Operator → Coordinator. Answered, once that is durable and holds, with how the node is eligible from then on.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Eligibility, ChangeRunnerError>")]
pub struct ChangeRunner {
    /// Which node.
    pub node: NodeId,
    /// What is to become of it.
    pub change: RunnerChange,
    /// Who wants it: `operator`, or the name of a token.
    pub by: String,
}

/// Why a node was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRunnerError {
    /// There is no such node.
    #[error("no such runner: `callboard nodes` lists those that there are")]
    Unknown,
    /// It still holds jobs, and it may be alive.
    #[error("the runner still holds {attempts} jobs: drain it first, or wait until it is lost")]
    Busy {
        /// How many.
        attempts: usize,
    },
    /// It is part of the coordinator's own process.
    #[error("this runner is part of the coordinator itself: cordon it instead")]
    Local,
    /// The reason cannot be kept.
    #[error(
        "a reason has at most {} bytes and no control characters: shorten it",
        crate::model::eligibility::MAX_WHY_BYTES
    )]
    Why,
    /// Too much is under way, the store did not take it, or the platform is gone.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}
