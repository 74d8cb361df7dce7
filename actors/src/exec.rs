//! Running one attempt as processes on this machine: the `Executor` trait and its implementations.
//! It knows nothing of queues, actors or stores; its answers are events on a channel.

mod alarm;
mod bare;
mod canary;
mod capture;
mod cgroup;
mod costs;
mod entry;
mod env;
mod facts;
mod fence;
mod frame;
mod home;
mod keeper;
mod noop;
mod process;
mod sandbox;
mod sealed;
mod spooling;
mod sys;
mod talk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use serde::{Deserialize, Serialize};

use crate::model::{
    AllowedMount, AttemptId, AttemptResult, ClusterId, Isolation, IsolationReport, JobSpec, Limits,
    ResourceLimits, RoomBoard, SecretEnv, Tier,
};

pub use costs::{RoomCost, bare_rooms, room_costs};
pub use entry::{keeper_available, keeper_path, sandbox_entry};
pub use env::{BaseEnv, DEFAULT_PATH, job_env};
pub use facts::{HostFacts, NoLandlock};
#[cfg(feature = "testing")]
pub use frame::count_frames;
pub use keeper::keeper_main;
pub use noop::{NoopExecutor, Script};
pub use process::{ProcessError, ProcessExecutor, inspect, kill_survivors};
#[cfg(feature = "testing")]
pub use sandbox::hear_room;

/// Which of an executor's places a job runs in, counted from 0.
pub type Slot = u32;

/// One attempt to run.
#[derive(Clone, Debug)]
pub struct ExecJob {
    /// Its name.
    pub attempt: AttemptId,
    /// What to run.
    pub spec: Arc<JobSpec>,
    /// The whole environment of the job, but for its secrets.
    pub env: BTreeMap<String, String>,
    /// Its secret variables. They win over `env`.
    pub secret_env: SecretEnv,
    /// Whether it is to end when its coordinator is out of reach ([`Executor::fence_at`]), and the time between TERM and KILL
    /// then, in milliseconds.
    pub fence_grace_ms: Option<u64>,
    /// Whether it may go on when this process ends without a word; it ends with it otherwise.
    pub hold: Option<HoldOrder>,
}

/// How a job outlives its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldOrder {
    /// Whose job it is: told to the next life of the node.
    pub cluster: ClusterId,
    /// For how long it waits for that life, in milliseconds. Then it ends.
    pub for_ms: u64,
}

/// An attempt of a former life of the node that goes on, or whose end nobody was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdoptedAttempt {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Whose.
    pub cluster: ClusterId,
    /// Since when it runs, in milliseconds.
    pub started_ms_ago: u64,
}

/// What an executor says. At most a handful of events are under way per slot, so the channel needs no bound.
#[derive(Debug)]
pub enum ExecEvent {
    /// The process runs.
    Started {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// The attempt is over and nothing of it is left. Its slot is free again.
    Finished(Box<AttemptResult>),
    /// Input was taken from the buffer, so that more is welcome, or will never be.
    InputRoom {
        /// Which attempt.
        attempt: AttemptId,
        /// Bytes that [`Executor::write_input`] accepted so far, counted from the beginning of the input: send on
        /// from here.
        accepted: u64,
        /// Whether more input has a reader.
        open: bool,
    },
    /// A slot cannot be used any more (its keeper died, or its lock is held by a survivor).
    SlotQuarantined {
        /// Which slot.
        slot: Slot,
        /// What happened, one line.
        why: String,
    },
}

/// Where an executor sends its events.
pub type ExecEvents = mpsc::UnboundedSender<ExecEvent>;

/// Why an executor did not take a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecRefusal {
    /// Every usable slot is taken.
    #[error("no free slot")]
    NoFreeSlot,
    /// The executor is stopping.
    #[error("the executor is stopping")]
    Stopping,
}

