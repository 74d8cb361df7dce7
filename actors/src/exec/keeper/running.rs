//! One attempt from its start to its report: output, input, the ladder from TERM to KILL, the end of its tree.
//! It knows no conversation: what is worth telling it returns.

mod ending;

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, pidfd_send_signal};

use super::feed::Feed;
use super::harvest::Harvest;
use super::hold::Hold;
use super::intake::Intake;
use super::launch::{FarEnds, Launched, NullInput, SpawnFailure, launch};
use super::tree::{Grip, Tree, Unkillable};
use crate::clock::{Moment, moment};
use crate::exec::alarm::Alarm;
use crate::exec::fence::Fence;
use crate::exec::frame::{Plan, Report, Setup};
use crate::exec::home::Home;
use crate::exec::sandbox::{LastWords, Step, Steps};
use crate::exec::spooling::SpoolFolder;
use crate::exec::sys;
use crate::model::{AttemptId, Captured, Confinement, Exit, InputMode, Stream, Usage};

/// A start is told this late, in milliseconds, so that a job that is over by then costs one frame and not two.
const TELL_START_AFTER_MS: u64 = 20;
/// Longest wait for a stranger that holds a pipe of a job whose tree is gone, in milliseconds.
const DRAIN_MS: u64 = 2_000;
/// How often orphans are reaped at the latest, in milliseconds; usually their death wakes us.
const REAP_EVERY_MS: u64 = 10_000;

/// Why we ended a job. The first cause counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Timeout,
    Asked,
    Output,
    Memory,
    Fence,
}

/// A job that was started.
#[derive(Debug)]
pub(crate) struct Running {
    attempt: AttemptId,
    grip: Grip,
    tree: Tree,
    pid: i32,
    pidfd: OwnedFd,
    started: Moment,
    tell_start: Option<Alarm>,
    timeout: Option<(Alarm, u64)>,
    fence: Option<Fence>,
    grace_ms: u64,
    hard_bytes: u64,
    cause: Option<Cause>,
    kill_at: Option<Alarm>,
    reap_at: Alarm,
    feed: Option<Feed>,
    streams: [Intake; 2],
    far_ends: Option<FarEnds>,
    last_words: Option<LastWords>,
    steps: Steps,
    hold: Hold,
    confinement: Confinement,
    host_network: bool,
    harvest: Option<Harvest>,
    home: Option<Home>,
    folder: SpoolFolder,
}

/// The end of an attempt, and whether its tree was ended too.
pub(crate) struct Ended {
    pub(crate) report: Report,
    /// Why its slot cannot be used again.
    pub(crate) slot_failed: Option<String>,
}

impl Running {
    /// Starts the plan, or says at once how it failed.
    pub(crate) fn start(
        plan: Plan,
        setup: &Setup,
        folder: SpoolFolder,
        grip: Grip,
    ) -> Result<Self, Box<Report>> {
        let started = moment();
        let null_input = match grip {
            Grip::Subreaper => NullInput::Inherit,
            Grip::Group => NullInput::Open,
        };
        let attempt = plan.attempt;
        let hold = Hold::prepare(&plan, setup).map_err(|failure| not_started(attempt, failure))?;
        let prepared = (Step::Groups, u32::try_from(started.elapsed_us()).unwrap_or(u32::MAX));
        match launch(&plan, setup, null_input, hold.group()) {
            Ok(launched) => {
                let steps = Steps::new(started, prepared, &launched.steps);
                Ok(Self::new(plan, setup, launched, steps, folder, grip, hold))
            }
            Err(failure) => {
                // The next job finds what cannot be removed now.
                drop(hold.release());
                Err(not_started(attempt, failure))
            }
        }
    }

    fn new(
        plan: Plan,
        setup: &Setup,
        launched: Launched,
        steps: Steps,
        folder: SpoolFolder,
        grip: Grip,
        hold: Hold,
    ) -> Self {
        let caps = setup.caps;
        let fence = plan.fence_grace_ms.map(|grace_ms| Fence::new(setup.fence_path.to_path(), grace_ms));
        sys::child_died(); // Forgets the last job's.
        let started = steps.began();
        let feed = launched.stdin.map(|pipe| match plan.input {
            InputMode::Inline(bytes) => Feed::new(pipe, bytes, true),
            InputMode::Null | InputMode::Streamed => Feed::new(pipe, Vec::new(), false),
        });
        let intake = |stream, pipe| Intake::new(stream, pipe, caps);
        Self {
            attempt: plan.attempt,
            grip,
            tree: Tree::new(grip, launched.pid),
            pid: launched.pid.as_raw_pid(),
            pidfd: launched.pidfd,
            started,
            tell_start: Some(Alarm::at(started, TELL_START_AFTER_MS)),
            timeout: plan.timeout_ms.map(|ms| (Alarm::at(started, ms), ms)),
            fence,
            grace_ms: plan.grace_ms,
            hard_bytes: caps.hard,
            cause: None,
            kill_at: None,
            reap_at: Alarm::after_ms(REAP_EVERY_MS),
            feed,
            streams: [intake(Stream::Stdout, launched.stdout), intake(Stream::Stderr, launched.stderr)],
            far_ends: Some(launched.far_ends),
            last_words: launched.last_words,
            steps,
            hold,
            confinement: plan.confinement,
            host_network: plan.host_network,
            home: launched.home,
            harvest: Harvest::of(launched.folder, plan.artifacts, caps.artifacts),
            folder,
        }
    }

