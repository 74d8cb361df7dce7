//! The Scheduler between probes: what it proposes, and to whom it says so.

use actix::{Actor, Addr, Message};
use callboard_actors::clock;
use callboard_actors::link::LivenessTimers;
use callboard_actors::model::{
    ClassId, Cordon, Eligibility, Incarnation, JobId, Needs, NodeId, Requires, RunnerSpec, WaitReason,
};
use callboard_actors::policy::placement::PlacementRule;
use callboard_actors::protocol::DeathGuard;
use callboard_actors::protocol::metrics::QueueMeasured;
use callboard_actors::protocol::notices::RunnerChanged;
use callboard_actors::protocol::scheduling::{
    DoubtNode, EnqueueJobs, ExplainJobs, ForgetNode, ListRunners, PauseQueue, ReleaseSlot, RunnerLost,
    SetCapacity, SetEligibility, Silence, StartJobs, WithdrawJobs,
};
use callboard_actors::scheduler::{Scheduler, SchedulerPeers};
use callboard_actors::testing::{Probe, in_class, node_life, waiting};
use tokio::sync::mpsc;

const LIFE: Incarnation = Incarnation(1);
const PLAIN: ClassId = ClassId(0);
const OTHER: ClassId = ClassId(3);

/// A Scheduler, and what it proposes.
struct Rig {
    scheduler: Addr<Scheduler>,
    starts: Probe<StartJobs>,
    lost: Probe<RunnerLost>,
    _deaths: mpsc::UnboundedReceiver<&'static str>,
}

impl Rig {
    fn start() -> Self {
        Self::with(LivenessTimers::default(), PlacementRule::default())
    }

    fn with(timers: LivenessTimers, rule: PlacementRule) -> Self {
        let (starts, lost) = (Probe::<StartJobs>::start(), Probe::<RunnerLost>::start());
        let peers = SchedulerPeers {
            start: starts.recipient(),
            lost: lost.recipient(),
            listeners: vec![Probe::<RunnerChanged>::start().recipient()],
            measured: Probe::<QueueMeasured>::start().recipient(),
        };
        let (died, deaths) = mpsc::unbounded_channel();
        let scheduler = Scheduler::new(peers, timers, false, DeathGuard::new("scheduler", died));
        Self { scheduler: scheduler.by_rule(rule).start(), starts, lost, _deaths: deaths }
    }

    async fn tell<M>(&self, message: M) -> M::Result
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Scheduler: actix::Handler<M>,
        <Scheduler as Actor>::Context: actix::dev::ToEnvelope<Scheduler, M>,
    {
        self.scheduler.send(message).await.expect("the scheduler lives")
    }

    /// A node with so many slots and this label.
    async fn add(&self, slots: u32, label: Option<(&str, &str)>) -> NodeId {
        let node = clock::new_node_id();
        let labels = label.map(|(key, value)| (key.into(), value.into())).into_iter().collect();
        self.report(node, slots, RunnerSpec { slots, labels, ..RunnerSpec::default() }).await;
        node
    }

    async fn report(&self, node: NodeId, usable_slots: u32, spec: RunnerSpec) {
        let life = Some(node_life(spec, clock::uptime_ms()));
        self.tell(SetCapacity { node, incarnation: LIFE, usable_slots, life }).await;
    }

    async fn enqueue(&self, jobs: &[JobId]) {
        self.tell(EnqueueJobs { jobs: waiting(jobs), at_front: false }).await;
    }

    async fn enqueue_on(&self, label: (&str, &str), jobs: &[JobId]) {
        let labels = [(label.0.into(), label.1.into())].into();
        let needs = Needs { requires: Requires { labels, runner: None }, ..Needs::default() };
        self.tell(EnqueueJobs { jobs: in_class(OTHER, &needs, jobs), at_front: false }).await;
    }

    async fn release(&self, node: NodeId) {
        self.tell(ReleaseSlot { node, incarnation: LIFE, count: 1 }).await;
    }

