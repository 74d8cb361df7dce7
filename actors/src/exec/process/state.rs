//! What an executor knows of its slots: which are free, which job each holds, what its keeper said last.
//! It turns frames into events and does no IO but handing frames to links.

use std::collections::HashMap;
use std::process::Child;
use std::rc::Rc;

use tokio::sync::oneshot;

use super::input::InputLedger;
use super::keeper::Keeper;
use super::link::Link;
use super::rooms::Rooms;
use super::survivors;
use crate::clock::{Moment, moment};
use crate::exec::frame::{FromKeeper, Report, ToKeeper};
use crate::exec::{AdoptedAttempt, ExecEvent, ExecEvents, ExecRefusal, Slot};
use crate::model::{
    Artifacts, AttemptEnd, AttemptId, AttemptResult, Captured, Confinement, InputMode, IsolationReport,
    Network, Usage,
};

/// All slots of one executor.
pub(super) struct State {
    slots: Vec<SlotState>,
    free: Vec<Slot>,
    busy: HashMap<AttemptId, Slot>,
    is_stopping: bool,
    events: ExecEvents,
    isolation: IsolationReport,
    rooms: Rc<Rooms>,
    /// Found when their keepers were, and not told of yet.
    adopted: Vec<AdoptedAttempt>,
}

struct SlotState {
    link: Rc<Link>,
    keeper: Option<Keeper>,
    answer: Option<oneshot::Sender<()>>,
    is_quarantined: bool,
    job: Option<JobState>,
    /// The last attempt that its keeper has told the end of.
    last: Option<AttemptId>,
}

struct JobState {
    attempt: AttemptId,
    /// Only for streamed input.
    input: Option<InputLedger>,
    assigned: Moment,
    /// Its process, once the keeper has told that it runs.
    pid: Option<i32>,
}

