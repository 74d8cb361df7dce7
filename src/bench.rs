//! Measures this machine and the platform on it, in one run: what the kernel alone can spawn, what the same jobs cost
//! through HTTP, actors and a durable store, and what waiting jobs weigh. It counts nothing that it has not read back
//! from the disk, and it judges nothing: targets are written in docs/PERFORMANCE.md.

mod durable;
mod figures;
mod load;
mod machine;
mod nodes;
mod queue;
mod remote;
mod report;
mod rooms;
mod scheduler;
mod throughput;

use std::path::PathBuf;
use std::time::Duration;

pub use machine::cores as machine_cores;
pub use nodes::{NodeCounts, NodesReport, run as run_nodes};
pub use remote::{RemoteReport, run as run_remote};
pub use report::Report;
pub use rooms::{RoomsReport, run as run_rooms};

use crate::config::JobUser;
use crate::http::HttpConfig;
use crate::node::NodeError;
use crate::node::embedded::{Embedded, EmbeddedOptions};

/// What is measured and for how long.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Length of one measurement.
    pub span: Duration,
    /// How often each pair of measurements is repeated.
    pub rounds: usize,
    /// Jobs that run at once.
    pub slots: usize,
    /// Requests that are under way at once.
    pub connections: usize,
    /// Jobs that wait in the measurement of memory and restart.
    pub queued: usize,
    /// Folder for the database, which is left empty; a temporary one when absent.
    pub data_dir: Option<PathBuf>,
    /// Who jobs run as; the caller when absent.
    pub user: Option<JobUser>,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The platform did not start.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The platform did not answer as it must.
    #[error("the measurement is void: {0}")]
    Void(String),
    /// A file or a process of the measurement itself failed.
    #[error("cannot measure ({what}): {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl BenchError {
    fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// Runs every measurement, with a word to `say` before each. Takes about half a minute with the defaults.
///
/// # Errors
/// [`BenchError`]: a measurement that cannot be trusted is no figure.
pub async fn run(options: &BenchOptions, say: impl Fn(&str)) -> Result<Report, BenchError> {
    let folder = folder(options)?;
    let start = async |kept: &str| start(options, folder.path().join(kept)).await;
    say("the disk");
    let machine = machine::look(folder.path())?;
    // First of all, because memory that other measurements have used and left would be used again, unseen.
    say("queued jobs and a restart");
    let node = start("queue").await?;
    let queued = queue::memory(&node, options).await?;
    node.stop().await;
    let restart = queue::restart(async || start("queue").await, queued.jobs).await?;
    say("throughput");
    let node = start("jobs").await?;
    let throughput = throughput::measure(&node, options).await?;
    say("latency");
    let latency = throughput::latency(&node, options).await?;
    say("jobs with output");
    let echoed = throughput::echo(&node, options).await?;
    let setting = report::Setting::of(&node, options);
    node.stop().await;
    say("reading every record back from the disk");
    let node = start("jobs").await?;
    let verified = durable::verify(&node, &throughput.ids, &latency.ids, &echoed).await?;
    say("submits");
    let submits = queue::submits(&node, options).await?;
    node.stop().await;
    say("the scheduler alone");
    let scheduler = scheduler::measure().await?;
    Ok(Report {
        machine,
        setting,
        throughput: throughput.figures,
        latency: latency.figures,
        verified,
        submits,
        queued,
        restart,
        scheduler,
    })
}

fn folder(options: &BenchOptions) -> Result<tempfile::TempDir, BenchError> {
    let mut folder = tempfile::Builder::new();
    let folder = folder.prefix("callboard-bench-");
    let folder = match &options.data_dir {
        Some(parent) => folder.tempdir_in(parent),
        None => folder.tempdir(),
    };
    folder.map_err(BenchError::system("a folder for the database"))
}

async fn start(options: &BenchOptions, data_dir: PathBuf) -> Result<Embedded, NodeError> {
    let (slots, user) = (options.slots, options.user.clone());
    let workers = HttpConfig::default().workers;
    Embedded::start(EmbeddedOptions { slots, data_dir: Some(data_dir), user, workers }).await
}