    fn proposed(&self) -> Vec<(JobId, NodeId)> {
        let placements = self.starts.take().into_iter().flat_map(|message| message.placements);
        placements.map(|placement| (placement.job, placement.node)).collect()
    }

    fn proposed_jobs(&self) -> Vec<JobId> {
        self.proposed().into_iter().map(|(job, _)| job).collect()
    }

    async fn state_of(&self, node: NodeId) -> Option<&'static str> {
        let runners = self.tell(ListRunners).await;
        runners.nodes.iter().find(|runner| runner.id == node).map(|runner| runner.state)
    }
}

fn jobs(count: u8) -> Vec<JobId> {
    (1..=count).map(|n| JobId::from_bytes([n; 16])).collect()
}

fn cordoned() -> Eligibility {
    Eligibility::Cordoned(Cordon { by: "operator".into(), ..Cordon::default() })
}

#[actix::test]
async fn jobs_are_proposed_in_order_as_far_as_there_is_room_and_nobody_paused_it() {
    let (rig, jobs) = (Rig::start(), jobs(5));
    rig.enqueue(&jobs).await;
    assert_eq!(rig.proposed_jobs(), [], "there is no node yet");
    let node = rig.add(2, None).await;
    assert_eq!(rig.proposed_jobs(), jobs[..2]);
    rig.tell(WithdrawJobs { jobs: vec![(jobs[2], PLAIN)] }).await;
    rig.tell(PauseQueue { paused: true }).await;
    rig.release(node).await;
    assert_eq!(rig.proposed_jobs(), [], "it is paused");
    assert_eq!(rig.tell(ExplainJobs).await.of(PLAIN), WaitReason::QueuePaused);
    rig.tell(PauseQueue { paused: false }).await;
    assert_eq!(rig.proposed_jobs(), [jobs[3]]);
    rig.tell(ReleaseSlot { node, incarnation: Incarnation(2), count: 1 }).await;
    assert_eq!(rig.proposed_jobs(), [], "no slot of this life of the node is free");
}

#[actix::test]
async fn a_job_that_no_node_can_take_holds_up_no_other_and_goes_first_when_one_can() {
    let (rig, jobs) = (Rig::start(), jobs(5));
    let plain = rig.add(1, None).await;
    rig.enqueue_on(("gpu", "a100"), &jobs[..1]).await;
    rig.enqueue(&jobs[1..4]).await;
    rig.enqueue_on(("gpu", "a100"), &jobs[4..]).await;
    assert_eq!(rig.proposed(), [(jobs[1], plain)]);
    let reasons = rig.tell(ExplainJobs).await;
    assert_eq!(reasons.of(OTHER), WaitReason::NoCapableRunner);
    assert_eq!(reasons.of(PLAIN), WaitReason::Resources);
    let gpu = rig.add(3, Some(("gpu", "a100"))).await;
    assert_eq!(rig.proposed(), [(jobs[0], gpu), (jobs[2], gpu), (jobs[3], gpu)], "in order of arrival");
    assert_eq!(rig.tell(ExplainJobs).await.of(OTHER), WaitReason::Resources);
    rig.release(plain).await;
    assert_eq!(rig.proposed(), [], "the plain node still cannot");
    rig.release(gpu).await;
    assert_eq!(rig.proposed(), [(jobs[4], gpu)]);
}

#[actix::test]
async fn a_job_that_comes_back_is_first_in_its_class() {
    let (rig, jobs) = (Rig::start(), jobs(3));
    rig.enqueue(&jobs[..2]).await;
    rig.tell(EnqueueJobs { jobs: waiting(&jobs[2..]), at_front: true }).await;
    rig.add(3, None).await;
    assert_eq!(rig.proposed_jobs(), [jobs[2], jobs[0], jobs[1]]);
}

