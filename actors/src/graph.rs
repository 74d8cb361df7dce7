//! The only place that introduces actors to one another: starts them in order, ties the recipients, notices a death,
//! and stops them in reverse. Embedding applications start here, with [`Builder`].

#[cfg(feature = "testing")]
pub mod deaths;
mod far;
mod former;
mod local;
pub mod node;
mod original;
pub mod simulated;
mod stopping;
mod ties;

use std::path::Path;
use std::sync::Arc;

use actix::{Actor, Addr, Arbiter, AsyncContext, Context};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock;
use crate::coordinator::live::LiveTable;
use crate::coordinator::{Coordinator, CoordinatorSetup, restore};
use crate::exec::{BaseEnv, ExecEvents, Executor, ProcessConfig, ProcessError};
use crate::link::{LivenessTimers, TimerError};
use crate::model::meter::Meter;
use crate::model::{AdmissionRules, HealthBoard, Limits, NodeId, RunnerSpec, StoreSummary};
use crate::policy::placement::PlacementRule;
use crate::protocol::runner::{FenceTimes, Occupied, RegisterError};
use crate::protocol::{DeathGuard, PlatformHandle};
use crate::runner::{Runner, RunnerSetup};
use crate::scheduler::Scheduler;
use crate::secret::{KeySource, Vault};
use crate::spool::{Spool, results::ResultLogError};
use crate::store::memory::MemoryStore;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{JobStore, StoreError};
pub use far::Peers;
use far::{Far, LocalNode};
use local::{facts, make_executor, register, wanted};
use ties::Hearers;

