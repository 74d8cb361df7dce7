//! What the node makes of commands: attempts that it takes, ends, gives back. It refuses to know how it is told.

use super::{MAX_SKIPPED, NodeEffect, NodeLink, NodePhase};
use crate::link::messages::{Assignment, Command, CommandRefusal, DrainOrder, ReturnedNote};
use crate::model::{AttemptId, Epoch, JobId};

impl NodeLink {
    /// Acts on a command. A number that was seen before, or an older one, changes nothing.
    ///
    /// # Errors
    /// [`CommandRefusal`]; nothing was changed.
    pub fn on_command(&mut self, now: u64, command: Command) -> Result<Vec<NodeEffect>, CommandRefusal> {
        if command.cluster != self.cluster {
            return Err(CommandRefusal::OtherCluster);
        }
        if command.incarnation != self.incarnation {
            return Err(CommandRefusal::OtherIncarnation);
        }
        if command.term < self.term_seen {
            return Err(CommandRefusal::OldTerm);
        }
        if command.cmd_no > self.cmd_seen && !command.assign.is_empty() {
            if self.memory.has_forgotten(command.answered_n) {
                return Err(CommandRefusal::TooOld);
            }
            if !self.memory.has_room(command.assign.len()) {
                return Err(CommandRefusal::NotNow);
            }
        }
        self.term_seen = command.term;
        if command.cmd_no <= self.cmd_seen {
            return Ok(Vec::new());
        }
        self.see(command.cmd_no);
        self.order_drain(now, command.draining);
        let mut effects = Vec::new();
        for order in command.cancel {
            self.cancel(now, order.attempt, order.grace_ms, &mut effects);
        }
        for attempt in command.retract {
            self.retract(attempt);
        }
        for assignment in command.assign {
            self.assign(assignment, &mut effects);
        }
        self.memory.command_came(now, command.answered_n);
        Ok(effects)
    }

    fn see(&mut self, cmd_no: u64) {
        let first = (self.cmd_seen + 1).max(cmd_no.saturating_sub(MAX_SKIPPED as u64));
        self.skipped.extend(first..cmd_no);
        let too_many = self.skipped.len().saturating_sub(MAX_SKIPPED);
        self.skipped.drain(..too_many);
        self.cmd_seen = cmd_no;
    }

    fn assign(&mut self, assignment: Assignment, effects: &mut Vec<NodeEffect>) {
        let attempt = assignment.attempt;
        if self.knows(attempt) {
            // The coordinator did not see our news of it yet: the next report repeats what there is to say.
            if matches!(self.attempts.get(&attempt), Some(NodePhase::Running { .. })) {
                self.started.push(attempt);
            }
            return;
        }
        if let Some(why) = self.refusal(attempt) {
            return self.give_back(attempt, why);
        }
        if let Some(older) = self.take_waiting(|waiting| waiting.job == attempt.job) {
            self.give_back(older, "a later attempt took its place");
        }
        let older: Vec<AttemptId> = self.live_of(attempt.job).collect();
        effects.extend(older.into_iter().map(|attempt| NodeEffect::Kill { attempt, grace_ms: 0 }));
        self.waiting.push_back(assignment);
        effects.append(&mut self.start_waiting());
    }

    /// Whether the attempt is here, or was here and has its verdict.
    fn knows(&self, attempt: AttemptId) -> bool {
        self.attempts.contains_key(&attempt)
            || self.memory.is_judged(attempt)
            || self.waiting.iter().any(|waiting| waiting.attempt == attempt)
    }

