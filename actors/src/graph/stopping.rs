//! The end of a platform: who is told to stop, in which order, and how long each may take.

use std::time::Duration;

use actix::Addr;

use super::StopRequests;
use super::far::Far;
use super::ties::Hearers;
use crate::coordinator::Coordinator;
use crate::protocol::metrics::Shutdown;
use crate::protocol::runner::DrainNode;
use crate::runner::Runner;
use crate::scheduler::Scheduler;

/// Longest that an actor may take to answer its `Shutdown`, beyond the grace.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// Waits for the request to stop, then stops dispatch, the runner, the records and the metrics, in this order.
pub(super) async fn when_asked(
    mut asked: StopRequests,
    coordinator: Addr<Coordinator>,
    scheduler: Addr<Scheduler>,
    runner: Addr<Runner>,
    far: Far,
    hearers: Hearers,
) {
    let Some((grace_ms, done)) = asked.recv().await else {
        return;
    };
    let shutdown = Shutdown { grace_ms };
    let patience = Duration::from_millis(grace_ms) + STOP_PATIENCE;
    // An actor that is gone has nothing left to stop.
    let _ = scheduler.send(shutdown).await;
    let drained = runner.send(DrainNode { grace_ms }).timeout(patience).await;
    if drained.is_err() {
        log::error!("the runner did not drain in time");
    }
    let _ = runner.send(shutdown).await;
    if drained.unwrap_or(false) {
        far.say_goodbye().await;
    }
    far.leave(shutdown).await;
    if coordinator.send(shutdown).timeout(STOP_PATIENCE).await.is_err() {
        log::error!("the coordinator did not flush in time");
    }
    far.close(shutdown).await;
    hearers.stop(shutdown).await;
    // Whoever asked may have given up waiting.
    let _ = done.send(());
}
