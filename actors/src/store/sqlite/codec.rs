//! Values to columns and back. Specs and outcomes are JSON, so that any SQLite shell can read them; bytes of input and
//! output are columns of their own. It knows no statement.

use std::borrow::Cow;
use std::fmt::Display;

use rusqlite::Row;
use serde::{Deserialize, Serialize};

use crate::model::state::Tally;
use crate::model::{
    Artifacts, AttemptRecord, CancelWish, Captured, Eligibility, EndReason, Epoch, Exit, Incarnation,
    InputMode, IsolationReport, JobSpec, JobState, Lease, Needs, NodeId, Outcome, OutputSummary, Status,
    Usage,
};
use crate::store::StoreError;

pub(super) const QUEUED: i64 = 0;
pub(super) const LEASED: i64 = 1;
const RUNNING: i64 = 2;
const UNKNOWN: i64 = 3;

/// The number of a terminal status in its column.
pub(super) fn status_number(status: Status) -> i64 {
    match status {
        Status::Completed => 0,
        Status::Failed => 1,
        Status::Cancelled => 2,
        Status::Pending | Status::Running => -1,
    }
}

/// A spec as its two columns: JSON without the inline input, and the input's bytes.
pub(super) fn encode_spec(spec: &JobSpec) -> Result<(String, Option<&[u8]>), StoreError> {
    let InputMode::Inline(input) = &spec.input else {
        return Ok((to_json(spec)?, None));
    };
    let without = JobSpec {
        input: InputMode::Null,
        command: spec.command.clone(),
        name: spec.name.clone(),
        env: spec.env.clone(),
        secret_env: spec.secret_env.clone(),
        cwd: spec.cwd.clone(),
        mounts: spec.mounts.clone(),
        files: spec.files.clone(),
        artifacts: spec.artifacts.clone(),
        demands: spec.demands.clone(),
        requires: spec.requires.clone(),
        ..*spec
    };
    Ok((to_json(&without)?, Some(input)))
}

/// The spec in columns `at` and `at + 1`.
pub(super) fn decode_spec(row: &Row<'_>, at: usize) -> Result<JobSpec, StoreError> {
    let mut spec: JobSpec = from_json(text(row, at)?)?;
    if let Some(input) = row.get(at + 1)? {
        spec.input = InputMode::Inline(input);
    }
    Ok(spec)
}

/// The needs of a job as their column: nothing for a job that asks for nothing.
pub(super) fn encode_needs(spec: &JobSpec) -> Result<Option<String>, StoreError> {
    let needs = Needs::of(spec);
    if needs.is_default() { Ok(None) } else { to_json(&needs).map(Some) }
}

/// The needs in column `at`.
pub(super) fn decode_needs(row: &Row<'_>, at: usize) -> Result<Needs, StoreError> {
    match row.get_ref(at)?.as_str_or_null().map_err(rusqlite::Error::from)? {
        Some(json) => from_json::<Needs>(json).map(Needs::of_any_limit),
        None => Ok(Needs::default()),
    }
}

/// Whether a node is given work, as its column: nothing when it is.
pub(super) fn encode_eligibility(eligibility: &Eligibility) -> Result<Option<String>, StoreError> {
    if eligibility.is_eligible() { Ok(None) } else { to_json(eligibility).map(Some) }
}

/// What is in a column of that.
pub(super) fn decode_eligibility(json: Option<&str>) -> Result<Eligibility, StoreError> {
    json.map_or(Ok(Eligibility::Eligible), from_json)
}

/// The columns of a live state, in the order `state epoch lost started node incarnation started_ms cancel`.
pub(super) struct HotColumns<'a> {
    pub(super) state: i64,
    pub(super) tally: Tally,
    pub(super) node: Option<&'a [u8; 16]>,
    pub(super) incarnation: Option<i64>,
    pub(super) started_ms: Option<i64>,
    pub(super) cancel: Option<String>,
}

pub(super) fn encode_state(state: &JobState) -> Result<HotColumns<'_>, StoreError> {
    let (number, lease) = match state {
        JobState::Queued(tally) => {
            return Ok(HotColumns {
                state: QUEUED,
                tally: *tally,
                node: None,
                incarnation: None,
                started_ms: None,
                cancel: None,
            });
        }
        JobState::Leased(lease) => (LEASED, lease),
        JobState::Running(lease) => (RUNNING, lease),
        JobState::Unknown(lease) => (UNKNOWN, lease),
        JobState::Ended(_) => return Err(StoreError::failed("an ended job has no live row")),
    };
    Ok(HotColumns {
        state: number,
        tally: lease.tally,
        node: Some(lease.node.as_bytes()),
        incarnation: Some(signed(lease.incarnation.0)),
        started_ms: lease.started_at_ms,
        cancel: lease.cancel.as_ref().map(to_json).transpose()?,
    })
}

