//! The Coordinator: owns every job's state, its attempts and its outcome, through the store. It commits what the
//! Scheduler proposes, gives attempts to nodes and believes their reports; nothing is answered, published or started
//! from a state that is not on disk. It knows neither HTTP nor processes.

mod access;
mod classes;
mod clients;
mod commit;
mod ending;
mod follow;
mod forget;
mod goodbye;
pub mod live;
mod losses;
mod nodes;
mod operate;
mod output;
mod reports;
mod restore;
mod restored;
mod silence;
mod upkeep;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, Context, Recipient};
use tokio::sync::oneshot;

use crate::link::{CoordinatorLink, LivenessTimers};
use crate::model::meter::Meter;
use crate::model::{Eligibility, HealthBoard, JobId, JobView, Limits, NodeId, RunnerSpec};
use crate::protocol::notices::JobChanged;
use crate::protocol::scheduling::{
    DoubtNode, EnqueueJobs, ExplainJobs, ForgetNode, NodeGone, ReleaseSlot, SetCapacity, SetEligibility,
    WithdrawJobs,
};
use crate::protocol::{DeathGuard, RunnerHandle};
use crate::secret::Vault;
use crate::store::{JobStore, StoreIdentity};

use commit::CommitQueue;
use live::{LiveTable, SpecCache};
use losses::Losses;
use operate::Conduct;
pub use restore::restore;

/// Whom the Coordinator talks to.
#[derive(Clone, Debug)]
pub struct CoordinatorPeers {
    /// Takes waiting jobs.
    pub enqueue: Recipient<EnqueueJobs>,
    /// Takes jobs out again.
    pub withdraw: Recipient<WithdrawJobs>,
    /// Takes freed slots.
    pub release: Recipient<ReleaseSlot>,
    /// Takes the size of nodes.
    pub capacity: Recipient<SetCapacity>,
    /// Takes doubts about them.
    pub doubt: Recipient<DoubtNode>,
    /// Takes whether they are given work.
    pub eligibility: Recipient<SetEligibility>,
    /// Forgets them.
    pub forget: Recipient<ForgetNode>,
    /// Takes their goodbyes.
    pub gone: Recipient<NodeGone>,
    /// Says why jobs wait.
    pub explain: Recipient<ExplainJobs>,
    /// Hear of changes of jobs.
    pub listeners: Vec<Recipient<JobChanged>>,
}

/// What the Coordinator works with and by.
#[derive(Clone)]
pub struct CoordinatorSetup {
    /// The records.
    pub store: Arc<dyn JobStore>,
    /// The limits in force.
    pub limits: Limits,
    /// The timers of silence.
    pub timers: LivenessTimers,
    /// Seals and opens secret variables.
    pub vault: Arc<Vault>,
    /// Flags that doors read.
    pub board: Arc<HealthBoard>,
    /// Counters.
    pub meter: Arc<Meter>,
}

struct Node {
    handle: RunnerHandle,
    spec: Arc<RunnerSpec>,
    eligibility: Eligibility,
    link: CoordinatorLink,
    /// Whether the Scheduler knows this life of it.
    announced: bool,
    /// Whether the Scheduler was told to propose nothing for it.
    doubted: bool,
    /// When it said goodbye, in milliseconds of the monotonic clock.
    left_ms: Option<u64>,
    conduct: Conduct,
}

/// The actor.
pub struct Coordinator {
    setup: CoordinatorSetup,
    identity: StoreIdentity,
    peers: CoordinatorPeers,
    live: LiveTable,
    specs: SpecCache,
    losses: Losses,
    nodes: HashMap<NodeId, Node>,
    queue: CommitQueue,
    waiters: HashMap<JobId, Vec<oneshot::Sender<Rc<JobView>>>>,
    waiting: usize,
    draining: bool,
    guard: DeathGuard,
}

impl std::fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coordinator").field("live", &self.live.len()).finish_non_exhaustive()
    }
}

impl Coordinator {
    /// A Coordinator over the live jobs that [`restore`] has loaded.
    pub fn new(setup: CoordinatorSetup, peers: CoordinatorPeers, live: LiveTable, guard: DeathGuard) -> Self {
        Self {
            identity: setup.store.identity(),
            setup,
            peers,
            live,
            specs: SpecCache::default(),
            losses: Losses::default(),
            nodes: HashMap::new(),
            queue: CommitQueue::default(),
            waiters: HashMap::new(),
            waiting: 0,
            draining: false,
            guard,
        }
    }
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.resume(ctx);
        self.start_upkeep(ctx);
    }
}
