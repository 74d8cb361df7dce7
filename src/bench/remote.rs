//! What it costs that a runner is a process of its own, behind the node protocol over loopback: the same jobs on a node
//! that runs them itself and on a coordinator whose runner has joined, turn by turn.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use callboard_actors::clock;
use callboard_actors::exec::keeper_path;
use serde::Serialize;

use super::figures::{Latencies, Paired};
use super::machine::{self, Machine};
use super::report::{Setting, line, machine_line, pair, setting_line};
use super::throughput::{job, run_body};
use super::{BenchError, BenchOptions, folder, load, start};
use crate::cli::Client;
use crate::config::JobUser;
use crate::node::embedded::Embedded;

/// Pairs of jobs of the latency measurement per second of the span.
const PAIRS_PER_S: usize = 60;
/// Longest that the runner may take to join.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);

/// Every figure of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RemoteReport {
    /// The machine under everything.
    pub machine: Machine,
    /// The conditions.
    pub setting: Setting,
    /// `true` on a node that runs it itself, one at a time.
    pub local: Latencies,
    /// The same on a runner that has joined.
    pub remote: Latencies,
    /// What the way adds at p50, in milliseconds.
    pub added_p50_ms: f64,
    /// Durable jobs over HTTP on the node itself, and through the proxy.
    pub throughput: Paired,
}

/// A runner as a process of its own, ended when it is dropped.
struct Runner(Child);

impl Drop for Runner {
    fn drop(&mut self) {
        // One that is gone needs no end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures, with a word to `say` before each measurement.
///
/// # Errors
/// [`BenchError`]
pub async fn run(options: &BenchOptions, say: impl Fn(&str)) -> Result<RemoteReport, BenchError> {
    let folder = folder(options)?;
    say("the disk");
    let machine = machine::look(folder.path())?;
    let near = start(options, folder.path().join("local")).await?;
    let empty = BenchOptions { slots: 0, ..options.clone() };
    let far = start(&empty, folder.path().join("coordinator")).await?;
    let runner = join(&far, options, folder.path())?;
    wait_until_joined(&far).await?;
    let (here, there) = (load::client(&near), load::client(&far));
    say("one at a time");
    let (local, remote) = latency(&here, &there, options).await?;
    say("throughput");
    let throughput = throughput(&here, &there, options).await?;
    let setting = Setting::of(&near, options);
    drop(runner);
    near.stop().await;
    far.stop().await;
    let added_p50_ms = remote.p50_ms - local.p50_ms;
    Ok(RemoteReport { machine, setting, local, remote, added_p50_ms, throughput })
}

fn join(coordinator: &Embedded, options: &BenchOptions, folder: &Path) -> Result<Runner, BenchError> {
    let program = keeper_path(None)
        .ok_or_else(|| BenchError::Void("this application cannot start itself as a helper".into()))?;
    let token = folder.join("join-token");
    let opened = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&token);
    opened
        .and_then(|mut file| writeln!(file, "{}", coordinator.token))
        .map_err(BenchError::system("a file for the token"))?;
    let mut command = Command::new(program);
    command.args(["runner", "--bind", "127.0.0.1:0", "--log-level", "error"]);
    command.args(["--slots", &options.slots.to_string(), "--join", &coordinator.url]);
    command.arg("--join-token-file").arg(&token).arg("--data-dir").arg(folder.join("runner"));
    let own = rustix::process::getuid().as_raw().to_string();
    let user = match &options.user {
        Some(JobUser::Name(name)) => name.clone(),
        Some(JobUser::Ids { uid, gid: None }) => uid.to_string(),
        Some(JobUser::Ids { uid, gid: Some(gid) }) => format!("{uid}:{gid}"),
        None => own,
    };
    command.args(["--user", &user]).stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.spawn().map_err(BenchError::system("a runner"))?;
    Ok(Runner(child))
}

async fn wait_until_joined(coordinator: &Embedded) -> Result<(), BenchError> {
    let (client, began) = (load::client(coordinator), clock::moment());
    while client.ready().await.is_err() {
        if began.elapsed() > JOIN_PATIENCE {
            return Err(BenchError::Void("the runner did not join".into()));
        }
        actix_rt::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn one(client: &Client) -> Result<Duration, BenchError> {
    let began = clock::moment();
    run_body(client, &job("true"), "").await?;
    Ok(began.elapsed())
}

async fn latency(
    here: &Client,
    there: &Client,
    options: &BenchOptions,
) -> Result<(Latencies, Latencies), BenchError> {
    let count = (options.span.as_secs_f64() * PAIRS_PER_S as f64).ceil() as usize * options.rounds;
    let (mut local, mut remote) = (Vec::new(), Vec::new());
    for _ in 0..count.max(1) {
        local.push(one(here).await?);
        remote.push(one(there).await?);
    }
    Ok((Latencies::of(local), Latencies::of(remote)))
}

/// Both, turn by turn.
async fn throughput(here: &Client, there: &Client, options: &BenchOptions) -> Result<Paired, BenchError> {
    let warm_up = options.span.min(Duration::from_millis(300));
    load::closed_loop(warm_up, options.connections, async || one(here).await).await?;
    load::closed_loop(warm_up, options.connections, async || one(there).await).await?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let near = load::closed_loop(options.span, options.connections, async || one(here).await).await?;
        let far = load::closed_loop(options.span, options.connections, async || one(there).await).await?;
        rounds.push((near.per_s, far.per_s));
    }
    Ok(Paired::of(&rounds))
}

impl fmt::Display for RemoteReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (machine, setting) = (&self.machine, &self.setting);
        machine_line(f, machine)?;
        setting_line(f, setting, &setting.conditions())?;
        writeln!(f, "\none `sh -c true` at a time, through the platform")?;
        let shown = |it: &Latencies| format!("p50 {:.2} ms, p99 {:.2} ms", it.p50_ms, it.p99_ms);
        line(f, "on the node itself", &shown(&self.local))?;
        line(f, "on a runner that joined", &shown(&self.remote))?;
        line(f, "added at p50", &format!("{:.2} ms", self.added_p50_ms))?;
        writeln!(f, "throughput of `sh -c true`")?;
        pair(f, "on the node itself", "on a runner that joined", &self.throughput)?;
        write!(f, "the runner is a process of its own, over loopback")
    }
}
