//! The executor of local processes: one keeper per slot, spoken to over its lifeline.
//! Nothing here waits for a job or blocks its thread; it must be made and used inside a `LocalSet`, as actors are.

mod input;
mod link;
mod spawn;
mod state;
mod survivors;

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;

use self::link::Link;
use self::state::State;
use super::cgroup::{self, Layout};
use super::frame::{Caps, OnLifelineEnd, Plan, RawPath, SecretPairs, Setup, ToKeeper};
use super::sandbox::{HOME, Room, USER};
use super::{ExecEvents, ExecJob, ExecRefusal, Executor, ProcessConfig, RunAs, Slot};
use crate::model::{AttemptId, Isolation, IsolationReport};

/// Most output that travels inside a result, whatever the configuration says, in bytes: a frame has a bound.
const MOST_INLINE_BYTES: u64 = 1 << 20;
/// How much longer than the wait for its lock a keeper may take to answer, in milliseconds.
const READY_SLACK_MS: u64 = 5_000;
/// How long after the KILL of a job its keeper may take to be found stopped, and then again, in milliseconds.
const STOPPED_SLACK_MS: u64 = 1_000;

/// Why the executor could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// One of its folders cannot be made.
    #[error("the folder {} cannot be made: {source}", path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A keeper cannot be started.
    #[error("the keeper of slot {slot} cannot be started: {source}")]
    Keeper {
        /// Which slot.
        slot: Slot,
        /// What the system said.
        source: io::Error,
    },
}

/// Kills every process of these attempts that can be found by the marks in its environment. For attempts of a former
/// life whose keepers still hold their slots: a keeper that is stopped or stuck kills nothing. It blocks.
pub fn kill_survivors(attempts: &[AttemptId]) {
    attempts.iter().for_each(|attempt| survivors::kill(*attempt, None));
}

/// Runs attempts as local processes. Dropping it ends every one of them.
pub struct ProcessExecutor {
    state: Rc<RefCell<State>>,
}

impl ProcessExecutor {
    /// Starts a keeper for each slot and waits until each has its slot's lock or is quarantined.
    ///
    /// # Errors
    /// [`ProcessError`] when a folder or a keeper is missing. Slots that are merely quarantined are told as events.
    pub async fn start(config: ProcessConfig, events: ExecEvents) -> Result<Self, ProcessError> {
        make_folder(&config.slots_dir)?;
        make_folder(&config.spool_dir)?;
        let isolation = isolation_of(&config);
        let groups = groups(&config);
        let state = Rc::new(RefCell::new(State::new(events, isolation, Room::report(groups.controls()))));
        let mut answers = Vec::new();
        for slot in 0..config.slots {
            let answer = open_slot(slot, &config, &groups, &state)
                .map_err(|source| ProcessError::Keeper { slot, source })?;
            answers.push((slot, answer));
        }
        let patience = Duration::from_millis(config.lock_wait_ms + READY_SLACK_MS);
        for (slot, answer) in answers {
            if tokio::time::timeout(patience, answer).await.is_err() {
                let why = "its keeper did not answer in time".to_owned();
                state.borrow_mut().quarantine(slot, why);
            }
        }
        Ok(Self { state })
    }
}

impl Executor for ProcessExecutor {
    fn usable_slots(&self) -> u32 {
        self.state.borrow().usable_slots()
    }

    fn start(&mut self, job: ExecJob) -> Result<(), ExecRefusal> {
        let attempt = job.attempt;
        let mut state = self.state.borrow_mut();
        let link = state.take_slot(attempt, &job.spec.input)?;
        if let Err(error) = link.send(&ToKeeper::Run(Box::new(plan_of(job)))) {
            state.refuse(attempt, error.to_string());
        }
        Ok(())
    }

    fn kill(&mut self, attempt: AttemptId, grace_ms: u64) {
        if let Some(link) = self.state.borrow().link_of(attempt) {
            // A kill is a few bytes, so it can be encoded; if the keeper is gone, the attempt is being lost anyway.
            let _ = link.send(&ToKeeper::Kill { attempt, grace_ms });
            tokio::task::spawn_local(see_it_end(attempt, grace_ms, Rc::downgrade(&self.state)));
        }
    }

    fn write_input(&mut self, attempt: AttemptId, offset: u64, bytes: &[u8], end: bool) -> (u64, bool) {
        self.state.borrow_mut().write_input(attempt, offset, bytes, end)
    }

    fn stop(&mut self) {
        self.state.borrow_mut().stop();
    }

    fn isolation(&self) -> IsolationReport {
        self.state.borrow().isolation().clone()
    }
}

