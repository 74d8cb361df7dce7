//! The JSON shapes of `/v1/runners`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::whole::whole_or_null;

/// Who keeps a runner from work, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CordonBody {
    /// `operator`, `breaker`, or the name or id of a token.
    pub by: String,
    /// Why; empty when nobody said.
    pub why: String,
    /// RFC 3339, UTC.
    pub since: String,
    /// When what it still runs is ended and waits again, RFC 3339, UTC; null when that goes on for as long as it likes.
    pub deadline: Option<String>,
}

/// A runner: a node that runs jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunnerBody {
    /// Its id, the same in every life of it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How it came: `local`, `dialled`, `joined` or `original`.
    pub kind: String,
    /// `ready`, `suspect`, `unreachable`, `lost`, `gone`: it stopped well and holds nothing; in the answer to
    /// `resume` also `absent`: it was removed, and may register again.
    pub state: String,
    /// `eligible`, `cordoned` or `draining`.
    pub eligibility: String,
    /// Who keeps it from work; null while it is eligible.
    pub cordon: Option<CordonBody>,
    /// Jobs that it can run at once; 0 while it drains or is lost.
    pub slots: u32,
    /// Jobs that it has.
    pub slots_used: u32,
    /// What jobs may require of it.
    pub labels: BTreeMap<String, String>,
    /// What a job has there that is confined as well as can be: `none`, `lite`, `partial` or `full`.
    pub tier: String,
    /// How long ago it was last heard, in milliseconds.
    pub last_heard_ms_ago: u64,
    /// Version of its callboard; empty when it did not say.
    pub version: String,
    /// Where it is, when that is known.
    pub address: Option<String>,
    /// The number of its life: it grows each time it registers.
    pub incarnation: u64,
}

/// Answer of `GET /v1/runners`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RunnerListBody {
    /// The runners, by their names.
    pub items: Vec<RunnerBody>,
    /// Whether no job is started on any of them.
    pub paused: bool,
}

/// Body of `POST /v1/runners/{id}/cordon`; may be absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CordonWanted {
    /// Why, at most 500 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Body of `POST /v1/runners/{id}/drain`; may be absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainWanted {
    /// Why, at most 500 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How long what it runs may go on, in milliseconds: then it is ended and waits again. Without it, it goes on for as
    /// long as it likes.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole_or_null")]
    pub deadline_ms: Option<u64>,
}