/// Runs attempts. Calls never block; what comes of them is told as events.
pub trait Executor: 'static {
    /// Slots that can be used, taken ones included. Shrinks when one is quarantined.
    fn usable_slots(&self) -> u32;

    /// Starts an attempt in a free slot. Exactly one `Finished` follows each accepted call.
    ///
    /// # Errors
    /// [`ExecRefusal`]; then no event follows.
    fn start(&mut self, job: ExecJob) -> Result<(), ExecRefusal>;

    /// Ends an attempt: TERM to its tree, KILL `grace_ms` later. Unknown attempts are ignored. A `Finished` with
    /// `AttemptEnd::Killed` follows, unless the job ended by itself first. A later call with a shorter grace wins.
    fn kill(&mut self, attempt: AttemptId, grace_ms: u64);

    /// Hands over streamed input that starts `offset` bytes into the whole. Returns the bytes accepted so far (counted
    /// from the beginning; bytes below it are duplicates and dropped, bytes above it leave a gap and are refused) and
    /// whether input still has a reader. `end` says that no more will come after these.
    fn write_input(&mut self, attempt: AttemptId, offset: u64, bytes: &[u8], end: bool) -> (u64, bool);

    /// Takes no more jobs. Running ones go on, and end with this process.
    fn stop(&mut self);

    /// Attempts of a former life that were found when it started, each as if it had been started here: exactly one
    /// `Finished` follows. Told once.
    fn adopted(&mut self) -> Vec<AdoptedAttempt> {
        Vec::new()
    }

    /// Whether it can end jobs by itself when their coordinator is out of reach, whatever becomes of this process.
    fn can_fence(&self) -> bool {
        false
    }

    /// From this time on, by [`clock::boottime_ms`](crate::clock::boottime_ms), the coordinator counts as out of reach, unless
    /// a later time is told before: jobs that have a `fence_grace_ms` end then.
    fn fence_at(&mut self, _: u64) {}

    /// The result of the attempt is where it survives this process.
    fn recorded(&mut self, _: AttemptId) {}

    /// What isolation its plain jobs have.
    fn isolation(&self) -> IsolationReport;

    /// Where it writes down what its rooms are worth. Nothing is ever written there without rooms.
    fn rooms(&self) -> Arc<RoomBoard> {
        Arc::default()
    }
}

/// How the local process executor is set up.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// Places to run jobs in.
    pub slots: u32,
    /// Folder of slot locks (`slots/N.lock`).
    pub slots_dir: PathBuf,
    /// Folder of spooled output, one sub-folder an attempt.
    pub spool_dir: PathBuf,
    /// The executable that is re-run as keeper (see [`keeper_path`]); without one, jobs are held by their process
    /// group only, and isolation reports say so.
    pub keeper_path: Option<PathBuf>,
    /// The user that jobs run as, when it is not the node's own.
    pub run_as: Option<RunAs>,
    /// Folder that a job without `cwd` starts in.
    pub default_cwd: PathBuf,
    /// Output kept from the beginning of each stream, in bytes.
    pub output_head_bytes: u64,
    /// Output kept from the end, in bytes.
    pub output_tail_bytes: u64,
    /// Output at which a job is killed, in bytes.
    pub output_hard_bytes: u64,
    /// Output that is handed over with the result and not left in the spool, in bytes.
    pub output_inline_bytes: u64,
    /// Artifacts that are kept of one job, in bytes.
    pub artifacts_bytes: u64,
    /// What a job that asks for nothing has: a room (`Sandbox`), none, or a room where one can be had (`Auto`).
    pub default_isolation: Isolation,
    /// The least that any job here runs with.
    pub min_isolation: Tier,
    /// Whether jobs may have the host's network.
    pub allow_host_network: bool,
    /// How often rooms are tried again, in milliseconds; 0 for at the start only.
    pub isolation_check_ms: u64,
    /// What of this host jobs may have in their rooms.
    pub allow_mounts: Vec<AllowedMount>,
    /// What a job may use that asks for nothing, as far as it can be held to it.
    pub default_limits: ResourceLimits,
    /// Longest wait at start for the locks of a former life, in milliseconds.
    pub lock_wait_ms: u64,
    /// Files that a job may have open (its soft limit), when that is not what the node itself may. Only a keeper
    /// process can give its jobs another limit than the node's.
    pub open_files: Option<u64>,
}

impl ProcessConfig {
    /// A slot for each core, everything below `folder`, output kept as `limits` say, jobs as the node's own user in the
    /// temporary folder.
    pub fn new(folder: &Path, limits: &Limits) -> Self {
        Self {
            slots: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            slots_dir: folder.join("slots"),
            spool_dir: folder.join("spool"),
            keeper_path: keeper_path(None),
            run_as: None,
            default_cwd: std::env::temp_dir(),
            output_head_bytes: limits.output_head_bytes,
            output_tail_bytes: limits.output_tail_bytes,
            output_hard_bytes: limits.output_hard_bytes,
            output_inline_bytes: limits.output_inline_bytes,
            artifacts_bytes: limits.artifacts_bytes,
            default_isolation: Isolation::Auto,
            min_isolation: Tier::None,
            allow_host_network: false,
            isolation_check_ms: ISOLATION_CHECK_MS,
            allow_mounts: Vec::new(),
            default_limits: limits.default_job,
            lock_wait_ms: LOCK_WAIT_MS,
            open_files: None,
        }
    }
}

/// How often rooms are tried again when nobody says otherwise, in milliseconds.
const ISOLATION_CHECK_MS: u64 = 600_000;

/// Longest wait at start for the survivors of a former life to be dead, in milliseconds.
const LOCK_WAIT_MS: u64 = 15_000;

/// A user for jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// User id.
    pub uid: u32,
    /// Group id; supplementary groups are dropped.
    pub gid: u32,
}
