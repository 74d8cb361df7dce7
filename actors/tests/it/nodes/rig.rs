//! A Coordinator, a Scheduler and as many Runners as a test wants, each a node of its own with a scripted executor.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context};
use callboard_actors::clock;
use callboard_actors::coordinator::{Coordinator, CoordinatorPeers, CoordinatorSetup, restore};
use callboard_actors::exec::{BaseEnv, ExecJob, NoopExecutor};
use callboard_actors::link::LivenessTimers;
use callboard_actors::model::meter::Meter;
use callboard_actors::model::{
    AttemptEnd, Eligibility, Exit, HealthBoard, JobId, JobSpec, JobView, Limits, NodeId, Requires,
    RunnerKind, RunnerSpec, Status,
};
use callboard_actors::protocol::jobs::{AwaitJob, GetJob, SubmitJobs};
use callboard_actors::protocol::metrics::{QueueMeasured, Shutdown};
use callboard_actors::protocol::notices::{JobChanged, RunnerChanged};
use callboard_actors::protocol::operate::{ChangeRunner, ChangeRunnerError, RunnerChange};
use callboard_actors::protocol::runner::{BeginReporting, RegisterError, RegisterRunner, Registration, Tie};
use callboard_actors::protocol::scheduling::ListRunners;
use callboard_actors::protocol::{DeathGuard, RunnerHandle, RunnerSummary};
use callboard_actors::runner::{Runner, RunnerSetup};
use callboard_actors::scheduler::{Scheduler, SchedulerPeers};
use callboard_actors::secret::{KeySource, Vault};
use callboard_actors::store::JobStore;
use callboard_actors::store::memory::MemoryStore;
use callboard_actors::testing::Probe;
use tokio::sync::{mpsc, oneshot};

const SAID: &str = "the actor lives";

pub fn ends_at_once(_: &ExecJob) -> Option<AttemptEnd> {
    Some(AttemptEnd::Exited(Exit::Code(0)))
}

/// A job for nodes with these labels, or of this name.
pub fn requiring(labels: &[(&str, &str)], runner: Option<&str>) -> JobSpec {
    let labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    JobSpec { requires: Requires { labels, runner: runner.map(Into::into) }, ..JobSpec::shell("true") }
}

pub struct Site {
    coordinator: Addr<Coordinator>,
    scheduler: Addr<Scheduler>,
    store: Arc<dyn JobStore>,
    limits: Limits,
    nodes: Vec<(NodeId, Addr<Runner>)>,
}

impl Site {
    pub fn start() -> Self {
        Self::with_max_lost(Limits::default().max_lost)
    }

    pub fn with_max_lost(max_lost: u16) -> Self {
        let limits = Limits { max_lost, ..Limits::default() };
        Self::over(Arc::new(MemoryStore::new()), limits, Default::default(), Vec::new())
    }

    fn over(
        store: Arc<dyn JobStore>,
        limits: Limits,
        live: callboard_actors::coordinator::live::LiveTable,
        nodes: Vec<(NodeId, Addr<Runner>)>,
    ) -> Self {
        let guard = || DeathGuard::new("actor", mpsc::unbounded_channel().0);
        let (coordinator_ctx, scheduler_ctx) = (Context::<Coordinator>::new(), Context::<Scheduler>::new());
        let (coordinator, scheduler) = (coordinator_ctx.address(), scheduler_ctx.address());
        let peers = SchedulerPeers {
            start: coordinator.clone().recipient(),
            lost: coordinator.clone().recipient(),
            listeners: vec![Probe::<RunnerChanged>::start().recipient()],
            measured: Probe::<QueueMeasured>::start().recipient(),
        };
        scheduler_ctx.run(Scheduler::new(peers, LivenessTimers::default(), false, guard()));
        let peers = CoordinatorPeers {
            enqueue: scheduler.clone().recipient(),
            withdraw: scheduler.clone().recipient(),
            release: scheduler.clone().recipient(),
            capacity: scheduler.clone().recipient(),
            doubt: scheduler.clone().recipient(),
            eligibility: scheduler.clone().recipient(),
            forget: scheduler.clone().recipient(),
            gone: scheduler.clone().recipient(),
            explain: scheduler.clone().recipient(),
            listeners: vec![Probe::<JobChanged>::start().recipient()],
        };
        let board = Arc::new(HealthBoard::default());
        let setup = CoordinatorSetup {
            store: Arc::clone(&store),
            limits: limits.clone(),
            timers: LivenessTimers::default(),
            vault: Vault::shared(KeySource::Ephemeral, &board),
            board,
            meter: Arc::new(Meter::default()),
        };
        coordinator_ctx.run(Coordinator::new(setup, peers, live, guard()));
        Self { coordinator, scheduler, store, limits, nodes }
    }

    /// Another life of the coordinator over the same records. Its nodes are gone until they come back.
    pub async fn restart(self) -> Self {
        let Self { store, limits, nodes, coordinator, scheduler } = self;
        for (_, runner) in &nodes {
            runner.send(Shutdown { grace_ms: 0 }).await.expect(SAID);
        }
        drop((coordinator, scheduler));
        let live = restore(&store).await.expect("the records are read");
        Self::over(store, limits, live, nodes)
    }

