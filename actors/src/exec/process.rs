//! The executor of local processes: one keeper per slot, spoken to over its lifeline.
//! Nothing here waits for a job or blocks its thread; it must be made and used inside a `LocalSet`, as actors are.

mod input;
mod keeper;
mod link;
mod plans;
mod rooms;
pub(super) mod spawn;
mod state;
mod survivors;

use std::cell::RefCell;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use self::keeper::Keeper;
use self::link::Link;
use self::plans::{DOOR, door_of, groups, lock_of, plan_of, setup_of};
use self::rooms::Rooms;
use self::state::State;
use super::alarm::{Alarm, nap};
use super::cgroup::Layout;
use super::fence::FenceFile;
use super::frame::{Setup, ToKeeper};
use super::keeper::orphaned::{self, Found};
use super::sealed::KeeperProgram;
use super::{AdoptedAttempt, ExecEvents, ExecJob, ExecRefusal, Executor, ProcessConfig, Slot};
use crate::model::{AttemptEnd, AttemptId, IsolationReport, RoomBoard, RoomFacts};

/// Most output that travels inside a result, whatever the configuration says, in bytes: a frame has a bound.
const MOST_INLINE_BYTES: u64 = 1 << 20;
/// How much longer than the wait for its lock a keeper may take to answer, in milliseconds.
const READY_SLACK_MS: u64 = 5_000;
/// How long a keeper whose node is gone may take to open its door, or to end its job, before nothing is expected of it any
/// more, in milliseconds: it may be busy with the end of its job.
const DOOR_WAIT_MS: u64 = 3_000;
/// Time between two looks for it.
const LOOK_EVERY: Duration = Duration::from_millis(20);
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
    rooms: Rc<Rooms>,
    fence: FenceFile,
}