    fn refusal(&self, attempt: AttemptId) -> Option<&'static str> {
        let later = |here: &AttemptId| here.job == attempt.job && here.epoch > attempt.epoch;
        if self.memory.forbids(attempt) {
            Some("it was cancelled or given back before")
        } else if self.waiting.iter().any(|waiting| later(&waiting.attempt))
            || self.all_of(attempt.job).any(|(here, _)| later(here))
        {
            Some("a later attempt at the job is here")
        } else if self.is_draining() {
            Some("the node is draining")
        } else if self.live_count() >= self.most_held() {
            Some("no free slot")
        } else {
            None
        }
    }

    /// Attempts that may be here at once and are not over. Nothing waits for slots that do not exist.
    fn most_held(&self) -> usize {
        let prefetch = if self.usable_slots == 0 { 0 } else { self.prefetch };
        self.usable_slots as usize + prefetch as usize
    }

    /// What is given back never starts here, whatever command still carries it: others may be given the job.
    pub(super) fn give_back(&mut self, attempt: AttemptId, why: impl Into<String>) {
        self.memory.give_back(attempt);
        self.returned.push(ReturnedNote { attempt, why: why.into() });
    }

    fn take_waiting(&mut self, which: impl Fn(AttemptId) -> bool) -> Option<AttemptId> {
        let at = self.waiting.iter().position(|waiting| which(waiting.attempt))?;
        self.waiting.remove(at).map(|waiting| waiting.attempt)
    }

    pub(super) fn all_of(&self, job: JobId) -> impl Iterator<Item = (&AttemptId, &NodePhase)> {
        let attempt = |epoch| AttemptId::new(job, Epoch(epoch));
        self.attempts.range(attempt(0)..=attempt(u32::MAX))
    }

    pub(super) fn live_of(&self, job: JobId) -> impl Iterator<Item = AttemptId> {
        let live = |(_, phase): &(&AttemptId, &NodePhase)| !matches!(phase, NodePhase::Done { .. });
        self.all_of(job).filter(live).map(|(attempt, _)| *attempt)
    }

    fn cancel(&mut self, now: u64, attempt: AttemptId, grace_ms: u64, effects: &mut Vec<NodeEffect>) {
        match self.attempts.get(&attempt) {
            Some(NodePhase::Taken | NodePhase::Running { .. }) => {
                effects.push(NodeEffect::Kill { attempt, grace_ms })
            }
            Some(NodePhase::Done { .. }) => {}
            None => {
                if self.take_waiting(|waiting| waiting == attempt).is_some() {
                    self.give_back(attempt, "cancelled before it started");
                }
                self.memory.cancel(now, attempt);
            }
        }
    }

    /// Gives the attempt back unless it was started or is over. One that is not here must not start either: its
    /// assignment can only be in a command that is refused by now, for its number is lower.
    fn retract(&mut self, attempt: AttemptId) {
        let told = self.attempts.contains_key(&attempt) || self.memory.is_judged(attempt);
        if told || self.memory.forbids(attempt) {
            return;
        }
        self.take_waiting(|waiting| waiting == attempt);
        self.give_back(attempt, "retracted");
    }

    /// Starts what waits, in order, as far as there are slots and no earlier attempt at the job is alive.
    pub(super) fn start_waiting(&mut self) -> Vec<NodeEffect> {
        let (mut effects, mut at) = (Vec::new(), 0);
        while self.occupied < self.usable_slots as usize
            && let Some(job) = self.waiting.get(at).map(|waiting| waiting.attempt.job)
        {
            if self.live_of(job).next().is_some() {
                at += 1;
            } else if let Some(next) = self.waiting.remove(at) {
                self.occupied += 1;
                self.attempts.insert(next.attempt, NodePhase::Taken);
                effects.push(NodeEffect::Start(next));
            }
        }
        effects
    }

    fn order_drain(&mut self, now: u64, order: Option<DrainOrder>) {
        let before = self.is_draining();
        self.ordered_drain = order.map(|order| order.deadline_ms.map(|ms| now.saturating_add(ms)));
        self.size_news |= before != self.is_draining();
        self.give_back_waiting();
    }

    /// No more attempts are taken, whatever commands say, and those that wait are given back.
    pub fn drain(&mut self) {
        self.size_news |= !self.own_drain;
        self.own_drain = true;
        self.give_back_waiting();
    }

    /// Whether no more attempts are taken.
    pub fn is_draining(&self) -> bool {
        self.own_drain || self.ordered_drain.is_some()
    }

    /// For how long, in milliseconds, what runs may still do so under the order to drain; none without an order or a
    /// deadline.
    pub fn drain_deadline_ms(&self, now: u64) -> Option<u64> {
        self.ordered_drain.flatten().map(|until| until.saturating_sub(now))
    }

    /// What waits and may not any more goes back.
    fn give_back_waiting(&mut self) {
        let why = if self.is_draining() { "the node is draining" } else { "no free slot any more" };
        while (self.is_draining() || self.live_count() > self.most_held())
            && let Some(last) = self.waiting.pop_back()
        {
            self.give_back(last.attempt, why);
        }
    }

    /// The number of usable slots changed; what waited may start.
    #[must_use]
    pub fn set_usable_slots(&mut self, slots: u32) -> Vec<NodeEffect> {
        self.size_news |= self.usable_slots != slots;
        self.usable_slots = slots;
        let effects = self.start_waiting();
        self.give_back_waiting();
        effects
    }

    /// So many attempts may wait here beyond the slots.
    pub fn set_prefetch(&mut self, prefetch: u32) {
        self.size_news |= self.prefetch != prefetch;
        self.prefetch = prefetch;
        self.give_back_waiting();
    }
}
