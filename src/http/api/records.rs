//! The JSON shapes of what is told of many jobs: counts, events, and what was forgotten.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::whole::whole_or_null;

/// Body of `POST /v1/jobs/prune`. `{}` means every finished job.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PruneBody {
    /// Only jobs that ended before this time (RFC 3339); before now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_before: Option<String>,
    /// Only jobs that ended at least so many milliseconds ago; not together with `finished_before`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole_or_null")]
    pub older_than_ms: Option<u64>,
    /// Only these statuses: `completed`, `failed`, `cancelled`; all three when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Vec<String>>,
    /// Only count what would be forgotten.
    #[serde(default)]
    pub dry_run: bool,
}

/// Answer of `POST /v1/jobs/prune`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PruneAnswer {
    /// Jobs that were forgotten, or would be.
    pub jobs: u64,
    /// What they occupied, as estimated: specs, records and kept output.
    pub bytes: u64,
    /// Whether there are more of them: then ask again, with this `finished_before`.
    pub more: bool,
    /// Jobs that ended before this time were meant.
    pub finished_before: String,
    /// Whether it was only counted.
    pub dry_run: bool,
}

/// Answer of `GET /v1/stats`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct StatsBody {
    /// When it was asked, RFC 3339.
    pub at: String,
    /// Live jobs, and the finished ones that are kept, by status.
    pub jobs: StatusCounts,
    /// What happened in the last 1, 5 and 15 minutes.
    pub windows: Vec<WindowBody>,
    /// From acceptance to the start on a node, over the last 15 minutes, in milliseconds.
    pub wait_ms: SpreadBody,
    /// From a process's start to its end, over the last 15 minutes, in milliseconds.
    pub run_ms: SpreadBody,
    /// Usable slots of all nodes.
    pub slots: u64,
    /// Slots taken.
    pub slots_used: u64,
    /// Whether the queue is paused.
    pub paused: bool,
    /// When the oldest waiting job was accepted, RFC 3339; null when none waits.
    pub oldest_waiting_at: Option<String>,
    /// Bytes of the database on disk, its log included; 0 of a store in memory.
    pub store_bytes: u64,
    /// What finished jobs occupy, as estimated: specs, records and kept output.
    pub retained_bytes: u64,
    /// The number of the last event of `/v1/events`, as a cursor.
    pub last_event: String,
}

/// Jobs by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusCounts {
    /// Jobs that wait.
    pub pending: u64,
    /// Jobs that run.
    pub running: u64,
    /// Finished jobs that are kept and ended with exit code 0.
    pub completed: u64,
    /// Finished jobs that are kept and ended otherwise.
    pub failed: u64,
    /// Finished jobs that are kept and were cancelled.
    pub cancelled: u64,
}

/// What happened in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WindowBody {
    /// Its length in minutes.
    pub minutes: u32,
    /// Over how many seconds was really counted: less after a start.
    pub counted_seconds: f64,
    /// Jobs accepted.
    pub accepted: u64,
    /// Jobs that ended with exit code 0.
    pub completed: u64,
    /// Jobs that ended otherwise.
    pub failed: u64,
    /// Jobs that were cancelled.
    pub cancelled: u64,
    /// Jobs that ended, a second.
    pub ended_per_second: f64,
}

/// How numbers are spread; all 0 when there are none. Quantiles are within a sixteenth, `max` is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpreadBody {
    /// How many there were.
    pub count: u64,
    /// Half of them were at most this.
    pub p50: f64,
    /// 95 of 100 were at most this.
    pub p95: f64,
    /// 99 of 100 were at most this.
    pub p99: f64,
    /// The largest one.
    pub max: f64,
}

/// One line of `GET /v1/events`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventBody {
    /// Give it back as `since` to go on after this line.
    pub id: String,
    /// When it was published, RFC 3339.
    pub at: String,
    /// `job`, `runner` or `feed`.
    pub topic: String,
    /// Of a job: `accepted`, `leased`, `started`, `requeued`, `ended`, `deleted`. Of a runner: `changed`. Of
    /// the feed: `gap` (something is missing here) or `heartbeat`.
    pub event: String,
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The job's status from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Why the job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long the job waited, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<u64>,
    /// How long it ran, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_ms: Option<u64>,
    /// The runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// How the runner stands from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Its usable slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Of a gap: `behind` (the reader was too slow) or `restart` (the server was started anew).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Of a gap: how many events are missing, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<u64>,
}