impl State {
    pub(super) fn new(events: ExecEvents, isolation: IsolationReport, rooms: Rc<Rooms>) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            busy: HashMap::new(),
            is_stopping: false,
            events,
            isolation,
            rooms,
            adopted: Vec::new(),
        }
    }

    /// Adds the next slot. The receiver hears when it is usable or quarantined.
    pub(super) fn add_slot(&mut self, link: Rc<Link>, keeper: Keeper) -> oneshot::Receiver<()> {
        let (answer, receiver) = oneshot::channel();
        let keeper = Some(keeper);
        self.slots.push(SlotState {
            link,
            keeper,
            answer: Some(answer),
            is_quarantined: false,
            job: None,
            last: None,
        });
        receiver
    }

    pub(super) fn isolation(&self) -> &IsolationReport {
        &self.isolation
    }

    pub(super) fn usable_slots(&self) -> u32 {
        self.slots.iter().filter(|slot| !slot.is_quarantined).count() as u32
    }

    /// Slots that cannot be used.
    pub(super) fn quarantined(&self) -> Vec<Slot> {
        let slots = (0..).zip(&self.slots).filter(|(_, slot)| slot.is_quarantined);
        slots.map(|(slot, _)| slot).collect()
    }

    /// Reserves a slot for an attempt.
    pub(super) fn take_slot(
        &mut self,
        attempt: AttemptId,
        input: &InputMode,
    ) -> Result<Rc<Link>, ExecRefusal> {
        if self.is_stopping {
            return Err(ExecRefusal::Stopping);
        }
        let slot = self.free.pop().ok_or(ExecRefusal::NoFreeSlot)?;
        self.busy.insert(attempt, slot);
        let state = &mut self.slots[slot as usize];
        state.job = Some(JobState {
            attempt,
            input: matches!(input, InputMode::Streamed).then(InputLedger::default),
            assigned: moment(),
            pid: None,
        });
        Ok(Rc::clone(&state.link))
    }

    /// Ends an attempt that is not started.
    pub(super) fn refuse(&mut self, attempt: AttemptId, end: AttemptEnd) {
        if let Some(slot) = self.busy.remove(&attempt) {
            self.slots[slot as usize].job = None;
            self.free.push(slot);
            self.tell(ExecEvent::Finished(Box::new(self.without_output(attempt, end, None))));
        }
    }

    pub(super) fn link_of(&self, attempt: AttemptId) -> Option<Rc<Link>> {
        let slot = *self.busy.get(&attempt)?;
        Some(Rc::clone(&self.slots[slot as usize].link))
    }

    pub(super) fn write_input(
        &mut self,
        attempt: AttemptId,
        offset: u64,
        bytes: &[u8],
        end: bool,
    ) -> (u64, bool) {
        let Some(slot) = self.busy.get(&attempt) else {
            return (0, false);
        };
        let SlotState { link, job, .. } = &mut self.slots[*slot as usize];
        let Some(ledger) = job.as_mut().and_then(|job| job.input.as_mut()) else {
            return (0, false);
        };
        if let Some(accepted) = ledger.offer(offset, bytes.len(), end) {
            let frame = ToKeeper::Input {
                attempt,
                bytes: bytes[accepted.from..accepted.to].to_vec(),
                end: accepted.end,
            };
            // Never too long: the ledger bounds it. A keeper that is gone is heard of elsewhere.
            let _ = link.send(&frame);
        }
        ledger.standing()
    }

    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
        for slot in &self.slots {
            // One that is gone holds nothing.
            let _ = slot.link.send(&ToKeeper::HoldNoMore);
        }
    }

    pub(super) fn take_adopted(&mut self) -> Vec<AdoptedAttempt> {
        std::mem::take(&mut self.adopted)
    }

    /// Lets the keeper that had the attempt last forget its report. The others do not know it.
    pub(super) fn recorded(&self, attempt: AttemptId) {
        for slot in self.slots.iter().filter(|slot| slot.last == Some(attempt)) {
            let _ = slot.link.send(&ToKeeper::Recorded { attempt });
        }
    }

    /// Takes note of what a keeper said.
    pub(super) fn hear(&mut self, slot: Slot, frame: FromKeeper) {
        match frame {
            FromKeeper::Ready => self.slot_is_ready(slot),
            FromKeeper::Started { attempt, pid } => self.job_started(slot, attempt, pid),
            FromKeeper::InputRoom { attempt, taken, open } => self.input_taken(slot, attempt, taken, open),
            FromKeeper::Finished { report, slot_failed } => {
                self.job_finished(slot, *report, slot_failed.is_none());
                if let Some(why) = slot_failed {
                    self.quarantine(slot, why);
                }
            }
            FromKeeper::Failed { why } => self.quarantine(slot, why),
            FromKeeper::Held { attempt, order, pid, started_ms_ago } => {
                self.adopt(slot, AdoptedAttempt { attempt, cluster: order.cluster, started_ms_ago }, pid);
            }
        }
    }

    fn adopt(&mut self, slot: Slot, adopted: AdoptedAttempt, pid: i32) {
        let state = &mut self.slots[slot as usize];
        let Some(answer) = state.answer.take() else { return }; // Too late: it was given up.
        let AdoptedAttempt { attempt, started_ms_ago, .. } = adopted;
        // Nothing streams to it: such jobs are not held.
        state.job = Some(JobState {
            attempt,
            input: None,
            pid: Some(pid),
            assigned: moment().before(started_ms_ago),
        });
        self.busy.insert(attempt, slot);
        self.adopted.push(adopted);
        let _ = answer.send(());
    }

    fn slot_is_ready(&mut self, slot: Slot) {
        let state = &mut self.slots[slot as usize];
        if state.is_quarantined {
            return; // It answered after we had given it up.
        }
        if let Some(answer) = state.answer.take() {
            let _ = answer.send(());
            self.free.push(slot);
        }
    }

    fn job_started(&mut self, slot: Slot, attempt: AttemptId, pid: i32) {
        let job = self.slots[slot as usize].job.as_mut();
        if let Some(job) = job.filter(|job| job.attempt == attempt) {
            job.pid = Some(pid);
            self.tell(ExecEvent::Started { attempt });
        }
    }

    fn input_taken(&mut self, slot: Slot, attempt: AttemptId, taken: u64, open: bool) {
        let job = self.slots[slot as usize].job.as_mut();
        let ledger = job.filter(|job| job.attempt == attempt).and_then(|job| job.input.as_mut());
        if let Some(ledger) = ledger {
            ledger.progress(taken, open);
            let (accepted, open) = ledger.standing();
            self.tell(ExecEvent::InputRoom { attempt, accepted, open });
        }
    }

    fn job_finished(&mut self, slot: Slot, report: Report, is_reusable: bool) {
        let attempt = report.attempt;
        let state = &mut self.slots[slot as usize];
        let job = state.job.take();
        state.last = Some(attempt);
        if let Some(setup) = state.keeper.as_mut().and_then(Keeper::take_setup) {
            // A keeper that is gone is heard of elsewhere.
            let _ = state.link.send(&setup);
        }
        self.busy.remove(&attempt);
        if is_reusable {
            self.free.push(slot);
        }
        let is_news = job.is_some_and(|job| job.pid.is_none());
        if is_news && report.started_ms_ago.is_some() {
            self.tell(ExecEvent::Started { attempt });
        }
        if matches!(report.end, AttemptEnd::SandboxError { .. }) {
            self.rooms.note_failure();
        }
        let network = if report.host_network { Network::Host } else { Network::None };
        self.tell(ExecEvent::Finished(Box::new(AttemptResult {
            attempt,
            end: report.end,
            usage: report.usage,
            stdout: report.stdout,
            stderr: report.stderr,
            started_ms_ago: report.started_ms_ago,
            artifacts: report.artifacts,
            isolation: match report.confinement {
                Confinement::Plain => self.isolation.clone().held_to(report.limits),
                Confinement::Lite | Confinement::Room => {
                    IsolationReport { limits: report.limits, ..self.rooms.report(network) }
                }
            },
        })));
    }

    /// The conversation is over: the slot is lost, and what its keeper held is killed as far as it can be found.
    pub(super) fn keeper_ended(&mut self, slot: Slot, why: String) {
        if let Some(keeper) = self.slots[slot as usize].keeper.take().and_then(Keeper::into_child) {
            reap(vec![keeper]);
        }
        self.quarantine(slot, why);
    }

    /// Kills the keeper of an attempt if it is stopped; the end of its conversation does the rest. False when the
    /// attempt is over.
    pub(super) fn end_if_stopped(&mut self, attempt: AttemptId) -> bool {
        let Some(slot) = self.busy.get(&attempt) else {
            return false;
        };
        if self.slots[*slot as usize].keeper.as_mut().is_some_and(Keeper::kill_if_stopped) {
            log::error!(slot = *slot; "a keeper is stopped, so it is killed together with its job");
        }
        true
    }

    /// Takes a slot out of use. A job in it is lost.
    pub(super) fn quarantine(&mut self, slot: Slot, why: String) {
        let state = &mut self.slots[slot as usize];
        state.answer = None;
        if state.is_quarantined {
            return;
        }
        state.is_quarantined = true;
        // Nobody comes back for what it holds.
        let _ = state.link.send(&ToKeeper::HoldNoMore);
        state.link.close();
        self.free.retain(|free| *free != slot);
        if let Some(job) = self.slots[slot as usize].job.take() {
            self.lose(&job, why.clone());
        }
        self.tell(ExecEvent::SlotQuarantined { slot, why });
    }

    fn lose(&mut self, job: &JobState, why: String) {
        let (attempt, pid, events) = (job.attempt, job.pid, self.events.clone());
        self.busy.remove(&attempt);
        let started_ms_ago = pid.map(|_| job.assigned.elapsed_ms());
        let result = self.without_output(attempt, AttemptEnd::Lost { why, fenced: false }, started_ms_ago);
        let finished = ExecEvent::Finished(Box::new(result.clone()));
        // The search may take seconds; only when it is over may the attempt be called lost.
        let searched = aside(move || {
            survivors::kill(attempt, pid);
            let _ = events.send(finished);
        });
        if searched.is_err() {
            survivors::kill(attempt, pid);
            self.tell(ExecEvent::Finished(Box::new(result)));
        }
    }

    fn without_output(
        &self,
        attempt: AttemptId,
        end: AttemptEnd,
        started_ms_ago: Option<u64>,
    ) -> AttemptResult {
        AttemptResult {
            attempt,
            end,
            usage: Usage::default(),
            stdout: Captured::default(),
            stderr: Captured::default(),
            started_ms_ago,
            isolation: self.isolation.clone(),
            artifacts: Artifacts::default(),
        }
    }

    fn tell(&self, event: ExecEvent) {
        // Nobody listens any more only when the owner is being dropped.
        let _ = self.events.send(event);
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let mut keepers = Vec::new();
        for slot in &mut self.slots {
            // Whoever drops us wants everything to end.
            let _ = slot.link.send(&ToKeeper::HoldNoMore);
            slot.link.close();
            if slot.job.is_none() {
                // One that is stopped holds nothing and would never hear that this is the end.
                let _ = slot.keeper.as_mut().map(Keeper::kill_if_stopped);
            }
            keepers.extend(slot.keeper.take().and_then(Keeper::into_child));
        }
        reap(keepers);
    }
}

/// Takes the exit status of keepers whose sockets are closed, so that they end now. Where no thread can be started they
/// stay zombies until this process ends, which takes nothing but their numbers.
fn reap(keepers: Vec<Child>) {
    if keepers.is_empty() {
        return;
    }
    let waiting = aside(move || {
        for mut keeper in keepers {
            let _ = keeper.wait();
        }
    });
    if let Err(error) = waiting {
        log::warn!("no thread can be started to wait for keepers: {error}");
    }
}

/// Does something slow elsewhere. `std::thread::spawn` would panic where no thread can be started, and this is called
/// while an actor is being dropped.
fn aside(work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name("callboard-exec".into()).spawn(work).map(drop)
}
