//! The JSON shapes of `/v1` and of the original's routes, shared by the server and by our own client. It knows how a
//! job looks from outside, not how it got there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::object::{object_or_null, objects};
pub use super::secrets::SecretBody;
use super::whole::whole_or_null;

mod batch;
mod files;
mod isolation;
mod mounts;
mod original;
mod records;
mod requires;
mod runners;
mod tokens;
mod usage;

pub use batch::{BatchAnswer, BatchBody, BatchItem};
pub use files::{FileBody, FileContentBody, FileInfoBody, UnkeptBody};
pub use isolation::{DemandsBody, IsolationBody, IsolationReportBody, LayerBody, RoomsBody};
pub use mounts::MountBody;
pub use original::{CompatAccepted, CompatJob, CompatSubmit, ExecuteAnswer, HealthBody};
pub use records::{EventBody, PruneAnswer, PruneBody, SpreadBody, StatsBody, StatusCounts, WindowBody};
pub use requires::RequiresBody;
pub use runners::{CordonBody, CordonWanted, DrainWanted, RunnerBody, RunnerListBody};
pub use tokens::{TokenBody, TokenListBody, TokenMade, TokenWanted};
pub use usage::{EnforcedBody, LimitsBody, UsageBody};

/// A command: a shell line, or a program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "command is a string (a shell line) or an array of strings (a program and its arguments)"
)]
pub enum CommandBody {
    /// Run by `/bin/sh -c`.
    Shell(String),
    /// Executed directly; the first element is looked up in the job's PATH.
    Argv(Vec<String>),
}

/// Where standard input comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StdinBody {
    /// This text, then end of file.
    Text(String),
    /// These bytes (standard base64), then end of file.
    Base64(String),
    /// Whatever `PUT /v1/jobs/{id}/stdin` brings, until it says `end`.
    Stream(bool),
}

/// Body of `POST /v1/jobs`. Unknown fields are refused by name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitBody {
    /// What to run.
    pub command: CommandBody,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Variables added to the clean base environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Secret variables, added like `env`: kept encrypted, never shown again. No name may be in both.
    #[serde(default, skip_serializing_if = "SecretBody::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub secret_env: SecretBody,
    /// Absolute folder to start in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Standard input; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<StdinBody>,
    /// Wall-clock limit of one attempt in milliseconds; the server's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole_or_null")]
    pub timeout_ms: Option<u64>,
    /// Time between TERM and KILL in milliseconds; the server's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole_or_null")]
    pub grace_ms: Option<u64>,
    /// `requeue` or `never`: what happens when the node that runs it is lost. The server's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_lost: Option<String>,
    /// `keep` or `kill`: what its node does with it when it has had no answer from the server for too long. The server's
    /// default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_disconnect: Option<String>,
    /// What it requires of the node that runs it; any will do, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object_or_null")]
    pub requires: Option<RequiresBody>,
    /// How far it is kept apart; a room of its own where its node can make one, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<IsolationBody>,
    /// What it may use at most; the node's defaults when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object_or_null")]
    pub limits: Option<LimitsBody>,
    /// What of the node that runs it is to be in its room.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "objects")]
    pub mounts: Vec<MountBody>,
    /// Small files that lie below `/job`, its home, when it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "objects")]
    pub files: Vec<FileBody>,
    /// Files and folders below `/job` that are kept when it is over, whatever its end: `out/result.csv`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<String>,
}

/// One output stream of a finished or running job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutputBody {
    /// Bytes the job wrote.
    pub total_bytes: u64,
    /// Bytes that can be read back.
    pub kept_bytes: u64,
    /// Whether something in the middle was dropped.
    pub truncated: bool,
    /// The kept bytes, when they are few and UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The kept bytes, when they are few and not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// An attempt that did not become the job's outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptBody {
    /// Its epoch.
    pub epoch: u32,
    /// The node that held it.
    pub node: String,
    /// `lost`, `returned`, `drained` or `stale`.
    pub fate: String,
    /// One line for people.
    pub why: String,
    /// RFC 3339, UTC.
    pub at: String,
}