    pub(crate) fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// Its process, and since when it runs, in milliseconds.
    pub(crate) fn standing(&self) -> (i32, u64) {
        (self.pid, self.started.elapsed_ms())
    }

    /// Whether it can do without its node: what was accepted of its input and is not here yet would be missing.
    pub(crate) fn may_be_held(&self) -> bool {
        self.feed.as_ref().is_none_or(Feed::is_complete)
    }

    /// Asks for the end: TERM now, KILL after the grace. A later call with a shorter grace wins.
    pub(crate) fn end(&mut self, grace_ms: u64) {
        self.descend(Cause::Asked, grace_ms);
    }

    /// Hands over streamed input.
    pub(crate) fn input(&mut self, bytes: &[u8], end: bool) {
        if let Some(feed) = &mut self.feed {
            feed.add(bytes, end);
        }
    }

    /// Progress of the input that is worth telling.
    pub(crate) fn input_news(&mut self) -> Option<(u64, bool)> {
        self.feed.as_mut()?.news()
    }

    /// The process, once, when it is time to tell that it runs.
    pub(crate) fn start_news(&mut self) -> Option<i32> {
        let due = self.tell_start.is_some_and(|alarm| alarm.is_due());
        due.then(|| {
            self.tell_start = None;
            self.pid
        })
    }

