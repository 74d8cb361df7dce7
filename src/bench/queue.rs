//! The queue while nothing starts: how fast it takes jobs, what a waiting job weighs, and how soon a node with many of
//! them serves again.

use actix_web::{App, HttpResponse, HttpServer, web};
use callboard_actors::clock;
use callboard_actors::model::limits::MAX_BATCH_JOBS;
use serde::Serialize;

use super::figures::Paired;
use super::throughput::job;
use super::{BenchError, BenchOptions, load};
use crate::cli::{Client, Failure};
use crate::http::HttpConfig;
use crate::http::api::{BatchBody, SubmitBody};
use crate::node::NodeError;
use crate::node::embedded::Embedded;

/// Batches that are under way at once in the filling of the queue.
const FILLERS: usize = 2;
/// Jobs of a batch whose rate is measured.
const BATCH: usize = 100;

/// Durable submits while the queue is paused.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SubmitFigures {
    /// One job a request, beside an actix-web handler that only reads the same JSON.
    pub single: Paired,
    /// Jobs per second in batches of [`BatchFigures::jobs`].
    pub batch: BatchFigures,
}

/// Submits in batches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BatchFigures {
    /// Jobs of a batch.
    pub jobs: usize,
    /// Jobs accepted per second.
    pub jobs_per_s: f64,
}

/// What waiting jobs weigh.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct QueuedFigures {
    /// Jobs that wait.
    pub jobs: usize,
    /// Resident memory that they added to the process, per job.
    pub bytes_per_job: f64,
    /// Resident memory of the whole process, the measuring client included.
    pub resident_bytes: u64,
}

/// A start over a full queue.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RestartFigures {
    /// Jobs that waited.
    pub jobs: usize,
    /// From the start to the first answer that says ready.
    pub ready_ms: f64,
}

fn void(failure: Failure) -> BenchError {
    BenchError::Void(failure.message)
}

/// Submits one by one, turn by turn with the bare handler, then in batches.
pub async fn submits(node: &Embedded, options: &BenchOptions) -> Result<SubmitFigures, BenchError> {
    let client = load::client(node);
    client.queue("pause").await.map_err(void)?;
    let bare = BareHandler::start()?;
    let bare_client = Client::new(&bare.url, None);
    let body = job("true");
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let mut pair = [0.0; 2];
        for (client, per_s) in [&bare_client, &client].into_iter().zip(&mut pair) {
            let once = async || client.post_only("/v1/jobs", &body).await.map_err(void);
            *per_s = load::closed_loop(options.span, options.connections, once).await?.per_s;
        }
        rounds.push((pair[0], pair[1]));
    }
    bare.stop().await;
    let batch = BatchBody { jobs: vec![job("true"); BATCH], all_or_nothing: true };
    let once = async || client.post_only("/v1/jobs/batch", &batch).await.map_err(void);
    let done = load::closed_loop(options.span, options.connections, once).await?;
    let batch = BatchFigures { jobs: BATCH, jobs_per_s: done.per_s * BATCH as f64 };
    Ok(SubmitFigures { single: Paired::of(&rounds), batch })
}

/// Fills the queue, which is paused, with as many jobs as asked.
pub async fn memory(node: &Embedded, options: &BenchOptions) -> Result<QueuedFigures, BenchError> {
    let client = load::client(node);
    client.queue("pause").await.map_err(void)?;
    let before = resident_bytes()?;
    let batches = options.queued.div_ceil(MAX_BATCH_JOBS);
    let sizes = (0..batches).map(|at| MAX_BATCH_JOBS.min(options.queued - at * MAX_BATCH_JOBS));
    let sizes: Vec<usize> = sizes.collect();
    let fill = async |size: &usize| {
        let batch = BatchBody { jobs: vec![job("true"); *size], all_or_nothing: true };
        client.post_only("/v1/jobs/batch", &batch).await.map_err(void)
    };
    load::each(&sizes, FILLERS, fill).await?;
    let resident = resident_bytes()?;
    let added = resident.saturating_sub(before) as f64;
    let bytes_per_job = if options.queued > 0 { added / options.queued as f64 } else { 0.0 };
    Ok(QueuedFigures { jobs: options.queued, bytes_per_job, resident_bytes: resident })
}

/// Starts over what the last node left, until it says that it is ready.
pub async fn restart(
    start: impl AsyncFn() -> Result<Embedded, NodeError>,
    jobs: usize,
) -> Result<RestartFigures, BenchError> {
    let began = clock::moment();
    let node = start().await?;
    load::client(&node).ready().await.map_err(void)?;
    let ready_ms = began.elapsed().as_secs_f64() * 1000.0;
    node.stop().await;
    Ok(RestartFigures { jobs, ready_ms })
}

/// Resident memory of this process.
fn resident_bytes() -> Result<u64, BenchError> {
    let read = std::fs::read_to_string("/proc/self/status").map_err(BenchError::system("resident memory"))?;
    let line = read.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| BenchError::Void("the kernel tells no resident memory".into()))
}

/// An actix-web server with as many threads as ours, whose one handler reads the JSON of a submit and does nothing.
struct BareHandler {
    url: String,
    handle: actix_web::dev::ServerHandle,
}

impl BareHandler {
    fn start() -> Result<Self, BenchError> {
        let failed = || BenchError::system("the bare handler");
        let route = || web::post().to(|_: web::Json<SubmitBody>| async { HttpResponse::Accepted().finish() });
        let server = HttpServer::new(move || App::new().route("/v1/jobs", route()))
            .workers(HttpConfig::default().workers)
            .disable_signals()
            .bind(("127.0.0.1", 0))
            .map_err(failed())?;
        let url = server.addrs().first().map(|address| format!("http://{address}")).unwrap_or_default();
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Ok(Self { url, handle })
    }

    async fn stop(self) {
        self.handle.stop(false).await;
    }
}