impl ProcessExecutor {
    /// Starts a keeper for each slot and waits until each has its slot's lock or is quarantined.
    ///
    /// # Errors
    /// [`ProcessError`] when a folder or a keeper is missing. Slots that are merely quarantined are told as events.
    pub async fn start(config: ProcessConfig, events: ExecEvents) -> Result<Self, ProcessError> {
        make_folder(&config.slots_dir)?;
        make_folder(&config.spool_dir)?;
        let (groups, why_no_groups) = groups(&config);
        let keeper = sealed(config.keeper_path.clone()).await;
        let rooms = Rooms::new(&config, keeper.clone(), &groups, why_no_groups);
        let looked = rooms.look();
        let state = Rc::new(RefCell::new(State::new(events, isolation_of(&config), Rc::clone(&rooms))));
        let mut answers = Vec::new();
        end_beyond(&config);
        let until = Alarm::after_ms(config.lock_wait_ms);
        for slot in 0..config.slots {
            let former = match keeper {
                Some(_) => former_keeper(slot, &config, until).await,
                None => None,
            };
            let answer = open_slot(slot, &config, (keeper.as_ref(), former), &groups, &state)
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
        for slot in state.borrow().quarantined() {
            end_in_time(slot, &config);
        }
        looked.await;
        tokio::task::spawn_local(rooms::keep_looking(Rc::downgrade(&rooms)));
        Ok(Self { state, rooms, fence: FenceFile::open(&config.slots_dir) })
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
        match self.rooms.decide(&job.spec) {
            Ok(decision) => {
                if let Err(error) = link.send(&ToKeeper::Run(Box::new(plan_of(job, decision)))) {
                    let message = error.to_string();
                    state.refuse(attempt, AttemptEnd::SpawnError { message, shell_code: 126 });
                }
            }
            Err(refusal) => {
                let missing = refusal.missing().to_vec();
                state.refuse(attempt, AttemptEnd::Unavailable { message: refusal.detail, missing });
            }
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

    fn adopted(&mut self) -> Vec<AdoptedAttempt> {
        self.state.borrow_mut().take_adopted()
    }

    fn can_fence(&self) -> bool {
        true
    }

    fn fence_at(&mut self, at_ms: u64) {
        self.fence.write(at_ms);
    }

    fn recorded(&mut self, attempt: AttemptId) {
        self.state.borrow().recorded(attempt);
    }

    fn isolation(&self) -> IsolationReport {
        self.state.borrow().isolation().clone()
    }

    fn rooms(&self) -> Arc<RoomBoard> {
        self.rooms.board()
    }
}

/// What rooms of a node with this configuration would be worth, found without a node. It blocks.
///
/// # Errors
/// [`ProcessError`] when a folder is missing.
pub fn inspect(config: &ProcessConfig) -> Result<RoomFacts, ProcessError> {
    make_folder(&config.slots_dir)?;
    make_folder(&config.spool_dir)?;
    let (groups, why_no_groups) = groups(config);
    let keeper = config.keeper_path.as_deref().map(KeeperProgram::seal);
    Ok(rooms::inspect(config, keeper.as_ref(), &groups, &why_no_groups))
}

/// The setup of a slot that no job of this node has.
pub(super) fn setup_for(config: &ProcessConfig) -> Result<Setup, ProcessError> {
    make_folder(&config.slots_dir)?;
    make_folder(&config.spool_dir)?;
    let (groups, _) = groups(config);
    Ok(setup_of(config.slots, config, &groups))
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

/// Copies what keepers are started from, beside everything else: it is long.
async fn sealed(path: Option<PathBuf>) -> Option<KeeperProgram> {
    let path = path?;
    let (answer, sealed) = oneshot::channel();
    let here = path.clone();
    let sealing = move || drop(answer.send(KeeperProgram::seal(&here)));
    // A thread of the runtime's would stay.
    let begun = std::thread::Builder::new().name("callboard-seal".into()).spawn(sealing);
    // Without a thread there is no answer.
    let copy = match (begun, sealed.await) {
        (Ok(_), Ok(copy)) => copy,
        (Err(error), _) => KeeperProgram::of_file(path, error.to_string()),
        (Ok(_), Err(error)) => KeeperProgram::of_file(path, error.to_string()),
    };
    if let Some(why) = copy.why_not_sealed() {
        log::warn!("keepers are started from their file, not from a copy that nobody can change: {why}");
    }
    Some(copy)
}

fn open_slot(
    slot: Slot,
    config: &ProcessConfig,
    (keeper, former): (Option<&KeeperProgram>, Option<(UnixStream, Option<i32>)>),
    groups: &Layout,
    state: &Rc<RefCell<State>>,
) -> io::Result<oneshot::Receiver<()>> {
    let setup = ToKeeper::Setup(Box::new(setup_of(slot, config, groups)));
    let (socket, keeper, first) = match former {
        // It has its setup, and gets this one when its job is over.
        Some((socket, pid)) => (socket, Keeper::Adopted { pid, setup: Some(setup) }, None),
        None => match keeper {
            Some(program) => {
                let (socket, child) = spawn::keeper_process(program)?;
                (socket, Keeper::Child(child), Some(setup))
            }
            None => (spawn::keeper_thread(slot)?, Keeper::Thread, Some(setup)),
        },
    };
    let (reader, writer) = tokio::net::UnixStream::from_std(socket)?.into_split();
    let link = Rc::new(Link::new(writer));
    first.map_or(Ok(()), |setup| link.send(&setup)).map_err(io::Error::other)?;
    let answer = state.borrow_mut().add_slot(Rc::clone(&link), keeper);
    tokio::task::spawn_local(link::converse(slot, reader, link, Rc::downgrade(state)));
    Ok(answer)
}

/// The keeper of a former life that waits for this one in the slot. One that holds the slot's lock and has no door yet may
/// still open it; one that does not answer yet may still do so.
async fn former_keeper(
    slot: Slot,
    config: &ProcessConfig,
    until: Alarm,
) -> Option<(UnixStream, Option<i32>)> {
    let (door, lock) = (door_of(slot, config), lock_of(slot, config));
    let opens_until = Alarm::after_ms(DOOR_WAIT_MS).sooner(Some(until));
    loop {
        let patience = match orphaned::find(&door, true) {
            Found::Keeper(socket, pid) => {
                log::info!(slot; "the keeper of a former life has waited for this one");
                return Some((socket, pid));
            }
            Found::Other => {
                log::warn!(slot; "the job of a former life ends: its keeper is of another version of callboard");
                return None;
            }
            Found::Nothing if !orphaned::is_held(&lock) => return None,
            Found::Nothing => opens_until,
            Found::Silent => until,
        };
        if patience.is_due() {
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A keeper of a former life has the slot and was not to be talked to: its job ends as soon as it is.
fn end_in_time(slot: Slot, config: &ProcessConfig) {
    let (door, lock) = (door_of(slot, config), lock_of(slot, config));
    if !orphaned::is_held(&lock) {
        return;
    }
    let ending = move || orphaned::end_when_heard(&door, &lock);
    if let Err(error) = std::thread::Builder::new().name("callboard-former".into()).spawn(ending) {
        log::error!(slot; "a job of a former life may go on beside its next attempt: {error}");
    }
}

/// Ends jobs of a former life in slots that are no more.
fn end_beyond(config: &ProcessConfig) {
    let entries = std::fs::read_dir(&config.slots_dir).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let is_door = path.extension().is_some_and(|it| it == DOOR);
        let slot = path.file_stem().and_then(|name| name.to_str()?.parse::<Slot>().ok());
        if let Some(slot) = slot.filter(|slot| is_door && *slot >= config.slots)
            && matches!(orphaned::find(&path, false), Found::Other)
        {
            log::warn!(slot; "the job of a former life ends: this life has fewer slots");
            let lock = lock_of(slot, config);
            let patience = Alarm::after_ms(DOOR_WAIT_MS);
            while orphaned::is_held(&lock) && !patience.is_due() {
                nap(10);
            }
        }
    }
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
