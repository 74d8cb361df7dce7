//! Jobs as tables and blocks of text.

use std::collections::BTreeMap;

use callboard_actors::model::time::parse_rfc3339;

use super::render::{Cell, Column};
use super::style::{marked, painted, plain};
use crate::http::api::{CommandBody, EnforcedBody, JobBody, UsageBody};

/// The command as one line.
pub fn command(body: &CommandBody) -> String {
    let line = match body {
        CommandBody::Shell(line) => line.clone(),
        CommandBody::Argv(argv) => argv.join(" "),
    };
    plain(&line)
}

/// What a table of jobs has.
pub const JOBS: &[Column<JobBody>] = &[
    Column::new("id", "ID", |job: &JobBody| Cell::Text(job.id.clone())).id(),
    Column::new("name", "NAME", |job: &JobBody| Cell::text(job.name.as_deref())).flexible(),
    Column::new("status", "STATUS", |job: &JobBody| Cell::Word(job.status.clone())),
    Column::new("created_at", "CREATED", |job: &JobBody| Cell::Time(job.created_at.clone())).right(),
    Column::new("wait_ms", "WAIT", |job: &JobBody| Cell::millis(wait_ms(job))).right().wide(),
    Column::new("runtime_ms", "RUNTIME", |job: &JobBody| Cell::millis(job.runtime_ms)).right(),
    Column::new("exit", "EXIT", |job: &JobBody| Cell::Text(exit(job))).people(),
    Column::new("exit_code", "EXIT-CODE", |job: &JobBody| integer(job.exit_code)).right().machine(),
    Column::new("signal", "SIGNAL", |job: &JobBody| Cell::text(job.signal.as_deref())).machine(),
    Column::new("reason", "REASON", |job: &JobBody| Cell::text(job.reason.as_deref())),
    Column::new("message", "MESSAGE", |job: &JobBody| Cell::text(job.message.as_deref())).flexible().asked(),
    Column::new("started_at", "STARTED", |job: &JobBody| Cell::time(job.started_at.as_deref()))
        .right()
        .wide(),
    Column::new("finished_at", "FINISHED", |job: &JobBody| Cell::time(job.finished_at.as_deref()))
        .right()
        .wide(),
    Column::new("timeout_ms", "TIMEOUT", |job: &JobBody| Cell::millis(job.timeout_ms.map(|ms| ms as f64)))
        .right()
        .asked(),
    Column::new("runner", "NODE", |job: &JobBody| Cell::text(job.runner.as_deref())).wide(),
    Column::new("epoch", "ATTEMPT", |job: &JobBody| Cell::Integer(i64::from(job.epoch))).right().wide(),
    Column::new("cpu_ms", "CPU", |job: &JobBody| {
        Cell::millis(used(job).map(|used| used.cpu_user_ms + used.cpu_system_ms))
    })
    .right()
    .wide(),
    Column::new("peak_memory_bytes", "MEMORY", |job: &JobBody| {
        used(job).map_or(Cell::Nothing, |used| Cell::Bytes(peak_bytes(used)))
    })
    .right()
    .wide(),
    Column::new("stdout_bytes", "STDOUT", |job: &JobBody| Cell::Bytes(job.stdout.total_bytes))
        .right()
        .asked(),
    Column::new("stderr_bytes", "STDERR", |job: &JobBody| Cell::Bytes(job.stderr.total_bytes))
        .right()
        .asked(),
    Column::new("isolation", "ISOLATION", |job: &JobBody| {
        Cell::text(job.isolation_effective.as_ref().map(|had| had.tier.as_str()))
    })
    .asked(),
    Column::new("cwd", "FOLDER", |job: &JobBody| Cell::text(job.cwd.as_deref())).flexible().asked(),
    Column::new("retry_of", "RETRY-OF", |job: &JobBody| Cell::text(job.retry_of.as_deref())).id().asked(),
    Column::new("command", "COMMAND", |job: &JobBody| whole_command(&job.command)).flexible(),
];

fn integer(number: Option<i32>) -> Cell {
    number.map_or(Cell::Nothing, |number| Cell::Integer(i64::from(number)))
}

fn whole_command(body: &CommandBody) -> Cell {
    match body {
        CommandBody::Shell(line) => Cell::Text(line.clone()),
        CommandBody::Argv(argv) => Cell::Whole(argv.join(" "), argv.as_slice().into()),
    }
}