    /// What to wait for, in the order that [`Self::turn`] expects. An absent descriptor takes no place.
    pub(crate) fn poll_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        fds.push(PollFd::new(&self.pidfd, PollFlags::IN));
        for pipe in self.streams.iter().filter_map(|it| it.pipe.as_ref()) {
            fds.push(PollFd::new(pipe, PollFlags::IN));
        }
        if let Some((pipe, wants_room)) = self.feed.as_ref().and_then(Feed::pipe) {
            let events = if wants_room { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::new(pipe, events));
        }
    }

    /// The next moment at which something is due.
    pub(crate) fn wake_after(&self) -> Duration {
        let alarms = [
            self.tell_start,
            self.timeout.map(|(alarm, _)| alarm),
            self.kill_at,
            self.hold.watch_alarm(),
            self.fence.as_ref().map(Fence::alarm),
            self.streams[0].capture.flush_alarm(),
            self.streams[1].capture.flush_alarm(),
        ];
        let soonest = alarms.into_iter().flatten().fold(self.reap_at, |a, b| a.sooner(Some(b)));
        soonest.left()
    }

    /// Handles what poll found and what is due. True when the job is over and [`Self::finish`] is to be called.
    pub(crate) fn turn(&mut self, mut ready: impl Iterator<Item = PollFlags>, scratch: &mut [u8]) -> bool {
        let leader_died = ready.next().is_some_and(|flags| !flags.is_empty());
        for intake in &mut self.streams {
            if intake.pipe.is_some() {
                let flags = ready.next().unwrap_or(PollFlags::empty());
                intake.drain(flags, scratch, &mut self.folder);
            }
        }
        if let Some(feed) = self.feed.as_mut().filter(|feed| feed.pipe().is_some()) {
            let flags = ready.next().unwrap_or(PollFlags::empty());
            if flags.contains(PollFlags::ERR) {
                feed.close();
            } else if flags.contains(PollFlags::OUT) {
                feed.pump();
            }
        }
        leader_died || self.keep_time()
    }

    /// Timeouts, limits, flushes, orphans. True when the tree is to be killed now.
    fn keep_time(&mut self) -> bool {
        if self.grip == Grip::Subreaper && (sys::child_died() || self.reap_at.is_due()) {
            self.reap_at = Alarm::after_ms(REAP_EVERY_MS);
            self.tree.reap();
            if self.tree.exit().is_some() {
                return true;
            }
        }
        for intake in &mut self.streams {
            intake.capture.flush_if_due(&mut self.folder);
        }
        if self.streams.iter().any(|it| it.capture.is_over_limit()) {
            self.descend(Cause::Output, 0);
        }
        if self.hold.is_out_of_memory() {
            self.descend(Cause::Memory, 0);
        }
        if let Some(grace_ms) =
            self.fence.as_mut().and_then(|fence| fence.is_over().then_some(fence.grace_ms))
        {
            self.descend(Cause::Fence, grace_ms);
        }
        if self.cause.is_none() && self.timeout.is_some_and(|(alarm, _)| alarm.is_due()) {
            self.descend(Cause::Timeout, self.grace_ms);
        }
        self.kill_at.is_some_and(|alarm| alarm.is_due())
    }

    fn descend(&mut self, cause: Cause, grace_ms: u64) {
        if self.leader_is_dead() {
            return; // It ended by itself first, and the next turn will see that.
        }
        self.kill_at = Some(Alarm::after_ms(grace_ms).sooner(self.kill_at));
        if self.cause.is_none() {
            self.cause = Some(cause);
            if grace_ms > 0 {
                self.tree.terminate();
            }
        }
    }

    fn leader_is_dead(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let at_once = rustix::event::Timespec::default();
        poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
    }

    /// Kills a room's first process, and with it whoever is in the room: also where `/proc` hides them from us.
    fn fell_room(&self) {
        if self.last_words.is_some() {
            let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        }
    }

    /// Kills the tree without a report: nobody is left to read it.
    pub(crate) fn abandon(mut self) -> Result<(), Unkillable> {
        self.fell_room();
        self.tree.kill()
    }

    /// Ends what is left of the tree, takes the rest of the output, and reports.
    pub(crate) fn finish(mut self, scratch: &mut [u8]) -> Ended {
        let mut gone = self.grip == Grip::Subreaper && self.tree.reap();
        let mut wall_us = self.started.elapsed_us();
        let mut unkillable = None;
        if !gone {
            let was_alive = self.tree.exit().is_none();
            self.fell_room();
            unkillable = self.tree.kill().err();
            gone = unkillable.is_none();
            if was_alive {
                wall_us = self.started.elapsed_us();
            }
        }
        self.steps.mark(Step::Gone);
        self.drain(scratch, gone);
        self.report(wall_us, unkillable.as_ref())
    }

    /// Reads to the end of both streams. With the tree gone only a stranger can hold a pipe open; it is not waited
    /// for long.
    fn drain(&mut self, scratch: &mut [u8], gone: bool) {
        self.far_ends = None;
        let patience = Alarm::after_ms(if gone { DRAIN_MS } else { 0 });
        loop {
            let mut waiting = Vec::with_capacity(2);
            for intake in &mut self.streams {
                intake.drain(PollFlags::IN, scratch, &mut self.folder);
            }
            for pipe in self.streams.iter().filter_map(|it| it.pipe.as_ref()) {
                waiting.push(PollFd::new(pipe, PollFlags::IN));
            }
            let left = patience.left();
            if waiting.is_empty() || left.is_zero() {
                return;
            }
            let time = rustix::event::Timespec::try_from(left).ok();
            let _ = poll(&mut waiting, time.as_ref());
        }
    }

    fn report(mut self, wall_us: u64, unkillable: Option<&Unkillable>) -> Ended {
        let mut usage = Usage { wall_us, ..self.tree.usage() };
        let exit = match self.last_words.as_ref().map(LastWords::read) {
            None => self.tree.exit(),
            Some(Some((exit, orphans))) => {
                usage.orphans_killed += orphans;
                Some(exit)
            }
            // It was killed before it could tell, and the job with it; it never leaves by itself without a word.
            Some(None) => self.tree.exit().filter(|exit| matches!(exit, Exit::Signal { .. })),
        };
        let readings = self.hold.readings();
        readings.add_to(&mut usage);
        let end = self.end_of(exit, &readings, unkillable);
        let mut folder = self.folder;
        // Who could not be killed could still change what is read.
        let harvest = self.harvest.filter(|_| unkillable.is_none());
        let artifacts = harvest.map(|harvest| harvest.bring_in(&mut folder)).unwrap_or_default();
        let home_failed = self.home.filter(|_| unkillable.is_none()).and_then(Home::remove);
        let (limits, group_failed) = self.hold.release();
        self.steps.mark(Step::Released);
        let [stdout, stderr] = self.streams;
        let stdout = stdout.capture.finish(&mut folder);
        let stderr = stderr.capture.finish(&mut folder);
        let in_full = |captured: &Captured| captured.inline.is_some();
        if in_full(&stdout) && in_full(&stderr) && artifacts.kept.is_empty() {
            folder.discard();
        }
        let report = Report {
            attempt: self.attempt,
            end,
            usage,
            throttles: readings.throttles,
            stdout,
            stderr,
            started_ms_ago: Some(self.started.elapsed_ms()),
            confinement: self.confinement,
            host_network: self.host_network,
            limits,
            steps: self.steps.into_stamps(),
            artifacts,
        };
        Ended { report, slot_failed: unkillable.map(Unkillable::to_string).or(group_failed).or(home_failed) }
    }
}

fn not_started(attempt: AttemptId, failure: SpawnFailure) -> Box<Report> {
    Box::new(Report::not_started(attempt, failure.into_end()))
}
