//! From a job as the platform knows it to the job as `/v1` shows it. It reads and writes nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callboard_actors::model::{
    AttemptRecord, Captured, CommandLine, Exit, InputMode, JobState, JobView, Outcome, Usage, time,
};

use super::api::{AttemptBody, CommandBody, JobBody, OutputBody, RequiresBody, UsageBody};
use super::signals;

/// A job with everything that is known of it.
pub fn full(view: &JobView) -> JobBody {
    let mut body = listed(view);
    body.env = view.record.spec.env.clone();
    body.secret_env = view.record.spec.secret_env.names().to_vec();
    if let JobState::Ended(outcome) = &view.record.state {
        body.stdout = output(&outcome.stdout, true);
        body.stderr = output(&outcome.stderr, true);
        body.artifacts_kept = outcome.artifacts.kept.iter().map(Into::into).collect();
        body.artifacts_unkept = outcome.artifacts.unkept.iter().map(Into::into).collect();
    }
    body
}

/// A job as a row of a list: without its environment, the text of its output and
/// its artifacts.
pub fn listed(view: &JobView) -> JobBody {
    let record = &view.record;
    let spec = &*record.spec;
    let mut body = JobBody {
        id: record.id.to_string(),
        name: spec.name.clone(),
        tenant: record.tenant.as_str().into(),
        command: command(&spec.command),
        status: view.status().as_str().into(),
        reason: view.reason().map(Into::into),
        message: None,
        exit_code: None,
        signal: None,
        core_dumped: false,
        spawn_error_code: None,
        created_at: time::rfc3339(record.created_at_ms),
        started_at: None,
        finished_at: None,
        runtime_ms: None,
        timeout_ms: spec.timeout_ms,
        grace_ms: spec.grace_ms,
        requires: RequiresBody::of(&spec.requires),
        isolation: spec.into(),
        limits: spec.limits.into(),
        mounts: spec.mounts.iter().map(Into::into).collect(),
        files: spec.files.iter().map(Into::into).collect(),
        artifacts: spec.artifacts.clone(),
        artifacts_kept: Vec::new(),
        artifacts_unkept: Vec::new(),
        cwd: spec.cwd.clone(),
        env: Default::default(),
        secret_env: Vec::new(),
        on_lost: spec.on_lost.as_str().into(),
        on_disconnect: spec.on_disconnect.as_str().into(),
        stdin_streamed: matches!(spec.input, InputMode::Streamed),
        runner: runner(view),
        epoch: record.state.epoch().0,
        cancelling: false,
        stdout: OutputBody::default(),
        stderr: OutputBody::default(),
        usage: None,
        isolation_effective: None,
        attempts: record.attempts.iter().map(attempt).collect(),
        retry_of: record.retry_of.map(|id| id.to_string()),
    };
    if let Some(lease) = record.state.lease() {
        body.started_at = lease.started_at_ms.map(time::rfc3339);
        body.cancelling = lease.cancel.is_some();
        body.message = lease.cancel.as_ref().and_then(|wish| wish.note.clone());
    }
    if let JobState::Ended(outcome) = &record.state {
        add_outcome(&mut body, outcome);
    }
    body
}

fn runner(view: &JobView) -> Option<String> {
    let name = view.runner.as_ref().map(|spec| spec.name.clone()).filter(|name| !name.is_empty());
    name.or_else(|| view.node().map(|node| node.to_string()))
}

fn add_outcome(body: &mut JobBody, outcome: &Outcome) {
    match outcome.exit {
        Some(Exit::Code(code)) => body.exit_code = Some(code),
        Some(Exit::Signal { number, core_dumped }) => {
            body.signal = Some(signals::name(number));
            body.core_dumped = core_dumped;
        }
        None => {}
    }
    body.message = outcome.message.clone();
    body.spawn_error_code = outcome.spawn_error_code;
    body.started_at = outcome.started_at_ms.map(time::rfc3339);
    body.finished_at = Some(time::rfc3339(outcome.finished_at_ms));
    body.runtime_ms = outcome.started_at_ms.map(|_| millis(outcome.usage.wall_us));
    body.stdout = output(&outcome.stdout, false);
    body.stderr = output(&outcome.stderr, false);
    body.usage = Some(usage(&outcome.usage));
    body.isolation_effective = outcome.isolation.as_ref().map(Into::into);
}

fn command(command: &CommandLine) -> CommandBody {
    match command {
        CommandLine::Shell(line) => CommandBody::Shell(line.clone()),
        CommandLine::Argv(argv) => CommandBody::Argv(argv.clone()),
    }
}

fn usage(usage: &Usage) -> UsageBody {
    UsageBody {
        cpu_user_ms: millis(usage.cpu_user_us),
        cpu_system_ms: millis(usage.cpu_system_us),
        peak_memory_bytes: usage.peak_memory_bytes,
        memory_peak_bytes: usage.memory_peak_bytes,
        oom_kills: usage.oom_kills,
        process_denials: usage.process_denials,
        orphans_killed: usage.orphans_killed,
    }
}

fn millis(us: u64) -> f64 {
    us as f64 / 1000.0
}

fn attempt(record: &AttemptRecord) -> AttemptBody {
    AttemptBody {
        epoch: record.epoch.0,
        node: record.node.to_string(),
        fate: record.fate.clone(),
        why: record.why.clone(),
        at: time::rfc3339(record.at_ms),
    }
}

fn output(captured: &Captured, with_text: bool) -> OutputBody {
    let summary = &captured.summary;
    let mut body = OutputBody {
        total_bytes: summary.total_bytes,
        kept_bytes: summary.kept_bytes(),
        truncated: summary.is_truncated(),
        text: None,
        base64: None,
    };
    if let Some(bytes) = captured.inline.as_ref().filter(|_| with_text) {
        match std::str::from_utf8(bytes) {
            Ok(text) => body.text = Some(text.into()),
            Err(_) => body.base64 = Some(STANDARD.encode(bytes)),
        }
    }
    body
}
