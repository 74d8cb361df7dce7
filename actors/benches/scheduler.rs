//! The Scheduler between probes: from jobs that arrive to proposals, with nothing and with much waiting.

use actix::{Actor, Addr};
use callboard_actors::clock;
use callboard_actors::link::LivenessTimers;
use callboard_actors::model::{ClassId, Incarnation, JobId, NodeId, RunnerSpec};
use callboard_actors::protocol::DeathGuard;
use callboard_actors::protocol::metrics::QueueMeasured;
use callboard_actors::protocol::notices::RunnerChanged;
use callboard_actors::protocol::scheduling::{
    EnqueueJobs, ReleaseSlot, RunnerLost, SetCapacity, StartJobs, WithdrawJobs,
};
use callboard_actors::scheduler::{Scheduler, SchedulerPeers};
use callboard_actors::testing::{Probe, node_life, waiting};
use criterion::{Criterion, Throughput};
use tokio::sync::mpsc;

/// Jobs of one round.
const JOBS: u32 = 1000;
/// Jobs that wait all the while in the second bench.
const WAITING: usize = 100_000;
const LIFE: Incarnation = Incarnation(1);

/// A Scheduler, and what it proposes.
struct Rig {
    scheduler: Addr<Scheduler>,
    starts: Probe<StartJobs>,
    node: NodeId,
}

impl Rig {
    /// With one node of so many slots.
    async fn start(usable_slots: u32) -> Self {
        let starts = Probe::<StartJobs>::start();
        let peers = SchedulerPeers {
            start: starts.recipient(),
            lost: Probe::<RunnerLost>::start().recipient(),
            listeners: vec![Probe::<RunnerChanged>::start().recipient()],
            measured: Probe::<QueueMeasured>::start().recipient(),
        };
        let guard = DeathGuard::new("scheduler", mpsc::unbounded_channel().0);
        let scheduler = Scheduler::new(peers, LivenessTimers::default(), false, guard).start();
        let node = clock::new_node_id();
        let life = Some(node_life(RunnerSpec::default(), clock::uptime_ms()));
        let capacity = SetCapacity { node, incarnation: LIFE, usable_slots, life };
        scheduler.send(capacity).await.expect("the scheduler lives");
        Self { scheduler, starts, node }
    }

    async fn enqueue(&self, jobs: Vec<JobId>) {
        let jobs = waiting(&jobs);
        self.scheduler.send(EnqueueJobs { jobs, at_front: false }).await.expect("the scheduler lives");
    }

    /// Jobs that all have room: queued, proposed, and their slots given back.
    async fn place(&self, jobs: Vec<JobId>) {
        self.enqueue(jobs).await;
        let release = ReleaseSlot { node: self.node, incarnation: LIFE, count: JOBS };
        self.scheduler.send(release).await.expect("the scheduler lives");
        let proposed: usize = self.starts.take().iter().map(|message| message.placements.len()).sum();
        assert_eq!(proposed, JOBS as usize, "every job is proposed once");
    }

    /// Jobs that have no room: queued, and taken out again.
    async fn withdraw(&self, jobs: Vec<JobId>) {
        self.enqueue(jobs.clone()).await;
        let jobs = jobs.into_iter().map(|job| (job, ClassId::default())).collect();
        self.scheduler.send(WithdrawJobs { jobs }).await.expect("the scheduler lives");
        assert!(self.starts.take().is_empty(), "there is no room");
    }
}

fn jobs(count: usize) -> Vec<JobId> {
    (0..count).map(|_| clock::new_job_id()).collect()
}

/// Measures it.
pub fn measure(criterion: &mut Criterion) {
    let system = actix::System::new();
    let mut group = criterion.benchmark_group("scheduler");
    group.throughput(Throughput::Elements(u64::from(JOBS)));
    let rig = system.block_on(Rig::start(JOBS));
    let batch = jobs(JOBS as usize);
    group.bench_function("enqueue, propose and release 1000 jobs", |bencher| {
        bencher.iter(|| system.block_on(rig.place(batch.clone())));
    });
    let rig = system.block_on(Rig::start(0));
    system.block_on(rig.enqueue(jobs(WAITING)));
    group.bench_function("enqueue and withdraw 1000 jobs behind 100000", |bencher| {
        bencher.iter(|| system.block_on(rig.withdraw(jobs(JOBS as usize))));
    });
    group.finish();
}
