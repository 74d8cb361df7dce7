//! The loop of one slot: hears the node, runs its jobs one after the other, and tells how they ended.
//! The same loop serves a keeper process and, where there is none, a thread that holds jobs by their process group.

use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::hold;
use super::orphaned::{Caller, Door};
use super::running::Running;
use super::tree::Grip;
use super::walk;
use crate::exec::HoldOrder;
use crate::exec::alarm::Alarm;
use crate::exec::frame::{FromKeeper, Inbox, Plan, Setup, ToKeeper, encode};
use crate::exec::home;
use crate::exec::spooling::{SpoolFolder, open_root};
use crate::model::AttemptId;

const SCRATCH_BYTES: usize = 64 * 1024;
/// How often a held lock is tried again, in milliseconds.
const LOCK_RETRY_MS: u64 = 20;
/// The lifeline, the process, two streams and the input.
const MOST_FDS: usize = 5;

/// One slot's state.
pub(crate) struct SlotKeeper {
    lifeline: OwnedFd,
    grip: Grip,
    inbox: Inbox,
    setup: Option<Box<Setup>>,
    spool_root: Option<Arc<OwnedFd>>,
    /// Held for as long as this slot or anything of its job lives; by the process itself where there is one.
    lock: Option<OwnedFd>,
    running: Option<Running>,
    scratch: Vec<u8>,
    given_up: bool,
    /// The last job that may do without its node, until its report is where that survives.
    held: Option<Held>,
}

/// What a keeper has beside the job itself, to do without its node.
struct Held {
    attempt: AttemptId,
    order: HoldOrder,
    /// Its process, and since when it runs, as they were when it ended.
    standing: (i32, u64),
    /// How it ended, when it has.
    report: Option<FromKeeper>,
}

/// The conversation is over.
struct Over;

impl SlotKeeper {
    pub(crate) fn new(lifeline: OwnedFd, grip: Grip) -> Self {
        Self {
            lifeline,
            grip,
            inbox: Inbox::default(),
            setup: None,
            spool_root: None,
            lock: None,
            running: None,
            scratch: vec![0; SCRATCH_BYTES],
            given_up: false,
            held: None,
        }
    }

    /// Serves until the lifeline ends, and goes on for the next life of the node where it may; then kills what runs. The
    /// lock outlives the tree.
    pub(crate) fn run(mut self) {
        loop {
            while self.serve().is_ok() {}
            if !self.waits_for_node() {
                break;
            }
        }
        if let (Some(_), Some(running)) = (&self.setup, self.running.take()) {
            let _ = running.abandon();
        }
        if self.grip == Grip::Subreaper {
            while super::tree::kill_everything().is_err() {}
        }
        if let Some(setup) = &self.setup {
            let _ = hold::sweep(&setup.groups, &setup.group_name);
            let _ = home::remove(&setup.homes_dir.to_path(), &setup.group_name);
        }
        drop(self.lock);
    }

    /// The node is gone. Goes on with a job that may do without one, or keeps its report, until the node's next life has
    /// come for it (true), or the time for that is over.
    fn waits_for_node(&mut self) -> bool {
        let may = |running: &Running| running.may_be_held();
        let (Some(setup), Some(held)) = (&self.setup, &self.held) else { return false };
        if self.grip == Grip::Group || !self.running.as_ref().is_none_or(may) {
            return false;
        }
        let until = Alarm::after_ms(held.order.for_ms);
        let Ok(door) = Door::open(&setup.door_path.to_path()) else { return false };
        // Whoever reads what the node says must not wait for us.
        if let Ok(null) = openat(CWD, "/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
            let _ = rustix::stdio::dup2_stderr(&null);
        }
        while !until.is_due() && self.held.is_some() {
            let Ok(ready) = self.wait(Some((&door, until))) else { return false };
            if !ready[0].is_empty() {
                match door.answer() {
                    Caller::Node(lifeline) => {
                        drop(door);
                        (self.lifeline, self.inbox) = (lifeline, Inbox::default());
                        // One that is gone again is waited for again.
                        let _ = self.introduce();
                        return true;
                    }
                    Caller::Stranger => return false,
                    Caller::Nobody => {}
                }
            }
            let turn =
                |running: &mut Running, scratch: &mut [u8]| running.turn(ready[1..].iter().copied(), scratch);
            if self.running.as_mut().is_some_and(|running| turn(running, &mut self.scratch)) {
                // There is nobody to tell it to, so it is kept.
                let _ = self.finish();
            }
        }
        false
    }

