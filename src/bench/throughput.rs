//! Jobs through the whole platform: HTTP, actors, durable store, keepers, beside the same jobs spawned plainly.

use std::collections::BTreeMap;
use std::time::Duration;

use callboard_actors::clock;
use serde::Serialize;

use super::figures::{Latencies, Paired};
use super::{BenchError, BenchOptions, load, machine};
use crate::cli::Client;
use crate::http::api::{CommandBody, IsolationBody, JobBody, SubmitBody};
use crate::node::embedded::Embedded;

/// Longest that one job of a measurement may take.
const JOB_LIMIT_MS: u64 = 60_000;
/// Jobs of the latency measurement per second of the span.
const LATENCY_JOBS_PER_S: usize = 100;
/// Jobs whose output is read back.
const ECHO_JOBS: usize = 200;

/// What a measurement of jobs found, and which jobs it counted.
pub struct Measured<T> {
    pub figures: T,
    pub ids: Vec<String>,
}

/// One job at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatencyFigures {
    /// From a plain spawn to its captured output.
    pub spawn: Latencies,
    /// From the submit to the finished record, in one request with `?wait=`.
    pub platform: Latencies,
    /// What the platform adds at p50.
    pub added_p50_ms: f64,
}

/// A job that runs `line` as a plain process.
pub fn job(line: &str) -> SubmitBody {
    job_with(line, "none")
}

/// A job that runs `line` with this isolation.
pub fn job_with(line: &str, isolation: &str) -> SubmitBody {
    SubmitBody {
        mounts: Vec::new(),
        files: Vec::new(),
        artifacts: Vec::new(),
        command: CommandBody::Argv(vec!["/bin/sh".into(), "-c".into(), line.into()]),
        name: None,
        secret_env: Default::default(),
        env: BTreeMap::new(),
        cwd: None,
        stdin: None,
        timeout_ms: Some(JOB_LIMIT_MS),
        grace_ms: None,
        on_lost: None,
        on_disconnect: None,
        requires: None,
        limits: None,
        isolation: Some(IsolationBody::Mode(isolation.into())),
    }
}

/// Runs one job and demands that it ended well, at the first attempt, with `output`.
async fn run_one(client: &Client, line: &str, output: &str) -> Result<String, BenchError> {
    run_body(client, &job(line), output).await
}

/// The same with a job of any shape.
pub async fn run_body(client: &Client, job: &SubmitBody, output: &str) -> Result<String, BenchError> {
    let submitted = client.submit(job, JOB_LIMIT_MS, None).await;
    let done = submitted.map_err(|failure| BenchError::Void(failure.message))?;
    demand(&done, output)?;
    Ok(done.id)
}

/// Whether a record is that of a job that ended well, at the first attempt, with `output`.
pub fn demand(job: &JobBody, output: &str) -> Result<(), BenchError> {
    let whole = job.stdout.total_bytes == output.len() as u64 && job.stderr.total_bytes == 0;
    let text = job.stdout.text.as_deref().unwrap_or_default();
    let fine = job.status == "completed" && job.exit_code == Some(0) && job.epoch == 1 && whole;
    if fine && text == output {
        return Ok(());
    }
    Err(BenchError::Void(format!(
        "job {} is {} with exit code {:?} at attempt {}, its output {text:?} of {} bytes",
        job.id, job.status, job.exit_code, job.epoch, job.stdout.total_bytes
    )))
}

/// Plain spawning and the platform, turn by turn.
pub async fn measure(node: &Embedded, options: &BenchOptions) -> Result<Measured<Paired>, BenchError> {
    let client = load::client(node);
    let once = async || run_one(&client, "true", "").await;
    // Not counted: connections, caches and keepers are made.
    let warm_up = options.span.min(Duration::from_millis(300));
    load::closed_loop(warm_up, options.connections, once).await?;
    let (mut rounds, mut ids) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let limit = machine::spawn_limit(options.span)?;
        let done = load::closed_loop(options.span, options.connections, once).await?;
        rounds.push((limit, done.per_s));
        ids.extend(done.results);
    }
    Ok(Measured { figures: Paired::of(&rounds), ids })
}

/// One job at a time, plain and through the platform, turn by turn.
pub async fn latency(
    node: &Embedded,
    options: &BenchOptions,
) -> Result<Measured<LatencyFigures>, BenchError> {
    let client = load::client(node);
    let count = (options.span.as_secs_f64() * LATENCY_JOBS_PER_S as f64).ceil() as usize;
    let (mut plain, mut whole, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count.max(1) {
        let began = clock::moment();
        machine::spawn_once().map_err(BenchError::system("plain spawning"))?;
        plain.push(began.elapsed());
        let began = clock::moment();
        ids.push(run_one(&client, "true", "").await?);
        whole.push(began.elapsed());
    }
    let (spawn, platform) = (Latencies::of(plain), Latencies::of(whole));
    let figures = LatencyFigures { spawn, platform, added_p50_ms: platform.p50_ms - spawn.p50_ms };
    Ok(Measured { figures, ids })
}

/// What the job of number `at` says.
pub fn said(at: usize) -> String {
    format!("callboard {at}\n")
}

/// Jobs that each say their own number; their ids in that order.
pub async fn echo(node: &Embedded, options: &BenchOptions) -> Result<Vec<String>, BenchError> {
    let client = load::client(node);
    let numbers: Vec<usize> = (0..ECHO_JOBS).collect();
    let ids = std::cell::RefCell::new(vec![String::new(); ECHO_JOBS]);
    let act = async |at: &usize| {
        let id = run_one(&client, &format!("echo callboard {at}"), &said(*at)).await?;
        ids.borrow_mut()[*at] = id;
        Ok(())
    };
    load::each(&numbers, options.connections, act).await?;
    Ok(ids.into_inner())
}
