//! The JSON shapes of the original's routes, which its clients must find unchanged.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::RoomsBody;

/// Body of the original's `POST /jobs`, and of its runner's `POST /execute`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompatSubmit {
    /// Shell line.
    pub command: String,
    /// Time limit in whole seconds, 1 to 300; 30 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole_seconds")]
    pub timeout: Option<i64>,
}

/// The original took `30`, `30.0` and `"30"`, and so must we.
fn whole_seconds<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<i64>, D::Error> {
    use serde_json::Value;
    let whole = |number: f64| (number.fract() == 0.0).then_some(number as i64);
    let seconds = match Value::deserialize(reader)? {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let refuse = || D::Error::custom("timeout is a whole number of seconds");
    seconds.map(Some).ok_or_else(refuse)
}

/// Answer of the original's `POST /jobs`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CompatAccepted {
    /// The job's UUID.
    pub job_id: String,
    /// Always `pending`.
    pub status: String,
    /// RFC 3339, UTC.
    pub created_at: String,
}

/// Answer of the original's `GET /jobs/{id}`: only its four status words; a cancelled job is `failed` with `reason`
/// `cancelled`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CompatJob {
    /// The job's UUID.
    pub job_id: String,
    /// `pending`, `running`, `completed` or `failed`.
    pub status: String,
    /// Exit code; -1 after a time-out or when the job never ran, -N after signal N; null until it is over.
    pub exit_code: Option<i32>,
    /// Kept standard output as text; null until the job is over.
    pub stdout: Option<String>,
    /// Kept standard error as text; null until the job is over.
    pub stderr: Option<String>,
    /// Wall time of the process in milliseconds; null until it is over.
    pub runtime_ms: Option<u64>,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC; null until the job is over.
    pub completed_at: Option<String>,
    /// Why it ended, or why it waits (more than the original had).
    pub reason: Option<String>,
}

/// Answer of the original runner's `POST /execute`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExecuteAnswer {
    /// Exit code; -1 after a time-out or when nothing could be run, -N after signal N.
    pub exit_code: i32,
    /// Kept standard output as text.
    pub stdout: String,
    /// Kept standard error as text, below what there is to say about a time-out.
    pub stderr: String,
    /// Wall time of the process in milliseconds.
    pub runtime_ms: u64,
    /// Why it ended (more than the original had).
    pub reason: String,
}

/// Answer of `GET /health`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HealthBody {
    /// Always `healthy`.
    pub status: String,
    /// `coordinator`, or `runner`.
    pub service: String,
    /// Weaknesses that the operator should know (more than the original had).
    pub warnings: Vec<String>,
    /// What rooms of its own node are worth; absent for those who may not know, and until it was found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<RoomsBody>,
}
