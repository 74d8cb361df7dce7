//! The actor graph alone: no HTTP, no disk, no processes.

use std::time::Duration;

use callboard_actors::clock;
use callboard_actors::exec::NoopExecutor;
use callboard_actors::graph::{Builder, ExecutorChoice};
use callboard_actors::model::JobSpec;
use callboard_actors::protocol::jobs::{Submission, SubmitJobs};
use serde::Serialize;

use super::BenchError;
use super::figures::rate;
use crate::node::NodeError;

/// Jobs of the measurement.
const JOBS: usize = 100_000;
/// Jobs of one submit.
const BATCH: usize = 1000;
/// Slots of the executor that runs nothing.
const SLOTS: u32 = 256;
/// How often the count is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Longest that all of it may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Jobs through the four actors, with a store in memory and an executor that ends each at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SchedulerFigures {
    /// Jobs.
    pub jobs: usize,
    /// Jobs per second, from the first submit to the last end.
    pub jobs_per_s: f64,
}

/// Measures it.
pub async fn measure() -> Result<SchedulerFigures, BenchError> {
    let executor = ExecutorChoice::Custom(Box::new(|events| Box::new(NoopExecutor::new(SLOTS, events))));
    let platform = Builder::new(executor).start().await.map_err(NodeError::from)?;
    let began = clock::moment();
    let handle = platform.handle();
    let spec = JobSpec::shell("true");
    for _ in 0..JOBS / BATCH {
        let jobs = vec![Submission::from(spec.clone()); BATCH];
        let results = handle.submit(SubmitJobs { jobs, all_or_nothing: true }).await;
        let refused = results.into_iter().find_map(Result::err);
        refused.map_or(Ok(()), |error| Err(BenchError::Void(error.to_string())))?;
    }
    while completed(&handle.metrics().await.unwrap_or_default()) < JOBS {
        if began.elapsed() > PATIENCE {
            return Err(BenchError::Void("the scheduler alone did not end its jobs".into()));
        }
        actix_rt::time::sleep(LOOK).await;
    }
    let elapsed = began.elapsed();
    platform.stop(0).await;
    Ok(SchedulerFigures { jobs: JOBS, jobs_per_s: rate(JOBS, elapsed) })
}

/// How many jobs the metrics count as completed.
fn completed(metrics: &str) -> usize {
    let line = metrics.lines().find_map(|line| line.strip_prefix("jobs_completed_total "));
    line.and_then(|value| value.parse::<f64>().ok()).map_or(0, |count| count as usize)
}
