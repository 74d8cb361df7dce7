//! What a room costs a job: one at a time beside a plain job, as many as go beside a bare loop that makes the same
//! namespaces, and where the time goes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use callboard_actors::clock;
use callboard_actors::exec::{ProcessConfig, RoomCost, bare_rooms, keeper_path, room_costs};
use callboard_actors::model::Limits;
use serde::Serialize;

use super::figures::{Latencies, Paired};
use super::machine::{self, Machine};
use super::report::{Setting, line, machine_line, pair, setting_line};
use super::throughput::{job_with, run_body};
use super::{BenchError, BenchOptions, folder, load, start};
use crate::cli::Client;
use crate::node::embedded::Embedded;

/// Pairs of jobs of the latency measurement per second of the span.
const PAIRS_PER_S: usize = 60;
/// Rooms that are timed step by step, with and without a network of their own.
const TIMED_ROOMS: usize = 200;
/// The step that makes namespaces.
const NAMESPACES: &str = "namespaces";

/// Every figure of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoomsReport {
    /// The machine under everything.
    pub machine: Machine,
    /// The conditions.
    pub setting: Setting,
    /// What a room is worth here.
    pub tier: String,
    /// `true` through the platform, one at a time, turn by turn.
    pub latency: RoomLatency,
    /// `sh -c true` in bare namespaces, by as many processes as cores, and durable jobs in rooms over HTTP.
    pub throughput: Paired,
    /// One room after the other by one keeper, without a platform.
    pub steps: RoomSteps,
}

/// A job in a room beside a plain one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RoomLatency {
    /// Without a room.
    pub plain: Latencies,
    /// In a room.
    pub room: Latencies,
    /// What the room adds at p50.
    pub added_p50_ms: f64,
    /// What it adds at p90.
    pub added_p90_ms: f64,
}

/// Where the time goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoomSteps {
    /// Microseconds of each step at p50, in the order in which they are done.
    pub steps: Vec<StepFigure>,
    /// What of the namespaces is the network's.
    pub network_namespace_us: f64,
    /// From the order to the report, the end of the room included.
    pub whole: Latencies,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepFigure {
    /// What is done.
    pub step: &'static str,
    /// How long that takes at p50.
    pub p50_us: f64,
}

/// Measures rooms, with a word to `say` before each measurement.
///
/// # Errors
/// [`BenchError`]; also where no room can be made.
pub async fn run(options: &BenchOptions, say: impl Fn(&str)) -> Result<RoomsReport, BenchError> {
    let folder = folder(options)?;
    say("the disk");
    let machine = machine::look(folder.path())?;
    say("rooms, step by step");
    let config = ProcessConfig::new(&folder.path().join("costs"), &Limits::default());
    let steps = aside(move || steps(&config)).await?;
    let node = start(options, folder.path().join("rooms")).await?;
    say("one at a time");
    let latency = latency(&node, options).await?;
    say("throughput");
    let throughput = throughput(&node, options).await?;
    let setting = Setting { isolation: "sandbox".into(), ..Setting::of(&node, options) };
    let tier = node.facts().rooms.read().tier.as_str().to_owned();
    node.stop().await;
    Ok(RoomsReport { machine, setting, tier, latency, throughput, steps })
}

/// Something that blocks, while the platform goes on.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BenchError> + Send + 'static,
) -> Result<T, BenchError> {
    let done = actix_rt::task::spawn_blocking(work).await;
    done.map_err(|error| BenchError::Void(error.to_string()))?
}

fn steps(config: &ProcessConfig) -> Result<RoomSteps, BenchError> {
    let timed = |host_network| room_costs(config, TIMED_ROOMS, host_network).map_err(BenchError::Void);
    let (own, shared) = (timed(false)?, timed(true)?);
    let steps = figures(&own);
    let namespaces =
        |figures: &[StepFigure]| figures.iter().find(|it| it.step == NAMESPACES).map_or(0.0, |it| it.p50_us);
    Ok(RoomSteps {
        network_namespace_us: namespaces(&steps) - namespaces(&figures(&shared)),
        steps,
        whole: Latencies::of(own.iter().map(|cost| cost.whole).collect()),
    })
}