/// Why a platform did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The records cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The executor cannot be set up.
    #[error(transparent)]
    Executor(#[from] ProcessError),
    /// Results of a former life cannot be read.
    #[error(transparent)]
    Results(#[from] ResultLogError),
    /// The local runner works for another coordinator.
    #[error(transparent)]
    Occupied(#[from] Occupied),
    /// What the local runner and the coordinator say to each other does not survive being written down.
    #[error(transparent)]
    Altered(#[from] crate::uplink::loopback::Altered),
    /// The node could not register.
    #[error("the local runner could not register: {0}")]
    Register(#[from] RegisterError),
    /// The file that holds the node's name cannot be used.
    #[error("{path}: {source}")]
    NodeId {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The timers of silence contradict each other.
    #[error(transparent)]
    Timers(#[from] TimerError),
    /// The actors ended while they were being started.
    #[error("the actors ended while they were being started")]
    Died,
}

/// Makes an executor on the actors' own thread.
pub type MakeExecutor = Box<dyn FnOnce(ExecEvents) -> Box<dyn Executor> + Send>;

/// How the local runner runs jobs.
#[allow(clippy::large_enum_variant, reason = "a node has one")]
pub enum ExecutorChoice {
    /// As processes.
    Process(ProcessConfig),
    /// Otherwise: a double, or an embedding application's own.
    Custom(MakeExecutor),
}

/// What a platform is made of.
pub struct Builder {
    /// The records.
    pub store: Arc<dyn JobStore>,
    /// Where they are, in words.
    pub store_summary: StoreSummary,
    /// The local node.
    pub node: NodeId,
    /// What it says of itself; the slots are its executor's.
    pub spec: RunnerSpec,
    /// How it runs jobs.
    pub executor: ExecutorChoice,
    /// What every job's environment starts from.
    pub base_env: BaseEnv,
    /// Where the key of secret variables is.
    pub secret_key: KeySource,
    /// The limits in force.
    pub limits: Limits,
    /// Which jobs may be taken in; all of them unless told otherwise.
    pub rules: AdmissionRules,
    /// By which rule a node is chosen for a job.
    pub placement: PlacementRule,
    /// The timers of silence.
    pub timers: LivenessTimers,
    /// The user id that jobs run as.
    pub job_uid: u32,
    /// Whom it speaks with on other machines.
    pub peers: Peers,
    /// Whether what the local node is told, and tells, is written down as for another machine and read again: for tests.
    pub serialise_messages: bool,
    /// Weaknesses that the operator should know.
    pub warnings: Vec<String>,
    /// Counters, shared with the store.
    pub meter: Arc<Meter>,
}

/// A running platform.
#[derive(Debug)]
pub struct Platform {
    handle: PlatformHandle,
    arbiter: Arbiter,
    stop: mpsc::UnboundedSender<(u64, oneshot::Sender<()>)>,
    died: mpsc::UnboundedReceiver<&'static str>,
    stopping: watch::Sender<bool>,
    board: Arc<HealthBoard>,
    #[cfg(feature = "testing")]
    mortals: deaths::Mortals,
}

impl Platform {
    /// The front door.
    pub fn handle(&self) -> &PlatformHandle {
        &self.handle
    }

    /// Actors that a test may make die.
    #[cfg(feature = "testing")]
    pub fn mortals(&self) -> &deaths::Mortals {
        &self.mortals
    }

    /// Resolves with the name of an actor that died. The process should then end: a restart finds everything in the
    /// store.
    pub async fn died(&mut self) -> &'static str {
        let name = self.died.recv().await.unwrap_or("arbiter");
        self.board.set_stopped();
        name
    }

    /// Refuses new jobs from now on and answers held requests. The first step of [`Platform::stop`].
    pub fn stop_intake(&self) {
        self.board.set_draining();
        self.stopping.send_replace(true);
    }

    /// Stops: no intake, no dispatch, running jobs get `grace_ms`, then every record is flushed. A job that outlasts
    /// the grace is ended and waits again for the next start.
    pub async fn stop(self, grace_ms: u64) {
        self.stop_intake();
        let (done, stopped) = oneshot::channel();
        if self.stop.send((grace_ms, done)).is_ok() {
            // An error means that the actors are gone already.
            let _ = stopped.await;
        }
        self.board.set_stopped();
        self.arbiter.stop();
    }
}

impl Builder {
    /// A platform whose jobs this executor runs. Its records are in memory: they end with it.
    pub fn new(executor: ExecutorChoice) -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
            store_summary: StoreSummary { kind: "memory", durability: "none", path: None },
            node: clock::new_node_id(),
            spec: RunnerSpec { name: "local".into(), ..RunnerSpec::default() },
            executor,
            base_env: BaseEnv::default(),
            secret_key: KeySource::Ephemeral,
            limits: Limits::default(),
            rules: AdmissionRules::default(),
            placement: PlacementRule::default(),
            timers: LivenessTimers::default(),
            job_uid: rustix::process::geteuid().as_raw(),
            peers: Peers::default(),
            serialise_messages: false,
            warnings: Vec::new(),
            meter: Arc::new(Meter::default()),
        }
    }

    /// A platform that runs jobs as processes and keeps its records, durably, and their output in `folder`, which is
    /// made if it is not there. Call [`sandbox_entry`](crate::sandbox_entry) first of all in `main`. Blocks for as
    /// long as the records take to open.
    ///
    /// # Errors
    /// [`StartError`] when the folder is in use, or cannot be used.
    pub fn in_folder(folder: &Path) -> Result<Self, StartError> {
        let limits = Limits::default();
        let builder = Self::new(ExecutorChoice::Process(ProcessConfig::new(folder, &limits)));
        let store = SqliteStore::open(folder, SqliteOptions::default(), Arc::clone(&builder.meter))?;
        let path = Some(folder.display().to_string());
        Ok(Self {
            store: Arc::new(store),
            store_summary: StoreSummary { kind: "sqlite", durability: "full", path },
            node: node::id(folder)?,
            secret_key: KeySource::InFolder(folder.to_owned()),
            limits,
            ..builder
        })
    }

    /// Starts the actors on a thread of their own and waits until the local runner has been reconciled.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(self) -> Result<Platform, StartError> {
        self.timers.check()?;
        let arbiter = Arbiter::new();
        let (sender, assembled) = oneshot::channel();
        let (stop, stop_asked) = mpsc::unbounded_channel();
        let (stopping, stopping_seen) = watch::channel(false);
        let board = Arc::new(HealthBoard::default());
        let (on_board, died_to) = (Arc::clone(&board), mpsc::unbounded_channel());
        let (died_sender, died) = died_to;
        arbiter.spawn_fn(move || {
            actix::spawn(async move {
                // The receiver is only gone when the caller gave up starting.
                let _ = sender.send(assemble(self, on_board, died_sender, stopping_seen, stop_asked).await);
            });
        });
        let assembled = match assembled.await {
            Ok(Ok(assembled)) => assembled,
            failed => {
                arbiter.stop();
                return Err(
                    failed.map_or(StartError::Died, |failed| failed.err().unwrap_or(StartError::Died))
                );
            }
        };
        Ok(Platform {
            handle: assembled.handle,
            arbiter,
            stop,
            died,
            stopping,
            board,
            #[cfg(feature = "testing")]
            mortals: assembled.mortals,
        })
    }
}

/// What the actors' own thread gives.
struct Assembled {
    handle: PlatformHandle,
    #[cfg(feature = "testing")]
    mortals: deaths::Mortals,
}

type StopRequests = mpsc::UnboundedReceiver<(u64, oneshot::Sender<()>)>;

async fn assemble(
    builder: Builder,
    board: Arc<HealthBoard>,
    died: mpsc::UnboundedSender<&'static str>,
    stopping: watch::Receiver<bool>,
    stop_asked: StopRequests,
) -> Result<Assembled, StartError> {
    let guard = |name| DeathGuard::new(name, died.clone());
    let (events_sender, events) = mpsc::unbounded_channel();
    let (spool_dir, wanted_slots) = wanted(&builder.executor);
    // Slots first: their locks are free only when the survivors of a former life are dead.
    let executor = make_executor(builder.executor, events_sender, &builder.meter).await?;
    let live = restore(&builder.store).await?;
    let slots = executor.usable_slots();
    let results = builder.peers.open_results().await?;
    // What coordinators elsewhere may still ask for is theirs to forget.
    let swept = spool_dir.clone().filter(|_| results.is_none());
    former::clear(&live, slots < wanted_slots, builder.node, &swept, &builder.store).await;
    let vault = Vault::shared(builder.secret_key, &board);
    let told = (builder.rules, builder.store_summary, builder.job_uid, builder.warnings);
    let facts = facts(&builder.limits, told, &*executor);
    let hearers = Hearers::start(&builder.meter, guard)?;
    let setup = CoordinatorSetup {
        store: builder.store,
        limits: builder.limits,
        timers: builder.timers,
        vault: Arc::clone(&vault),
        board: Arc::clone(&board),
        meter: Arc::clone(&builder.meter),
    };
    let (coordinator, scheduler) = start_minds(setup, live, builder.placement, &hearers, guard);
    let setup = RunnerSetup {
        node: builder.node,
        executor,
        base_env: builder.base_env,
        vault: Arc::clone(&vault),
        events,
        spool: spool_dir.map(Spool::new),
        results,
        hold_ms: builder.peers.hold_ms,
        meter: Arc::clone(&builder.meter),
    };
    let runner = Runner::new(setup, guard("runner")).start();
    let spec = RunnerSpec { slots, fences: true, ..builder.spec };
    let handle = ties::runner_handle(builder.node, &runner, Arc::clone(&facts.rooms));
    let heartbeat_ms = builder.timers.heartbeat_ms;
    if !builder.serialise_messages {
        register(&coordinator, &runner, &handle, &spec, heartbeat_ms).await?;
    }
    let fence = FenceTimes { after_ms: builder.timers.fence_ms, grace_ms: builder.timers.fence_grace_ms };
    let local = LocalNode { runner: &runner, handle, spec, vault, heartbeat_ms, fence };
    let (mut far, doors) = Far::start(builder.peers, local, &coordinator, guard);
    if builder.serialise_messages {
        far.tie_local(&doors, guard("loopback")).await?;
    }
    let handle = PlatformHandle::new(
        ties::job_recipients(&coordinator),
        scheduler.clone().recipient(),
        scheduler.clone().recipient(),
        hearers.metrics_recipients(),
        Arc::clone(&hearers.feed),
        doors,
        board,
        builder.meter,
        facts,
        stopping,
    );
    #[cfg(feature = "testing")]
    let mortals = deaths::Mortals::of(&scheduler, &hearers);
    actix::spawn(stopping::when_asked(stop_asked, coordinator, scheduler, runner, far, hearers));
    Ok(Assembled {
        handle,
        #[cfg(feature = "testing")]
        mortals,
    })
}

/// Coordinator and Scheduler, each of which tells the other what it decides.
fn start_minds(
    setup: CoordinatorSetup,
    live: LiveTable,
    placement: PlacementRule,
    hearers: &Hearers,
    guard: impl Fn(&'static str) -> DeathGuard,
) -> (Addr<Coordinator>, Addr<Scheduler>) {
    let (coordinator_ctx, scheduler_ctx) = (Context::<Coordinator>::new(), Context::<Scheduler>::new());
    let (coordinator, scheduler) = (coordinator_ctx.address(), scheduler_ctx.address());
    let peers = ties::scheduler_peers(&coordinator, hearers);
    let scheduler_actor = Scheduler::new(peers, setup.timers, false, guard("scheduler"));
    scheduler_ctx.run(scheduler_actor.by_rule(placement));
    let peers = ties::coordinator_peers(&scheduler, hearers);
    coordinator_ctx.run(Coordinator::new(setup, peers, live, guard("coordinator")));
    (coordinator, scheduler)
}