/// Looks after an attempt that is to end. A keeper that someone has stopped ends nothing, so it is killed itself, and
/// what it held is found by its mark.
async fn see_it_end(attempt: AttemptId, grace_ms: u64, state: Weak<RefCell<State>>) {
    let mut patience = Duration::from_millis(grace_ms.saturating_add(STOPPED_SLACK_MS));
    loop {
        tokio::time::sleep(patience).await;
        let Some(state) = state.upgrade() else { return };
        if !state.borrow_mut().end_if_stopped(attempt) {
            return;
        }
        patience = Duration::from_millis(STOPPED_SLACK_MS);
    }
}

fn open_slot(
    slot: Slot,
    config: &ProcessConfig,
    groups: &Layout,
    state: &Rc<RefCell<State>>,
) -> io::Result<oneshot::Receiver<()>> {
    let (socket, keeper) = match &config.keeper_path {
        Some(path) => {
            let (socket, child) = spawn::keeper_process(path)?;
            (socket, Some(child))
        }
        None => (spawn::keeper_thread(slot)?, None),
    };
    let setup = ToKeeper::Setup(Box::new(setup_of(slot, config, groups)));
    let (reader, writer) = tokio::net::UnixStream::from_std(socket)?.into_split();
    let link = Rc::new(Link::new(writer));
    link.send(&setup).map_err(io::Error::other)?;
    let answer = state.borrow_mut().add_slot(Rc::clone(&link), keeper);
    tokio::task::spawn_local(link::converse(slot, reader, link, Rc::downgrade(state)));
    Ok(answer)
}

fn setup_of(slot: Slot, config: &ProcessConfig, groups: &Layout) -> Setup {
    let raw = |path: &Path| {
        let absolute = std::path::absolute(path);
        RawPath::from(absolute.as_deref().unwrap_or(path))
    };
    Setup {
        lock_path: raw(&config.slots_dir.join(format!("{slot}.lock"))),
        lock_wait_ms: config.lock_wait_ms,
        open_files: config.open_files,
        spool_dir: raw(&config.spool_dir),
        default_cwd: raw(&config.default_cwd),
        run_as: config.run_as.map(|RunAs { uid, gid }| (uid, gid)),
        room: Room::of_slot(slot),
        allow_mounts: config.allow_mounts.clone(),
        default_limits: config.default_limits,
        groups: groups.clone(),
        group_name: group_name(config, slot),
        caps: Caps {
            head: config.output_head_bytes,
            tail: config.output_tail_bytes,
            hard: config.output_hard_bytes,
            inline: config.output_inline_bytes.min(MOST_INLINE_BYTES),
        },
        on_lifeline_end: OnLifelineEnd::Kill,
    }
}

/// The control groups that keepers may make. A thread is no keeper: it cannot enter one without the whole node.
fn groups(config: &ProcessConfig) -> Layout {
    if config.keeper_path.is_none() {
        return Layout::default();
    }
    let (layout, why) = cgroup::discover();
    why.iter().for_each(|why| log::debug!("control groups cannot be made: {why}"));
    layout
}

/// The name of a slot's groups: nodes of other folders have others.
fn group_name(config: &ProcessConfig, slot: Slot) -> String {
    use sha2::{Digest, Sha256};
    use std::os::unix::ffi::OsStrExt;
    let folder = std::path::absolute(&config.slots_dir).unwrap_or_else(|_| config.slots_dir.clone());
    let digest = Sha256::digest(folder.as_os_str().as_bytes());
    let node: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{node}.{slot}")
}

fn plan_of(job: ExecJob) -> Plan {
    Plan {
        attempt: job.attempt,
        command: job.spec.command.clone(),
        env: env_of(&job),
        secret_env: SecretPairs::of(&job.secret_env),
        cwd: job.spec.cwd.clone(),
        roomed: job.spec.isolation == Isolation::Sandbox,
        limits: job.spec.limits,
        mounts: job.spec.mounts.clone(),
        input: job.spec.input.clone(),
        timeout_ms: job.spec.timeout_ms,
        grace_ms: job.spec.grace_ms,
    }
}

/// A room has a home and a user of its own; what the job itself says stands.
fn env_of(job: &ExecJob) -> Vec<(String, String)> {
    let mut env = job.env.clone();
    if job.spec.isolation == Isolation::Sandbox {
        let inside =
            [("HOME", HOME), ("USER", USER)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        env.extend(inside.into_iter().filter(|(name, _)| !job.spec.env.contains_key(name)));
    }
    env.into_iter().collect()
}

fn isolation_of(config: &ProcessConfig) -> IsolationReport {
    let mut report = IsolationReport::default();
    if config.keeper_path.is_none() {
        report.kill = "process_group".into();
        report.missing.push("keeper".into());
    }
    report
}

fn make_folder(path: &Path) -> Result<(), ProcessError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| ProcessError::Folder { path: path.to_owned(), source })
}
