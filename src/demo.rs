//! A whole platform in this process, and a workload of every kind on it, watched to its end. What is shown of it is not
//! known here, and nothing is judged but whether each job ended as it was planned.

mod plan;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use callboard_actors::clock;

pub use plan::{Planned, WORKLOAD};

use crate::cli::{Client, Failure, is_over};
use crate::config::{Environment, NodeConfig};
use crate::http::ServeError;
use crate::http::api::{CancelBody, JobBody};
use crate::node::{Node, NodeError};

/// Time between two looks at the jobs.
const LOOK: Duration = Duration::from_millis(100);
/// Time after which a job that is not over has not ended as planned: each is planned to take a few seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// How a demo is run.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Where it listens. The usual address, or a free port when that is taken, unless said.
    pub bind: Option<SocketAddr>,
    /// Jobs that run at once.
    pub slots: usize,
    /// Folder of everything; a temporary one when absent.
    pub data_dir: Option<PathBuf>,
}

/// A running demo.
pub struct Demo {
    /// Its node.
    pub node: Node,
    /// Where it answers.
    pub url: String,
    /// The port that it would have had, if that was taken.
    pub taken: Option<u16>,
    /// Its temporary folder, which goes with this.
    pub folder: Option<tempfile::TempDir>,
}

impl Demo {
    /// Starts it.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(options: &DemoOptions) -> Result<Self, NodeError> {
        let mut config = NodeConfig::defaults(&Environment::of_process())?;
        let wanted = options.data_dir.clone();
        let made = wanted.is_none().then(|| tempfile::Builder::new().prefix("callboard-demo-").tempdir());
        let folder = made.transpose();
        let folder = folder.map_err(|source| NodeError::DataDir { path: "of the demo".into(), source })?;
        let made = folder.as_ref().map(|folder| folder.path().to_owned());
        config.server.data_dir = wanted.or(made).unwrap_or_default();
        config.server.slots = options.slots;
        if let Some(bind) = options.bind {
            config.server.bind = vec![bind];
        }
        let (node, taken) = match Node::start(&config).await {
            Err(NodeError::Serve(ServeError::InUse { address })) if options.bind.is_none() => {
                config.server.bind = vec![SocketAddr::new(address.ip(), 0)];
                (Node::start(&config).await?, Some(address.port()))
            }
            started => (started?, None),
        };
        let url = node.urls().into_iter().next().unwrap_or_default();
        Ok(Self { node, url, taken, folder })
    }
}

/// A planned job as it is now.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What was planned.
    pub planned: &'static Planned,
    /// What there is.
    pub job: JobBody,
}

impl Shown {
    /// How it ended otherwise than planned; none when all is well, or it is not over.
    pub fn surprise(&self) -> Option<String> {
        self.planned.surprise(&self.job)
    }

    /// Whether it ended as planned; none when it is not over.
    pub fn verdict(&self) -> Option<bool> {
        is_over(&self.job).then(|| self.surprise().is_none())
    }
}

/// Submits the workload to the node at `url` and watches it to its end; `show` is called with all jobs whenever one of
/// them has changed. Returns what did not go as planned, one line each.
///
/// # Errors
/// When the node does not answer.
pub async fn perform(url: &str, mut show: impl FnMut(&[Shown])) -> Result<Vec<String>, Failure> {
    let client = Client::new(url, None);
    let mut jobs = Vec::with_capacity(WORKLOAD.len());
    for planned in WORKLOAD {
        jobs.push(Shown { planned, job: client.submit(&planned.body(), 0, None).await? });
    }
    show(&jobs);
    let began = clock::moment();
    while jobs.iter().any(|shown| !is_over(&shown.job)) && began.elapsed() < PATIENCE {
        actix_rt::time::sleep(LOOK).await;
        if look(&client, &mut jobs).await? {
            show(&jobs);
        }
    }
    let late = |shown: &Shown| {
        let (name, status, seconds) = (shown.planned.name, &shown.job.status, PATIENCE.as_secs());
        (!is_over(&shown.job)).then(|| format!("{name} is still {status} after {seconds} s"))
    };
    Ok(jobs.iter().filter_map(|shown| shown.surprise().or_else(|| late(shown))).collect())
}

/// Brings the jobs up to date, and cancels those that are to be cancelled once they run. Whether one has changed.
async fn look(client: &Client, jobs: &mut [Shown]) -> Result<bool, Failure> {
    let mut changed = false;
    for shown in jobs.iter_mut().filter(|shown| !is_over(&shown.job)) {
        let mut job = client.job(&shown.job.id, 0).await?;
        if shown.planned.is_cancelled && job.status == "running" && !job.cancelling {
            // What cannot be cancelled has ended, which the next look finds.
            job = client.act(&job.id, "cancel", &CancelBody::default()).await.unwrap_or(job);
        }
        changed |= job.status != shown.job.status;
        shown.job = job;
    }
    Ok(changed)
}
