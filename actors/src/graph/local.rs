//! The node beside the Coordinator: what runs its jobs, what it says of itself, how it registers.

use std::path::PathBuf;
use std::sync::Arc;

use actix::Addr;

use super::{ExecutorChoice, StartError};
use crate::coordinator::Coordinator;
use crate::exec::{ExecEvents, Executor, ProcessExecutor};
use crate::model::meter::Meter;
use crate::model::{AdmissionRules, Limits, RunnerSpec, StoreSummary};
use crate::protocol::RunnerHandle;
use crate::protocol::platform::PlatformFacts;
use crate::protocol::runner::{BeginReporting, RegisterRunner, Tie};
use crate::runner::Runner;

/// Where output is to be spooled, and how many jobs are to run at once.
pub(super) fn wanted(executor: &ExecutorChoice) -> (Option<PathBuf>, u32) {
    match executor {
        ExecutorChoice::Process(config) => (Some(config.spool_dir.clone()), config.slots),
        ExecutorChoice::Custom(_) => (None, 0),
    }
}

/// What the platform tells about itself.
pub(super) fn facts(
    limits: &Limits,
    (rules, store, job_uid, warnings): (AdmissionRules, StoreSummary, u32, Vec<String>),
    executor: &dyn Executor,
) -> PlatformFacts {
    let (limits, isolation, rooms) = (limits.clone(), executor.isolation(), executor.rooms());
    PlatformFacts { limits, rules, store, isolation, rooms, job_uid, warnings }
}

/// A Runner beside the Coordinator registers like any other node.
pub(super) async fn register(
    coordinator: &Addr<Coordinator>,
    runner: &Addr<Runner>,
    handle: &RunnerHandle,
    spec: &RunnerSpec,
    heartbeat_ms: u64,
) -> Result<(), StartError> {
    let register = RegisterRunner { handle: handle.clone(), spec: Arc::new(spec.clone()) };
    let registration = coordinator.send(register).await.map_err(|_| StartError::Died)??;
    let report = coordinator.clone().recipient();
    let begin = BeginReporting { registration, report, heartbeat_ms, tie: Tie::Beside, fence: None };
    Ok(runner.send(begin).await.map_err(|_| StartError::Died)??)
}

pub(super) async fn make_executor(
    choice: ExecutorChoice,
    events: ExecEvents,
    meter: &Meter,
) -> Result<Box<dyn Executor>, StartError> {
    let executor: Box<dyn Executor> = match choice {
        ExecutorChoice::Process(config) => Box::new(ProcessExecutor::start(config, events).await?),
        ExecutorChoice::Custom(make) => make(events),
    };
    // A meter that two platforms share shows the rooms of the first.
    let _ = meter.rooms.set(executor.rooms());
    Ok(executor)
}
