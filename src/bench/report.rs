//! What was measured, for people and for machines.

use std::fmt;

use serde::Serialize;

use super::BenchOptions;
use super::figures::{Latencies, Paired};
use super::machine::Machine;
use super::queue::{QueuedFigures, RestartFigures, SubmitFigures};
use super::scheduler::SchedulerFigures;
use super::throughput::LatencyFigures;
use crate::node::embedded::Embedded;

/// Under which conditions the platform was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// Version of the program.
    pub version: &'static str,
    /// Whether the compiler optimised it.
    pub optimised: bool,
    /// The isolation that jobs had.
    pub isolation: String,
    /// What an answered submit survives.
    pub durability: &'static str,
    /// Where records are kept.
    pub store: &'static str,
    /// The user that jobs ran as.
    pub job_uid: u32,
    /// Jobs that run at once.
    pub slots: usize,
    /// Requests that are under way at once.
    pub connections: usize,
    /// Rounds of each pair.
    pub rounds: usize,
    /// Length of one measurement in seconds.
    pub span_s: f64,
}

impl Setting {
    /// What the node says of itself, and what was asked.
    pub fn of(node: &Embedded, options: &BenchOptions) -> Self {
        let facts = node.facts();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
            isolation: facts.isolation.tier.clone(),
            durability: facts.store.durability,
            store: facts.store.kind,
            job_uid: facts.job_uid,
            slots: options.slots,
            connections: options.connections,
            rounds: options.rounds,
            span_s: options.span.as_secs_f64(),
        }
    }
}

impl Setting {
    /// What a ratio depends on.
    pub(super) fn conditions(&self) -> String {
        format!(
            "isolation {}, durability {}, store {}, uid {}, {} slots, {} connections",
            self.isolation, self.durability, self.store, self.job_uid, self.slots, self.connections
        )
    }
}

/// Every figure of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The machine under everything.
    pub machine: Machine,
    /// The conditions.
    pub setting: Setting,
    /// `sh -c true`: spawned plainly by as many threads as cores, and as durable jobs over HTTP.
    pub throughput: Paired,
    /// One job at a time.
    pub latency: LatencyFigures,
    /// Records that were read back, whole, from the disk by a node started afterwards.
    pub verified: usize,
    /// Durable submits while nothing starts.
    pub submits: SubmitFigures,
    /// What waiting jobs weigh.
    pub queued: QueuedFigures,
    /// A start over them.
    pub restart: RestartFigures,
    /// The actors alone.
    pub scheduler: SchedulerFigures,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (machine, setting) = (&self.machine, &self.setting);
        machine_line(f, machine)?;
        writeln!(f, "            fdatasync of a page {}", Shown(&machine.fdatasync))?;
        let rounds = format!("{}, {} rounds of {} s", setting.conditions(), setting.rounds, setting.span_s);
        setting_line(f, setting, &rounds)?;
        writeln!(f)?;
        writeln!(f, "throughput of `sh -c true` ({})", setting.conditions())?;
        let limit = format!("spawn limit ({} threads)", machine.cores);
        pair(f, &limit, "durable jobs over HTTP", &self.throughput)?;
        writeln!(f, "one `sh -c true` at a time")?;
        line(f, "plain spawn", &Shown(&self.latency.spawn))?;
        line(f, "submit to result", &Shown(&self.latency.platform))?;
        line(f, "added at p50", &format!("{:.2} ms", self.latency.added_p50_ms))?;
        writeln!(f, "durable submits, the queue paused ({})", setting.conditions())?;
        pair(f, "bare actix-web handler", "one job a request", &self.submits.single)?;
        let batch = &self.submits.batch;
        line(f, &format!("batches of {}", batch.jobs), &format!("{:.0} jobs/s", batch.jobs_per_s))?;
        writeln!(f, "{} queued jobs", self.queued.jobs)?;
        line(f, "memory per job", &format!("{:.0} bytes", self.queued.bytes_per_job))?;
        let resident = self.queued.resident_bytes as f64 / 1e6;
        line(f, "resident, all", &format!("{resident:.0} MB, this measuring client included"))?;
        line(f, "restart to ready", &format!("{:.0} ms", self.restart.ready_ms))?;
        writeln!(f, "actors alone, nothing run, nothing stored")?;
        line(f, "no-op jobs", &format!("{:.0} jobs/s", self.scheduler.jobs_per_s))?;
        writeln!(f)?;
        write!(f, "{} records read back whole from the disk after a restart", self.verified)
    }
}

pub(super) fn machine_line(f: &mut fmt::Formatter<'_>, machine: &Machine) -> fmt::Result {
    let Machine { cores, kernel, file_system, .. } = machine;
    writeln!(f, "machine     {cores} cores, {kernel}, database on {file_system}")
}

/// The conditions in words, and what makes figures worth nothing.
pub(super) fn setting_line(f: &mut fmt::Formatter<'_>, setting: &Setting, words: &str) -> fmt::Result {
    writeln!(f, "setting     {words}")?;
    if !setting.optimised {
        writeln!(f, "            NOT OPTIMISED: use a release build for figures that mean something")?;
    }
    Ok(())
}

pub(super) fn line(f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display) -> fmt::Result {
    writeln!(f, "  {name:<26} {value}")
}

pub(super) fn pair(f: &mut fmt::Formatter<'_>, limit: &str, platform: &str, pair: &Paired) -> fmt::Result {
    let rounds: Vec<String> = pair.rounds.iter().map(|ratio| format!("{ratio:.2}")).collect();
    line(f, limit, &format!("{:.0}/s", pair.limit_per_s))?;
    line(
        f,
        platform,
        &format!("{:.0}/s, ratio {:.2} (rounds {})", pair.platform_per_s, pair.ratio, rounds.join(" ")),
    )
}

struct Shown<'a>(&'a Latencies);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.2} ms, p99 {:.2} ms", self.0.p50_ms, self.0.p99_ms)
    }
}
