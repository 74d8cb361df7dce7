//! The JSON shapes of a batch of submits.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{JobBody, ProblemBody, SubmitBody};
use crate::http::object::objects;

/// Body of `POST /v1/jobs/batch`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchBody {
    /// The jobs, at most 1000.
    #[serde(deserialize_with = "objects")]
    pub jobs: Vec<SubmitBody>,
    /// Whether one invalid job refuses them all (default: no).
    #[serde(default)]
    pub all_or_nothing: bool,
}

/// One line of a batch's answer: a job or a problem.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BatchItem {
    /// The job, when it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobBody>,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ProblemBody>,
    /// Whether the job is the one that an earlier batch with the same Idempotency-Key got.
    #[serde(default)]
    pub replayed: bool,
}

/// Answer of `POST /v1/jobs/batch`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BatchAnswer {
    /// One item per job, in order.
    pub items: Vec<BatchItem>,
}