#[actix::test]
async fn equal_nodes_take_turns_also_when_each_job_is_over_before_the_next_comes() {
    for rule in PlacementRule::ALL {
        let (rig, jobs) = (Rig::with(LivenessTimers::default(), rule), jobs(6));
        rig.add(2, None).await;
        rig.add(2, None).await;
        let mut chosen = Vec::new();
        for job in &jobs {
            rig.enqueue(&[*job]).await;
            let placed = rig.proposed();
            rig.release(placed[0].1).await;
            chosen.push(placed[0].1);
        }
        assert!(chosen.windows(2).all(|pair| pair[0] != pair[1]), "{rule:?}");
    }
}

#[actix::test]
async fn a_node_that_is_cordoned_doubted_or_removed_is_given_nothing() {
    let (rig, jobs) = (Rig::start(), jobs(4));
    let node = rig.add(4, None).await;
    rig.tell(SetEligibility { node, eligibility: cordoned() }).await;
    rig.enqueue(&jobs[..1]).await;
    assert_eq!(rig.proposed(), []);
    assert_eq!(rig.tell(ExplainJobs).await.of(PLAIN), WaitReason::Resources, "it may be resumed");
    rig.tell(SetEligibility { node, eligibility: Eligibility::Eligible }).await;
    assert_eq!(rig.proposed(), [(jobs[0], node)]);

    rig.tell(DoubtNode { node, incarnation: Incarnation(9) }).await;
    rig.enqueue(&jobs[1..2]).await;
    assert_eq!(rig.proposed(), [(jobs[1], node)], "another life of it was meant");
    rig.tell(DoubtNode { node, incarnation: LIFE }).await;
    rig.enqueue(&jobs[2..3]).await;
    assert_eq!((rig.proposed(), rig.state_of(node).await), (vec![], Some("suspect")));
    rig.tell(SetCapacity { node, incarnation: LIFE, usable_slots: 4, life: None }).await;
    assert_eq!((rig.proposed(), rig.state_of(node).await), (vec![(jobs[2], node)], Some("ready")));

    rig.tell(ForgetNode { node }).await;
    rig.enqueue(&jobs[3..]).await;
    assert_eq!((rig.proposed(), rig.state_of(node).await), (vec![], None));
    assert_eq!(rig.tell(ExplainJobs).await.of(PLAIN), WaitReason::NoCapableRunner);
}

#[actix::test]
async fn a_lost_node_is_remembered_and_is_given_work_only_after_it_has_told_what_it_holds() {
    let timers = LivenessTimers {
        heartbeat_ms: 5,
        suspect_ms: 12,
        unreachable_ms: 15,
        lost_ms: 20,
        recovery_ms: 1,
        ..LivenessTimers::test()
    };
    let (rig, jobs) = (Rig::with(timers, PlacementRule::default()), jobs(1));
    let node = rig.add(1, None).await;
    let deadline = clock::moment();
    while rig.state_of(node).await != Some("lost") {
        assert!(deadline.elapsed_ms() < 20_000, "it is judged once a second");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(rig.lost.take().last().map(|lost| (lost.node, lost.meaning)), Some((node, Silence::GivenUp)));
    rig.enqueue(&jobs).await;
    assert_eq!(rig.proposed(), []);
    rig.report(node, 1, RunnerSpec::default()).await;
    assert_eq!(rig.proposed(), [(jobs[0], node)]);
}

#[actix::test]
async fn nobody_is_given_up_while_most_nodes_are_silent_together() {
    let timers = LivenessTimers {
        heartbeat_ms: 5,
        suspect_ms: 12,
        unreachable_ms: 15,
        lost_ms: 20,
        recovery_ms: 1,
        ..LivenessTimers::test()
    };
    let rig = Rig::with(timers, PlacementRule::default());
    let nodes = [rig.add(1, None).await, rig.add(1, None).await, rig.add(1, None).await];
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    for node in nodes {
        assert_eq!(rig.state_of(node).await, Some("suspect"));
    }
    assert!(rig.lost.take().is_empty());
}