fn figures(costs: &[RoomCost]) -> Vec<StepFigure> {
    let mut times: BTreeMap<usize, (&'static str, Vec<Duration>)> = BTreeMap::new();
    for (at, (step, time)) in costs.iter().flat_map(|cost| cost.steps.iter().enumerate()) {
        times.entry(at).or_insert((step, Vec::new())).1.push(*time);
    }
    let figure = |(step, times)| StepFigure { step, p50_us: Latencies::of(times).p50_ms * 1000.0 };
    times.into_values().map(figure).collect()
}

async fn latency(node: &Embedded, options: &BenchOptions) -> Result<RoomLatency, BenchError> {
    let client = load::client(node);
    let count = (options.span.as_secs_f64() * PAIRS_PER_S as f64).ceil() as usize * options.rounds;
    let (mut plain, mut room) = (Vec::new(), Vec::new());
    for _ in 0..count.max(1) {
        plain.push(one(&client, "none").await?);
        room.push(one(&client, "sandbox").await?);
    }
    let (plain, room) = (Latencies::of(plain), Latencies::of(room));
    Ok(RoomLatency {
        plain,
        room,
        added_p50_ms: room.p50_ms - plain.p50_ms,
        added_p90_ms: room.p90_ms - plain.p90_ms,
    })
}

async fn one(client: &Client, isolation: &str) -> Result<Duration, BenchError> {
    let began = clock::moment();
    run_body(client, &job_with("true", isolation), "").await?;
    Ok(began.elapsed())
}

/// Bare namespaces and rooms, turn by turn.
async fn throughput(node: &Embedded, options: &BenchOptions) -> Result<Paired, BenchError> {
    let client = load::client(node);
    let once = async || one(&client, "sandbox").await;
    let program = keeper_path(None)
        .ok_or_else(|| BenchError::Void("this application cannot start itself as a helper".into()))?;
    let warm_up = options.span.min(Duration::from_millis(300));
    load::closed_loop(warm_up, options.connections, once).await?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let (program, span) = (program.clone(), options.span);
        let bare = aside(move || {
            bare_rooms(&program, machine::cores(), span).map_err(BenchError::system("bare namespaces"))
        });
        let limit = bare.await? as f64 / span.as_secs_f64();
        let done = load::closed_loop(options.span, options.connections, once).await?;
        rounds.push((limit, done.per_s));
    }
    Ok(Paired::of(&rounds))
}

impl fmt::Display for RoomsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (machine, setting) = (&self.machine, &self.setting);
        machine_line(f, machine)?;
        setting_line(f, setting, &format!("tier {}, {}", self.tier, setting.conditions()))?;
        writeln!(f, "\none `sh -c true` at a time, through the platform")?;
        let shown = |it: &Latencies| format!("p50 {:.2} ms, p90 {:.2} ms", it.p50_ms, it.p90_ms);
        line(f, "plain process", &shown(&self.latency.plain))?;
        line(f, "in a room", &shown(&self.latency.room))?;
        let (half, most) = (self.latency.added_p50_ms, self.latency.added_p90_ms);
        line(f, "added", &format!("{half:.2} ms at p50, {most:.2} ms at p90"))?;
        writeln!(f, "throughput of `sh -c true`")?;
        let limit = format!("bare namespaces, {} loops", machine.cores);
        pair(f, &limit, "durable jobs in rooms", &self.throughput)?;
        writeln!(f, "one room, by its keeper alone: {}", shown(&self.steps.whole))?;
        for figure in &self.steps.steps {
            line(f, figure.step, &format!("{:.0} µs", figure.p50_us))?;
        }
        let network = self.steps.network_namespace_us;
        write!(f, "  of the namespaces, {network:.0} µs are the network's")
    }
}