    /// A new node, named by its number, with a label `kind`.
    pub async fn add(
        &mut self,
        slots: u32,
        kind: Option<&str>,
        script: impl FnMut(&ExecJob) -> Option<AttemptEnd> + Send + 'static,
    ) -> NodeId {
        let id = clock::new_node_id();
        let labels = kind.map(|kind| ("kind".into(), kind.into())).into_iter().collect();
        let name = format!("node-{}", self.nodes.len());
        let spec = RunnerSpec { name, slots, labels, kind: RunnerKind::Joined, ..RunnerSpec::default() };
        let runner = self.join(id, spec, script).await;
        self.nodes.push((id, runner));
        id
    }

    /// A node that was here before, in another life, with one slot.
    pub async fn come_back(
        &mut self,
        at: usize,
        script: impl FnMut(&ExecJob) -> Option<AttemptEnd> + Send + 'static,
    ) {
        let id = self.nodes[at].0;
        let spec = RunnerSpec { name: format!("node-{at}"), slots: 1, ..RunnerSpec::default() };
        self.nodes[at].1 = self.join(id, spec, script).await;
    }

    async fn join(
        &self,
        node: NodeId,
        spec: RunnerSpec,
        script: impl FnMut(&ExecJob) -> Option<AttemptEnd> + Send + 'static,
    ) -> Addr<Runner> {
        let runner = runner(node, &spec, script);
        let handle = handle(node, &runner);
        let register = RegisterRunner { handle, spec: Arc::new(spec) };
        let registration = self.coordinator.send(register).await.expect(SAID).expect("it registers");
        let report = self.coordinator.clone().recipient();
        let begin = BeginReporting { registration, report, heartbeat_ms: 100, tie: Tie::Beside, fence: None };
        runner.send(begin).await.expect(SAID).expect("it works for nobody else");
        until(|| async {
            self.runner(node).await.is_some_and(|it| it.incarnation == registration.incarnation)
        })
        .await;
        runner
    }

    /// What a node of this id is told that asks to be let in.
    pub async fn register(&self, node: NodeId) -> Result<Registration, RegisterError> {
        let spec = RunnerSpec { slots: 1, ..RunnerSpec::default() };
        let handle = handle(node, &runner(node, &spec, |_| None));
        self.coordinator.send(RegisterRunner { handle, spec: Arc::new(spec) }).await.expect(SAID)
    }

    pub async fn submit(&self, spec: JobSpec) -> JobId {
        let request = SubmitJobs { jobs: vec![spec.into()], all_or_nothing: true };
        let mut lines = self.coordinator.send(request).await.expect(SAID);
        lines.pop().expect("a line").expect("it is accepted").view.record.id
    }

    pub async fn look(&self, id: JobId) -> JobView {
        self.coordinator.send(GetJob { id }).await.expect(SAID).expect("it is known")
    }

    pub async fn ended(&self, id: JobId) -> JobView {
        let (_client, client_gone) = oneshot::channel();
        let wait = AwaitJob { id, wait_ms: 20_000, client_gone };
        let view = self.coordinator.send(wait).await.expect(SAID).expect("it is known");
        assert!(view.status().is_terminal(), "{view:?}");
        view
    }

    pub async fn run(&self, spec: JobSpec) -> JobView {
        let id = self.submit(spec).await;
        self.ended(id).await
    }

    pub async fn until_running(&self, id: JobId) {
        until(|| async { self.look(id).await.status() == Status::Running }).await;
    }

    pub async fn change(&self, node: NodeId, change: RunnerChange) -> Result<Eligibility, ChangeRunnerError> {
        self.coordinator.send(ChangeRunner { node, change, by: "operator".into() }).await.expect(SAID)
    }

    pub async fn runner(&self, node: NodeId) -> Option<RunnerSummary> {
        let runners = self.scheduler.send(ListRunners).await.expect(SAID);
        runners.nodes.into_iter().find(|runner| runner.id == node)
    }

    pub async fn eligibility(&self, node: NodeId) -> &'static str {
        self.runner(node).await.expect("it is known").eligibility.as_str()
    }
}

/// Waits until it holds.
pub async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let began = clock::moment();
    while !holds().await {
        assert!(began.elapsed_ms() < 20_000, "it never came to hold");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn runner(
    node: NodeId,
    spec: &RunnerSpec,
    script: impl FnMut(&ExecJob) -> Option<AttemptEnd> + Send + 'static,
) -> Addr<Runner> {
    let (events_sender, events) = mpsc::unbounded_channel();
    let board = Arc::new(HealthBoard::default());
    let setup = RunnerSetup {
        hold_ms: 0,
        node,
        executor: Box::new(NoopExecutor::scripted(spec.slots, events_sender, Box::new(script))),
        base_env: BaseEnv::default(),
        vault: Vault::shared(KeySource::Ephemeral, &board),
        events,
        spool: None,
        results: None,
        meter: Arc::new(Meter::default()),
    };
    Runner::new(setup, DeathGuard::new("runner", mpsc::unbounded_channel().0)).start()
}

fn handle(node: NodeId, runner: &Addr<Runner>) -> RunnerHandle {
    RunnerHandle {
        id: node,
        rooms: Arc::default(),
        pulse: Arc::default(),
        assign: runner.clone().recipient(),
        cancel: runner.clone().recipient(),
        read_output: runner.clone().recipient(),
        write_input: runner.clone().recipient(),
        forget: runner.clone().recipient(),
    }
}
