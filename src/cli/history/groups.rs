//! Jobs gathered by what they have in common. As many groups as can be read are kept; the rest is one.

use std::collections::BTreeMap;

use callboard_actors::model::spread::Histogram;
use serde::Serialize;

use super::super::args::GroupBy;
use super::super::render::{Cell, Column};
use crate::http::api::JobBody;

/// Most groups that are kept apart.
const MAX_GROUPS: usize = 1000;
/// The group of all others.
const OTHERS: &str = "(others)";
/// The group of jobs without a name.
const NAMELESS: &str = "(none)";

/// One group, gathered.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    pub group: String,
    pub jobs: u64,
    pub live: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// Of the finished ones; none when none is.
    pub failed_share: Option<f64>,
    pub run_p50_ms: Option<f64>,
    pub run_p95_ms: Option<f64>,
    pub run_max_ms: Option<f64>,
    pub cpu_ms: f64,
    pub peak_memory_bytes: u64,
}

/// What a table of groups has.
pub const COLUMNS: &[Column<Row>] = &[
    Column::new("group", "GROUP", |row: &Row| Cell::Text(row.group.clone())).flexible(),
    Column::new("jobs", "JOBS", |row: &Row| count(row.jobs)).right(),
    Column::new("live", "LIVE", |row: &Row| count(row.live)).right(),
    Column::new("completed", "COMPLETED", |row: &Row| count(row.completed)).right(),
    Column::new("failed", "FAILED", |row: &Row| count(row.failed)).right(),
    Column::new("cancelled", "CANCELLED", |row: &Row| count(row.cancelled)).right(),
    Column::new("failed_percent", "FAILED%", |row: &Row| percent(row.failed_share)).right().people(),
    Column::new("failed_share", "FAILED-SHARE", |row: &Row| number(row.failed_share)).right().machine(),
    Column::new("run_p50_ms", "RUN-P50", |row: &Row| Cell::millis(row.run_p50_ms)).right(),
    Column::new("run_p95_ms", "RUN-P95", |row: &Row| Cell::millis(row.run_p95_ms)).right(),
    Column::new("run_max_ms", "RUN-MAX", |row: &Row| Cell::millis(row.run_max_ms)).right(),
    Column::new("cpu_ms", "CPU", |row: &Row| Cell::Millis(row.cpu_ms)).right(),
    Column::new("peak_memory_bytes", "MEMORY", |row: &Row| Cell::Bytes(row.peak_memory_bytes)).right(),
];

fn count(number: u64) -> Cell {
    Cell::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn number(number: Option<f64>) -> Cell {
    number.map_or(Cell::Nothing, Cell::Number)
}

fn percent(share: Option<f64>) -> Cell {
    number(share.map(|share| share * 100.0))
}

/// A group as it grows. Run times are counted in microseconds.
#[derive(Default)]
struct Group {
    row: Row,
    run_us: Histogram,
}

/// All groups.
pub struct Groups {
    by: GroupBy,
    groups: BTreeMap<String, Group>,
}

impl Groups {
    pub fn new(by: GroupBy) -> Self {
        Self { by, groups: BTreeMap::new() }
    }

    /// Adds a job to its group.
    pub fn add(&mut self, job: &JobBody) {
        let mut key = key(self.by, job);
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&key) {
            key = OTHERS.into();
        }
        let Group { row, run_us } = self.groups.entry(key).or_default();
        row.jobs += 1;
        match job.status.as_str() {
            "completed" => row.completed += 1,
            "failed" => row.failed += 1,
            "cancelled" => row.cancelled += 1,
            _ => row.live += 1,
        }
        if let Some(ms) = job.runtime_ms {
            run_us.observe((ms.max(0.0) * 1000.0) as u64);
        }
        if let Some(used) = &job.usage {
            row.cpu_ms += used.cpu_user_ms + used.cpu_system_ms;
            row.peak_memory_bytes = row.peak_memory_bytes.max(used.peak_memory_bytes);
        }
    }

    /// The rows in the order of their groups.
    pub fn rows(self) -> Vec<Row> {
        self.groups.into_iter().map(|(key, group)| group.told(key)).collect()
    }
}

impl Group {
    fn told(self, key: String) -> Row {
        let run = self.run_us.spread();
        let ms = |us: u64| (run.count > 0).then_some(us as f64 / 1000.0);
        let finished = self.row.jobs - self.row.live;
        Row {
            group: key,
            failed_share: (finished > 0).then(|| self.row.failed as f64 / finished as f64),
            run_p50_ms: ms(run.p50),
            run_p95_ms: ms(run.p95),
            run_max_ms: ms(run.max),
            cpu_ms: (self.row.cpu_ms * 1000.0).round() / 1000.0,
            ..self.row
        }
    }
}

fn key(by: GroupBy, job: &JobBody) -> String {
    // RFC 3339 in UTC: 2026-11-24T16:40:00.000Z.
    let created = |digits: usize| job.created_at.get(..digits).unwrap_or(&job.created_at);
    match by {
        GroupBy::Status => job.status.clone(),
        GroupBy::Name => job.name.clone().unwrap_or_else(|| NAMELESS.into()),
        GroupBy::Hour => format!("{}:00Z", created(13)),
        GroupBy::Day => created(10).to_owned(),
    }
}
