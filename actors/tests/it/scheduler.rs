//! The Scheduler between probes: what it proposes, and to whom it says so.

use actix::Actor;
use callboard_actors::clock;
use callboard_actors::link::LivenessTimers;
use callboard_actors::model::{Incarnation, JobId};
use callboard_actors::protocol::DeathGuard;
use callboard_actors::protocol::metrics::QueueMeasured;
use callboard_actors::protocol::notices::RunnerChanged;
use callboard_actors::protocol::scheduling::{
    EnqueueJobs, PauseQueue, ReleaseSlot, RunnerLost, SetCapacity, StartJobs, WithdrawJobs,
};
use callboard_actors::scheduler::{Scheduler, SchedulerPeers};
use callboard_actors::testing::Probe;
use tokio::sync::mpsc;

fn proposed(probe: &Probe<StartJobs>) -> Vec<JobId> {
    let placements = probe.take().into_iter().flat_map(|message| message.placements);
    placements.map(|placement| placement.job).collect()
}

#[actix::test]
async fn jobs_are_proposed_in_order_as_far_as_there_is_room_and_nobody_paused_it() {
    let starts = Probe::<StartJobs>::start();
    let peers = SchedulerPeers {
        start: starts.recipient(),
        lost: Probe::<RunnerLost>::start().recipient(),
        listeners: vec![Probe::<RunnerChanged>::start().recipient()],
        measured: Probe::<QueueMeasured>::start().recipient(),
    };
    let (died, _deaths) = mpsc::unbounded_channel();
    let guard = DeathGuard::new("scheduler", died);
    let scheduler = Scheduler::new(peers, LivenessTimers::default(), false, guard).start();
    let (node, incarnation) = (clock::new_node_id(), Incarnation(1));
    let jobs: Vec<JobId> = (1..=5).map(|n| JobId::from_bytes([n; 16])).collect();
    let said = "the scheduler lives";

    scheduler.send(EnqueueJobs { jobs: jobs.clone(), at_front: false }).await.expect(said);
    assert_eq!(proposed(&starts), [], "there is no node yet");
    let capacity = SetCapacity { node, incarnation, usable_slots: 2, taken: Some(0) };
    scheduler.send(capacity).await.expect(said);
    assert_eq!(proposed(&starts), jobs[..2]);
    scheduler.send(WithdrawJobs { jobs: vec![jobs[2]] }).await.expect(said);
    scheduler.send(PauseQueue { paused: true }).await.expect(said);
    scheduler.send(ReleaseSlot { node, incarnation, count: 1 }).await.expect(said);
    assert_eq!(proposed(&starts), [], "it is paused");
    scheduler.send(PauseQueue { paused: false }).await.expect(said);
    assert_eq!(proposed(&starts), [jobs[3]]);
    scheduler.send(ReleaseSlot { node, incarnation: Incarnation(2), count: 1 }).await.expect(said);
    assert_eq!(proposed(&starts), [], "no slot of this life of the node is free");
}