/// How long it waited for its last attempt.
fn wait_ms(job: &JobBody) -> Option<f64> {
    let (created, started) = (parse_rfc3339(&job.created_at)?, parse_rfc3339(job.started_at.as_deref()?)?);
    Some(started.saturating_sub(created).max(0) as f64)
}

/// What it used. One that never started has used nothing that could be measured.
fn used(job: &JobBody) -> Option<&UsageBody> {
    job.usage.as_ref().filter(|_| job.started_at.is_some())
}

/// Its memory at the worst: of the whole tree where its group has counted that, else of its largest process.
fn peak_bytes(used: &UsageBody) -> u64 {
    used.memory_peak_bytes.unwrap_or(used.peak_memory_bytes)
}

/// A status, perhaps with the marks of its colour.
fn status(word: &str, colours: bool) -> String {
    let word = plain(word);
    if colours { marked(&word) } else { word }
}

fn exit(job: &JobBody) -> String {
    match (&job.signal, job.exit_code) {
        (Some(signal), _) => signal.clone(),
        (None, Some(code)) => code.to_string(),
        (None, None) => String::new(),
    }
}

/// One job in full, perhaps with colours.
pub fn job(job: &JobBody, colours: bool) -> String {
    let mut lines = vec![
        format!("id:        {}", plain(&job.id)),
        format!("command:   {}", command(&job.command)),
        format!("status:    {}", painted(&status(&job.status, colours))),
    ];
    let mut add = |name: &str, value: Option<String>| {
        let value = value.filter(|value| !value.is_empty());
        lines.extend(value.map(|value| format!("{name:<10} {}", plain(&value))));
    };
    add("name:", job.name.clone());
    add("reason:", job.reason.clone());
    add("message:", job.message.clone());
    add("exit:", Some(exit(job)));
    add("created:", Some(job.created_at.clone()));
    add("started:", job.started_at.clone());
    add("finished:", job.finished_at.clone());
    add("runtime:", job.runtime_ms.map(|ms| format!("{ms} ms")));
    add("timeout:", job.timeout_ms.map(|ms| format!("{ms} ms")));
    add("folder:", job.cwd.clone());
    add("node:", job.runner.clone());
    add("attempt:", Some(job.epoch.to_string()));
    add("retry of:", job.retry_of.clone());
    for (name, stream) in [("stdout:", &job.stdout), ("stderr:", &job.stderr)] {
        let cut = if stream.truncated { format!(", {} kept", stream.kept_bytes) } else { String::new() };
        add(name, Some(format!("{} bytes{cut}", stream.total_bytes)));
    }
    for kept in &job.artifacts_kept {
        add("artifact:", Some(format!("{} ({} bytes)", kept.path, kept.bytes)));
    }
    for unkept in &job.artifacts_unkept {
        add("artifact:", Some(format!("{} was not kept: {}", unkept.path, unkept.detail)));
    }
    if let Some(usage) = used(job) {
        let cpu = usage.cpu_user_ms + usage.cpu_system_ms;
        add("used:", Some(format!("{cpu:.1} ms CPU, {} KiB peak", peak_bytes(usage) / 1024)));
    }
    if let Some(isolation) = &job.isolation_effective {
        let missing = match isolation.missing.is_empty() {
            true => String::new(),
            false => format!(" (missing {})", isolation.missing.join(", ")),
        };
        add("isolation:", Some(format!("{}{missing}, network {}", isolation.tier, isolation.network)));
    }
    add("limits:", job.isolation_effective.as_ref().map(|had| limits(&had.limits)));
    for attempt in &job.attempts {
        add(
            "",
            Some(format!("attempt {} {}: {} at {}", attempt.epoch, attempt.fate, attempt.why, attempt.at)),
        );
    }
    lines.join("\n")
}

/// What the job was held to, without what is only a node's and the same for every job.
fn limits(limits: &BTreeMap<String, EnforcedBody>) -> String {
    let asked = limits.iter().filter(|(name, _)| !["output_bytes", "timeout_ms"].contains(&name.as_str()));
    let line = |(name, limit): (&String, &EnforcedBody)| {
        format!("{name} {} ({})", limit.limit, limit.enforced_by.as_deref().unwrap_or("not enforced"))
    };
    asked.map(line).collect::<Vec<_>>().join(", ")
}
