//! What many runners cost a coordinator: it is a process of its own, whose processor time the kernel tells, and so are they,
//! simulated: they speak the true protocol over loopback, and end every job as they begin it.

mod coordinator;

use std::fmt;
use std::time::Duration;

use callboard_actors::clock;
use callboard_actors::courier::Peer;
use callboard_actors::graph::simulated::SimulatedNodes;
use callboard_actors::model::limits::MAX_BATCH_JOBS;
use serde::Serialize;

use super::figures::rate;
use super::machine::{self, Machine};
use super::report::{line, machine_line};
use super::throughput::job;
use super::{BenchError, BenchOptions, folder, load};
use crate::http::api::BatchBody;
use coordinator::Coordinator;

/// Connections of a node: one holds its request for orders, one its report.
const CONNECTIONS_PER_NODE: usize = 2;
/// Files and connections of everything else.
const SPARE: usize = 256;
/// Longest that nodes may take to join, and jobs to end.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often the coordinator is asked how many have joined: the answer names every one of them.
const LOOK_AT_NODES: Duration = Duration::from_millis(250);
/// How often it is asked how many jobs have ended.
const LOOK_AT_JOBS: Duration = Duration::from_millis(20);
/// Idle nodes are watched for at least so long: two heartbeats.
const SHORTEST_WATCH: Duration = Duration::from_secs(10);
/// Batches that are under way at once in the filling of the queue.
const FILLERS: usize = 2;

/// How many nodes there are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeCounts {
    /// Those that work; 0 measures none.
    pub busy: usize,
    /// Those that only say that they are there; 0 measures none.
    pub idle: usize,
}

/// Every figure of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodesReport {
    /// The machine under everything, the simulated nodes included.
    pub machine: Machine,
    /// Whether the compiler optimised the program.
    pub optimised: bool,
    /// Nodes that work.
    pub busy: Option<BusyFigures>,
    /// Nodes that wait.
    pub idle: Option<IdleFigures>,
}

/// Durable jobs through nodes that end each at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BusyFigures {
    /// Nodes.
    pub nodes: usize,
    /// Slots of each.
    pub slots: u32,
    /// Jobs that were dispatched.
    pub jobs: usize,
    /// From the first start to the last recorded end.
    pub jobs_per_s: f64,
    /// Processor time of the coordinator, in cores.
    pub cores: f64,
    /// Processor time of the coordinator for one job, in microseconds.
    pub us_per_job: f64,
}

/// Nodes that have nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct IdleFigures {
    /// Nodes.
    pub nodes: usize,
    /// How many of them were let in per second, when all came at once.
    pub registrations_per_s: f64,
    /// Processor time of the coordinator while they wait, in cores.
    pub cores: f64,
    /// Resident memory of the coordinator, in bytes.
    pub resident_bytes: u64,
    /// What each node added to it, in bytes.
    pub bytes_per_node: f64,
    /// For how long they were watched, in seconds.
    pub watched_s: f64,
}

/// Measures, with a word to `say` before each measurement.
///
/// # Errors
/// [`BenchError`]
pub async fn run(
    options: &BenchOptions,
    counts: NodeCounts,
    say: impl Fn(&str),
) -> Result<NodesReport, BenchError> {
    enough_files(counts.busy.max(counts.idle))?;
    let folder = folder(options)?;
    say("the disk");
    let machine = machine::look(folder.path())?;
    let mut report = NodesReport { machine, optimised: !cfg!(debug_assertions), busy: None, idle: None };
    if counts.busy > 0 {
        say("busy nodes");
        let coordinator = Coordinator::start(&folder.path().join("busy"), connections(counts.busy)).await?;
        report.busy = Some(busy(&coordinator, counts.busy, options).await?);
    }
    if counts.idle > 0 {
        say("idle nodes");
        let coordinator = Coordinator::start(&folder.path().join("idle"), connections(counts.idle)).await?;
        report.idle = Some(idle(&coordinator, counts.idle, options).await?);
    }
    Ok(report)
}

fn connections(nodes: usize) -> usize {
    nodes * CONNECTIONS_PER_NODE + SPARE
}

/// Both sides have a file for each connection.
fn enough_files(nodes: usize) -> Result<(), BenchError> {
    let needed = connections(nodes) as u64;
    match crate::node::raise_open_files() {
        Some(now) if now < needed => Err(BenchError::Void(format!(
            "{nodes} nodes need {needed} open files on each side, and only {now} are allowed: raise the hard limit \
             (ulimit -Hn), or ask for fewer nodes"
        ))),
        _ => Ok(()),
    }
}

/// Nodes share this process's processors with the coordinator's: more threads than half of them would take its own.
fn join(coordinator: &Coordinator, count: usize, slots: u32) -> SimulatedNodes {
    let target = Peer { url: coordinator.url.clone(), ..Peer::default() };
    SimulatedNodes::join(count, slots, machine::cores().div_ceil(2), &target)
}