/// The live state in eight columns from `at`.
pub(super) fn decode_state(row: &Row<'_>, at: usize) -> Result<JobState, StoreError> {
    let state: i64 = row.get(at)?;
    let tally = Tally { epoch: Epoch(row.get(at + 1)?), lost: row.get(at + 2)?, started: row.get(at + 3)? };
    if state == QUEUED {
        return Ok(JobState::Queued(tally));
    }
    let cancel = match row.get_ref(at + 7)?.as_str_or_null().map_err(corrupt)? {
        Some(wish) => Some(from_json::<CancelWish>(wish)?),
        None => None,
    };
    let lease = Box::new(Lease {
        tally,
        node: NodeId::from_bytes(row.get(at + 4)?),
        incarnation: Incarnation(unsigned(row.get(at + 5)?)),
        started_at_ms: row.get(at + 6)?,
        cancel,
    });
    match state {
        LEASED => Ok(JobState::Leased(lease)),
        RUNNING => Ok(JobState::Running(lease)),
        UNKNOWN => Ok(JobState::Unknown(lease)),
        other => Err(corrupt(format!("a job has the unknown state {other}"))),
    }
}

/// What of an outcome has no column of its own.
#[derive(Serialize, Deserialize)]
struct OutcomeBody<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<NodeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<Exit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spawn_error_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at_ms: Option<i64>,
    usage: Usage,
    stdout: OutputSummary,
    stderr: OutputSummary,
    #[serde(skip_serializing_if = "Option::is_none")]
    isolation: Option<Cow<'a, IsolationReport>>,
    #[serde(default, skip_serializing_if = "has_none")]
    artifacts: Cow<'a, Artifacts>,
}

fn has_none(artifacts: &Artifacts) -> bool {
    artifacts.is_empty()
}

pub(super) fn encode_outcome(outcome: &Outcome) -> Result<String, StoreError> {
    to_json(&OutcomeBody {
        node: outcome.node,
        exit: outcome.exit,
        message: outcome.message.as_deref().map(Cow::Borrowed),
        spawn_error_code: outcome.spawn_error_code,
        started_at_ms: outcome.started_at_ms,
        usage: outcome.usage,
        stdout: outcome.stdout.summary,
        stderr: outcome.stderr.summary,
        isolation: outcome.isolation.as_ref().map(Cow::Borrowed),
        artifacts: Cow::Borrowed(&outcome.artifacts),
    })
}

/// The outcome in six columns from `at`: `epoch reason finished_ms outcome stdout stderr`.
pub(super) fn decode_outcome(row: &Row<'_>, at: usize) -> Result<Outcome, StoreError> {
    let word = text(row, at + 1)?;
    let reason = EndReason::parse(word)
        .ok_or_else(|| corrupt(format!("a job ended for the unknown reason `{word}`")))?;
    let body: OutcomeBody<'_> = from_json(text(row, at + 3)?)?;
    let captured =
        |summary, at| -> Result<Captured, StoreError> { Ok(Captured { summary, inline: row.get(at)? }) };
    Ok(Outcome {
        epoch: Epoch(row.get(at)?),
        node: body.node,
        reason,
        exit: body.exit,
        message: body.message.map(Cow::into_owned),
        spawn_error_code: body.spawn_error_code,
        started_at_ms: body.started_at_ms,
        finished_at_ms: row.get(at + 2)?,
        usage: body.usage,
        stdout: captured(body.stdout, at + 4)?,
        stderr: captured(body.stderr, at + 5)?,
        isolation: body.isolation.map(Cow::into_owned),
        artifacts: body.artifacts.into_owned(),
    })
}

/// The attempt in five columns from 0: `epoch node fate why at_ms`.
pub(super) fn decode_attempt(row: &Row<'_>) -> Result<AttemptRecord, StoreError> {
    Ok(AttemptRecord {
        epoch: Epoch(row.get(0)?),
        node: NodeId::from_bytes(row.get(1)?),
        fate: row.get(2)?,
        why: row.get(3)?,
        at_ms: row.get(4)?,
    })
}

/// SQLite's integers are signed; the bits are kept.
pub(super) fn signed(number: u64) -> i64 {
    number as i64
}

/// The inverse of [`signed`].
pub(super) fn unsigned(number: i64) -> u64 {
    number as u64
}

fn text<'row>(row: &'row Row<'_>, at: usize) -> Result<&'row str, StoreError> {
    row.get_ref(at)?.as_str().map_err(corrupt)
}

fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::failed(error.to_string()))
}

fn from_json<'text, T: Deserialize<'text>>(json: &'text str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(corrupt)
}

fn corrupt(error: impl Display) -> StoreError {
    StoreError::Corrupt { detail: format!("a record cannot be read: {error}") }
}