    /// Tells the node's next life what it comes for.
    fn introduce(&mut self) -> Result<(), Over> {
        let Some(Held { attempt, order, standing, report }) = &self.held else { return Err(Over) };
        let (pid, started_ms_ago) = self.running.as_ref().map_or(*standing, Running::standing);
        let (attempt, order) = (*attempt, *order);
        self.say(&FromKeeper::Held { attempt, order, pid, started_ms_ago })?;
        report.as_ref().map_or(Ok(()), |report| self.say(report))
    }

    /// One round: wait, hear, act.
    fn serve(&mut self) -> Result<(), Over> {
        let ready = self.wait(None)?;
        if !ready[0].is_empty() {
            self.hear()?;
        }
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let over = running.turn(ready[1..].iter().copied(), &mut self.scratch);
        if over {
            return self.finish();
        }
        self.tell_progress()
    }

    /// What is ready: the lifeline first, or the door where one waits there, then the job's descriptors in its own order.
    ///
    /// # Errors
    /// Nothing can be waited for any more, as where somebody has taken our limits away: then the end is the only way out.
    fn wait(&self, at_door: Option<(&Door, Alarm)>) -> Result<[PollFlags; MOST_FDS], Over> {
        let mut fds = Vec::with_capacity(MOST_FDS);
        fds.push(match at_door {
            Some((door, _)) => PollFd::new(door.listener(), PollFlags::IN),
            None => PollFd::new(&self.lifeline, PollFlags::IN),
        });
        let mut soonest = at_door.map(|(_, until)| until.left());
        if let Some(running) = &self.running {
            running.poll_fds(&mut fds);
            let due = running.wake_after();
            soonest = Some(soonest.map_or(due, |soonest| soonest.min(due)));
        }
        let time = soonest.and_then(|soonest| Timespec::try_from(soonest).ok());
        let mut ready = [PollFlags::empty(); MOST_FDS];
        match poll(&mut fds, time.as_ref()) {
            Ok(_) => {
                for (flags, fd) in ready.iter_mut().zip(&fds) {
                    *flags = fd.revents();
                }
                Ok(ready)
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(ready),
            Err(_) => Err(Over),
        }
    }

    fn hear(&mut self) -> Result<(), Over> {
        match rustix::io::read(&self.lifeline, &mut self.scratch[..]) {
            Ok(0) => return Err(Over),
            Ok(n) => self.inbox.push(&self.scratch[..n]),
            Err(Errno::INTR | Errno::AGAIN) => return Ok(()),
            Err(_) => return Err(Over),
        }
        while let Some(frame) = self.inbox.next().map_err(|_| Over)? {
            self.obey(frame)?;
        }
        Ok(())
    }

    fn obey(&mut self, frame: ToKeeper) -> Result<(), Over> {
        match frame {
            ToKeeper::Setup(setup) => return self.set_up(setup),
            ToKeeper::Run(plan) => return self.start(*plan),
            ToKeeper::Kill { attempt, grace_ms } => {
                if let Some(running) = self.job(attempt) {
                    running.end(grace_ms);
                }
            }
            ToKeeper::Input { attempt, bytes, end } => {
                if let Some(running) = self.job(attempt) {
                    running.input(&bytes, end);
                }
            }
            ToKeeper::Recorded { attempt } => {
                self.held.take_if(|held| held.attempt == attempt && held.report.is_some());
            }
            ToKeeper::HoldNoMore => self.held = None,
        }
        Ok(())
    }

    /// The running job, when it is the one that is meant.
    fn job(&mut self, attempt: AttemptId) -> Option<&mut Running> {
        self.running.as_mut().filter(|it| it.attempt() == attempt)
    }

    fn set_up(&mut self, setup: Box<Setup>) -> Result<(), Over> {
        if self.setup.is_some() {
            // Of the next life: what was set up by hand before it holds for it as well.
            self.spool_root = open_root(&setup.spool_dir.to_path()).ok();
            self.setup = Some(setup);
            return Ok(());
        }
        if self.grip == Grip::Subreaper && !walk::is_possible() {
            let why = "/proc does not list the children of processes (CONFIG_PROC_CHILDREN)";
            return self.give_up(why.into());
        }
        if let (Grip::Subreaper, Some(soft)) = (self.grip, setup.open_files) {
            limit_open_files(soft);
        }
        match self.acquire(&setup) {
            Ok(lock) if self.grip == Grip::Group => self.lock = Some(lock),
            // A process holds it to its very end, whatever else may go wrong in it.
            Ok(lock) => drop(lock.into_raw_fd()),
            Err(why) => return self.give_up(why),
        }
        if let Err(why) = hold::sweep(&setup.groups, &setup.group_name) {
            return self.give_up(why);
        }
        // What cannot be removed now is in the way of the next job that needs the place, and that will say so.
        let _ = home::remove(&setup.homes_dir.to_path(), &setup.group_name);
        self.spool_root = open_root(&setup.spool_dir.to_path()).ok();
        self.setup = Some(setup);
        self.say(&FromKeeper::Ready)
    }

    /// Takes the slot's lock, waiting for the keeper of a former life to be done with its tree.
    fn acquire(&self, setup: &Setup) -> Result<OwnedFd, String> {
        let path = setup.lock_path.to_path();
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let patience = Alarm::after_ms(setup.lock_wait_ms);
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(lock),
                Err(Errno::WOULDBLOCK | Errno::INTR) if !patience.is_due() => {}
                Err(error) => {
                    return Err(format!(
                        "{} is held by the keeper of a former life, whose job is not gone yet ({error})",
                        path.display()
                    ));
                }
            }
            let mut fds = [PollFd::new(&self.lifeline, PollFlags::RDHUP)];
            let nap = Timespec::try_from(std::time::Duration::from_millis(LOCK_RETRY_MS)).ok();
            if poll(&mut fds, nap.as_ref()).is_ok_and(|ready| ready > 0) {
                return Err("the node went away".into());
            }
        }
    }

    fn start(&mut self, plan: Plan) -> Result<(), Over> {
        let (Some(setup), false, None) = (&self.setup, self.given_up, &self.running) else {
            return Err(Over); // The node lost count of its slots; ending the conversation ends everything.
        };
        let folder = SpoolFolder::new(self.spool_root.clone(), plan.attempt);
        let (attempt, order) = (plan.attempt, plan.hold);
        self.held = None;
        match Running::start(plan, setup, folder, self.grip) {
            Ok(running) => {
                let standing = running.standing();
                self.held = order.map(|order| Held { attempt, order, standing, report: None });
                self.running = Some(running);
                Ok(())
            }
            Err(report) => self.say(&FromKeeper::Finished { report, slot_failed: None }),
        }
    }

    fn tell_progress(&mut self) -> Result<(), Over> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let attempt = running.attempt();
        let started = running.start_news();
        let input = running.input_news();
        if let Some(pid) = started {
            self.say(&FromKeeper::Started { attempt, pid })?;
        }
        if let Some((taken, open)) = input {
            self.say(&FromKeeper::InputRoom { attempt, taken, open })?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Over> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        let standing = running.standing();
        let ended = running.finish(&mut self.scratch);
        self.given_up = ended.slot_failed.is_some();
        let report = FromKeeper::Finished { report: Box::new(ended.report), slot_failed: ended.slot_failed };
        let said = self.say(&report);
        if let Some(held) = &mut self.held {
            (held.standing, held.report) = (standing, Some(report));
        }
        said
    }

    fn give_up(&mut self, why: String) -> Result<(), Over> {
        self.given_up = true;
        self.say(&FromKeeper::Failed { why })
    }

    /// Sends one frame. Waiting here is harmless: frames that can be long are sent when no job runs.
    fn say(&self, frame: &FromKeeper) -> Result<(), Over> {
        let bytes = encode(frame, Vec::new()).map_err(|_| Over)?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match send(&self.lifeline, rest, SendFlags::NOSIGNAL) {
                Ok(n) => rest = &rest[n..],
                Err(Errno::INTR) => {}
                Err(_) => return Err(Over),
            }
        }
        Ok(())
    }
}

/// Takes a soft limit that the node once had. Jobs inherit it from us, and we need a handful of files only.
fn limit_open_files(soft: u64) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = Some(maximum.map_or(soft, |hard| hard.min(soft)));
    // Lowering one's own soft limit is always permitted; were it not, a job would merely have the node's.
    let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
}
