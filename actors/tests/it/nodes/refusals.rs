//! Proposals that the Coordinator refuses: the slot comes back, and the job is not forgotten.

use std::sync::Arc;

use actix::Actor;
use callboard_actors::clock;
use callboard_actors::coordinator::{Coordinator, CoordinatorPeers, CoordinatorSetup};
use callboard_actors::link::LivenessTimers;
use callboard_actors::model::meter::Meter;
use callboard_actors::model::{HealthBoard, Incarnation, JobId, JobSpec, Limits, WaitReason};
use callboard_actors::protocol::DeathGuard;
use callboard_actors::protocol::jobs::SubmitJobs;
use callboard_actors::protocol::notices::JobChanged;
use callboard_actors::protocol::scheduling::{
    DoubtNode, EnqueueJobs, ExplainJobs, ForgetNode, NodeGone, Placement, ReleaseSlot, SetCapacity,
    SetEligibility, StartJobs, WaitReasons, WithdrawJobs,
};
use callboard_actors::secret::{KeySource, Vault};
use callboard_actors::store::memory::MemoryStore;
use callboard_actors::testing::Probe;
use tokio::sync::mpsc;

/// Says why jobs wait.
struct Reasons;

impl Actor for Reasons {
    type Context = actix::Context<Self>;
}

impl actix::Handler<ExplainJobs> for Reasons {
    type Result = actix::MessageResult<ExplainJobs>;

    fn handle(&mut self, _: ExplainJobs, _: &mut Self::Context) -> Self::Result {
        actix::MessageResult(WaitReasons::default())
    }
}

#[actix::test]
async fn a_job_whose_proposed_node_is_gone_waits_again_before_all_others() {
    let (enqueued, released) = (Probe::<EnqueueJobs>::start(), Probe::<ReleaseSlot>::start());
    let peers = CoordinatorPeers {
        enqueue: enqueued.recipient(),
        withdraw: Probe::<WithdrawJobs>::start().recipient(),
        release: released.recipient(),
        capacity: Probe::<SetCapacity>::start().recipient(),
        doubt: Probe::<DoubtNode>::start().recipient(),
        eligibility: Probe::<SetEligibility>::start().recipient(),
        forget: Probe::<ForgetNode>::start().recipient(),
        gone: Probe::<NodeGone>::start().recipient(),
        explain: Reasons.start().recipient(),
        listeners: vec![Probe::<JobChanged>::start().recipient()],
    };
    let board = Arc::new(HealthBoard::default());
    let setup = CoordinatorSetup {
        store: Arc::new(MemoryStore::new()),
        limits: Limits::default(),
        timers: LivenessTimers::default(),
        vault: Vault::shared(KeySource::Ephemeral, &board),
        board,
        meter: Arc::new(Meter::default()),
    };
    let guard = DeathGuard::new("coordinator", mpsc::unbounded_channel().0);
    let coordinator = Coordinator::new(setup, peers, Default::default(), guard).start();
    let said = "the coordinator lives";
    let submit = SubmitJobs { jobs: vec![JobSpec::shell("true").into()], all_or_nothing: true };
    let mut lines = coordinator.send(submit).await.expect(said);
    let view = lines.pop().expect("a line").expect("it is accepted").view;
    assert_eq!(view.waiting, Some(WaitReason::Resources));
    enqueued.take();

    let (node, incarnation) = (clock::new_node_id(), Incarnation(1));
    let place = |job| Placement { job, node, incarnation };
    let placements = vec![place(view.record.id), place(clock::new_job_id())];
    coordinator.send(StartJobs { placements }).await.expect(said);
    let freed: Vec<(_, u32)> = released.take().iter().map(|it| (it.node, it.count)).collect();
    assert_eq!(freed, [(node, 2)]);
    let again: Vec<(Vec<JobId>, bool)> = enqueued
        .take()
        .iter()
        .map(|message| (message.jobs.iter().map(|job| job.job).collect(), message.at_front))
        .collect();
    assert_eq!(again, [(vec![view.record.id], true)], "and not the job that nobody knows");
}