/// A job as `/v1` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobBody {
    /// UUIDv7.
    pub id: String,
    /// A name for people.
    pub name: Option<String>,
    /// Whose it is.
    #[serde(default)]
    pub tenant: String,
    /// What runs.
    pub command: CommandBody,
    /// `pending`, `running`, `completed`, `failed` or `cancelled`.
    pub status: String,
    /// Why it ended, or why it waits.
    pub reason: Option<String>,
    /// One line for people, when there is more to say.
    pub message: Option<String>,
    /// Exit code; null unless the process exited by itself.
    pub exit_code: Option<i32>,
    /// Name of the signal that killed it, for example `SIGKILL`; null unless one did.
    pub signal: Option<String>,
    /// Whether the kernel wrote a core file.
    pub core_dumped: bool,
    /// What a shell would have exited with when the program could not be executed: 127 when it was not found, 126
    /// otherwise; null for every other end.
    #[serde(default)]
    pub spawn_error_code: Option<i32>,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC; of the last attempt.
    pub started_at: Option<String>,
    /// RFC 3339, UTC.
    pub finished_at: Option<String>,
    /// Wall time of the last attempt in milliseconds.
    pub runtime_ms: Option<f64>,
    /// Wall-clock limit in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Time between TERM and KILL in milliseconds.
    pub grace_ms: u64,
    /// What it requires of the node that runs it; null when any will do.
    #[serde(default)]
    pub requires: Option<RequiresBody>,
    /// How far it asks to be kept apart.
    #[serde(default)]
    pub isolation: DemandsBody,
    /// What it may use at most.
    #[serde(default)]
    pub limits: LimitsBody,
    /// What of its node is in its room.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountBody>,
    /// What lies below `/job` when it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileInfoBody>,
    /// What below `/job` is kept when it is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<String>,
    /// The files that were kept: read them with `GET /v1/jobs/{id}/artifacts?path=…`. Lists of jobs leave them out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts_kept: Vec<FileInfoBody>,
    /// What was declared, or lay in a declared folder, and was not kept. Lists of jobs leave it out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts_unkept: Vec<UnkeptBody>,
    /// Folder it starts in.
    pub cwd: Option<String>,
    /// Variables it was given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Names of the secret variables that it was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_env: Vec<String>,
    /// `requeue` or `never`.
    pub on_lost: String,
    /// `keep` or `kill`.
    #[serde(default)]
    pub on_disconnect: String,
    /// Whether its input is streamed.
    pub stdin_streamed: bool,
    /// The node that has it, or that it ended on: by its name while the server knows that, else by its id.
    #[serde(default)]
    pub runner: Option<String>,
    /// Number of the current or last attempt; 0 before the first.
    pub epoch: u32,
    /// Whether someone wants it cancelled.
    pub cancelling: bool,
    /// Standard output.
    pub stdout: OutputBody,
    /// Standard error.
    pub stderr: OutputBody,
    /// What it used; null until it is over.
    pub usage: Option<UsageBody>,
    /// The isolation it had; null until it has run.
    pub isolation_effective: Option<IsolationReportBody>,
    /// Attempts that came to nothing, oldest first.
    pub attempts: Vec<AttemptBody>,
    /// The job that this one repeats.
    pub retry_of: Option<String>,
}

/// A page of jobs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobListBody {
    /// The jobs, newest first.
    pub items: Vec<JobBody>,
    /// Give it back as `cursor` for the next page.
    pub next_cursor: Option<String>,
    /// Whether there may be a next page.
    pub has_more: bool,
}

/// Body of `POST /v1/jobs/{id}/cancel`; may be absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelBody {
    /// Time between TERM and KILL in milliseconds; the job's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole_or_null")]
    pub grace_ms: Option<u64>,
    /// What to remember about it, at most 200 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Body of a request that takes none: absent or `{}`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

/// Answer of `POST /v1/queue/pause` and `/resume`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct QueueBody {
    /// Whether no job is started.
    pub paused: bool,
}

/// One line of `GET /v1/jobs/{id}/logs` as `application/x-ndjson`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogFrame {
    /// `stdout` or `stderr`; `end` in the last line.
    pub stream: String,
    /// Where the piece starts among the kept bytes.
    pub offset: u64,
    /// The piece, when it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The piece in standard base64, when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Bytes that were dropped here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omitted_bytes: Option<u64>,
    /// In the last line: whether the job may write more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<bool>,
}

/// Answer of `PUT /v1/jobs/{id}/stdin`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct StdinAnswer {
    /// Bytes taken so far, from the beginning of the input.
    pub accepted: u64,
    /// Whether the job may still read.
    pub open: bool,
}

/// Answer of `GET /v1/version`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionBody {
    /// Always `callboard`: port 8000 is often another program's.
    pub service: String,
    /// Version of the program.
    pub version: String,
    /// `coordinator` or `runner`.
    #[serde(default)]
    pub role: String,
    /// Versions of this API; none on a runner, which has no `/v1/jobs`.
    pub api: Vec<String>,
    /// Which machine boot the server lives in: equal ids mean that paths mean the same to client and server.
    pub host_id: String,
    /// The user id that jobs run as.
    pub job_uid: u32,
}

/// An RFC 9457 problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// `/problems/NAME`, below where this API is mounted; there it is explained.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every problem of this type.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What is wrong here, and what to do.
    pub detail: String,
    /// The path that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Also in the logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The fields that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// Where streamed input continues, when it did not continue there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<u64>,
    /// The admission rule that denies the job; absent when none allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleBody>,
    /// The layers of isolation that the job demands and no runner has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// What would help against that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The setting that does not let the job have what it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
}

/// An admission rule of the server's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleBody {
    /// Its place, from 1.
    pub number: usize,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// JSON pointer into the body, for example `#/timeout`; `?name` for a query parameter, `Name` for a header.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}