/// Asks again and again until it is so.
async fn until(what: &str, pause: Duration, is_so: impl AsyncFn() -> bool) -> Result<Duration, BenchError> {
    let began = clock::moment();
    while !is_so().await {
        if began.elapsed() > PATIENCE {
            return Err(BenchError::Void(format!("{what} within {} s", PATIENCE.as_secs())));
        }
        actix_rt::time::sleep(pause).await;
    }
    Ok(began.elapsed())
}

async fn busy(
    coordinator: &Coordinator,
    nodes: usize,
    options: &BenchOptions,
) -> Result<BusyFigures, BenchError> {
    let slots = u32::try_from(options.slots).unwrap_or(u32::MAX);
    let simulated = join(coordinator, nodes, slots);
    until("not every node joined", LOOK_AT_NODES, async || coordinator.ready_nodes().await >= nodes).await?;
    let client = coordinator.client();
    let void = |failure: crate::cli::Failure| BenchError::Void(failure.message);
    client.queue("pause").await.map_err(void)?;
    let batches = options.queued.div_ceil(MAX_BATCH_JOBS);
    let sizes = (0..batches).map(|at| MAX_BATCH_JOBS.min(options.queued - at * MAX_BATCH_JOBS));
    let fill = async |size: &usize| {
        let batch = BatchBody { jobs: vec![job("true"); *size], all_or_nothing: true };
        client.post_only("/v1/jobs/batch", &batch).await.map_err(void)
    };
    load::each(&sizes.collect::<Vec<usize>>(), FILLERS, fill).await?;
    let (used, began) = (coordinator.cpu()?, clock::moment());
    client.queue("resume").await.map_err(void)?;
    let jobs = options.queued;
    until("not every job ended", LOOK_AT_JOBS, async || coordinator.completed().await >= jobs).await?;
    let (took, used) = (began.elapsed(), coordinator.cpu()?.saturating_sub(used));
    if simulated.started() != jobs as u64 {
        return Err(BenchError::Void(format!(
            "{} attempts were started for {jobs} jobs",
            simulated.started()
        )));
    }
    let cores = used.as_secs_f64() / took.as_secs_f64().max(f64::EPSILON);
    let us_per_job = used.as_secs_f64() * 1e6 / (jobs.max(1) as f64);
    Ok(BusyFigures { nodes, slots, jobs, jobs_per_s: rate(jobs, took), cores, us_per_job })
}

async fn idle(
    coordinator: &Coordinator,
    nodes: usize,
    options: &BenchOptions,
) -> Result<IdleFigures, BenchError> {
    let before = coordinator.resident_bytes()?;
    let _simulated = join(coordinator, nodes, 1);
    let took =
        until("not every node joined", LOOK_AT_NODES, async || coordinator.ready_nodes().await >= nodes)
            .await?;
    // What joining left behind is over after a heartbeat.
    actix_rt::time::sleep(SHORTEST_WATCH / 2).await;
    let (used, began) = (coordinator.cpu()?, clock::moment());
    actix_rt::time::sleep(options.span.max(SHORTEST_WATCH)).await;
    let (watched, used) = (began.elapsed(), coordinator.cpu()?.saturating_sub(used));
    let there = coordinator.ready_nodes().await;
    if there < nodes {
        return Err(BenchError::Void(format!("only {there} of {nodes} nodes were still ready at the end")));
    }
    let resident_bytes = coordinator.resident_bytes()?;
    Ok(IdleFigures {
        nodes,
        registrations_per_s: rate(nodes, took),
        cores: used.as_secs_f64() / watched.as_secs_f64().max(f64::EPSILON),
        resident_bytes,
        bytes_per_node: resident_bytes.saturating_sub(before) as f64 / nodes as f64,
        watched_s: watched.as_secs_f64(),
    })
}

impl fmt::Display for NodesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        machine_line(f, &self.machine)?;
        if !self.optimised {
            writeln!(f, "            NOT OPTIMISED: use a release build for figures that mean something")?;
        }
        if let Some(it) = &self.busy {
            writeln!(
                f,
                "\n{} busy nodes of {} slots, {} durable jobs that run nothing",
                it.nodes, it.slots, it.jobs
            )?;
            line(f, "jobs", &format!("{:.0}/s", it.jobs_per_s))?;
            let (cores, each) = (it.cores, it.us_per_job);
            line(f, "the coordinator", &format!("{cores:.2} cores, {each:.0} us a job"))?;
        }
        if let Some(it) = &self.idle {
            writeln!(f, "\n{} idle nodes, watched for {:.0} s", it.nodes, it.watched_s)?;
            line(f, "registrations, all at once", &format!("{:.0}/s", it.registrations_per_s))?;
            line(f, "the coordinator", &format!("{:.2} cores", it.cores))?;
            let (all, each) = (it.resident_bytes as f64 / 1e6, it.bytes_per_node / 1e3);
            line(f, "its resident memory", &format!("{all:.0} MB, {each:.1} kB a node"))?;
        }
        write!(
            f,
            "\nthe nodes are simulated in this process, beside the coordinator on the same {} cores",
            self.machine.cores
        )
    }
}
