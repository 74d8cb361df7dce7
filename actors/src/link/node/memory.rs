//! What the node remembers of attempts that must not start here any more, within bounds. It refuses to know why they
//! are over.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::AttemptId;

/// How long an attempt that was cancelled before it arrived is remembered, in milliseconds.
pub const TOMBSTONE_MS: u64 = 600_000;
/// Most such attempts; beyond them the oldest is forgotten. That is safe: a coordinator assigns nothing that it has
/// ordered to be cancelled, and what it assigned before has a lower number.
pub const MAX_TOMBSTONES: usize = 65_536;
/// Most attempts whose verdict is remembered until a command shows that it is known to have arrived; beyond them the
/// oldest is forgotten, and commands that are older than its answer are refused.
pub const MAX_JUDGED: usize = 65_536;
/// Most attempts that were given back and have no answer yet; beyond them commands with assignments are refused.
pub const MAX_GIVEN_BACK: usize = 65_536;

#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Given back, and the coordinator has not answered yet: it may be assigned again by mistake.
    given_back: BTreeSet<AttemptId>,
    /// Cancelled before they arrived, and since when.
    cancelled: BTreeMap<AttemptId, u64>,
    cancelled_in_order: VecDeque<(u64, AttemptId)>,
    /// Over by an answer of the coordinator, with the number of the report that it answered.
    judged: BTreeMap<AttemptId, u64>,
    judged_in_order: VecDeque<(u64, AttemptId)>,
    /// The last report whose judged attempts are not all remembered.
    forgotten_n: u64,
}

impl Memory {
    /// Whether the attempt was given back or cancelled.
    pub fn forbids(&self, attempt: AttemptId) -> bool {
        self.given_back.contains(&attempt) || self.cancelled.contains_key(&attempt)
    }

    /// Whether the attempt is over and the coordinator knows.
    pub fn is_judged(&self, attempt: AttemptId) -> bool {
        self.judged.contains_key(&attempt)
    }

    /// Whether so many more attempts could all be given back.
    pub fn has_room(&self, more: usize) -> bool {
        self.given_back.len() + more <= MAX_GIVEN_BACK
    }

    /// Whether a command that was made when report `answered_n` was the last that had been answered may carry
    /// attempts that were judged and forgotten.
    pub fn has_forgotten(&self, answered_n: u64) -> bool {
        answered_n < self.forgotten_n
    }

    pub fn give_back(&mut self, attempt: AttemptId) {
        self.given_back.insert(attempt);
    }

    /// The coordinator knows, by its answer to report `n`, that the attempt was given back.
    pub fn returned(&mut self, attempt: AttemptId, n: u64) {
        if self.given_back.remove(&attempt) {
            self.judge(attempt, n);
        }
    }

    pub fn cancel(&mut self, now: u64, attempt: AttemptId) {
        self.cancelled.insert(attempt, now);
        self.cancelled_in_order.push_back((now, attempt));
        while self.cancelled_in_order.len() > MAX_TOMBSTONES {
            self.forget_oldest_cancel();
        }
    }

    fn forget_oldest_cancel(&mut self) {
        if let Some((since, attempt)) = self.cancelled_in_order.pop_front()
            && self.cancelled.get(&attempt) == Some(&since)
        {
            self.cancelled.remove(&attempt);
        }
    }

    /// The attempt is over by the answer to report `n`.
    pub fn judge(&mut self, attempt: AttemptId, n: u64) {
        self.judged.insert(attempt, n);
        self.judged_in_order.push_back((n, attempt));
        while self.judged_in_order.len() > MAX_JUDGED {
            self.forget_oldest_verdict();
        }
    }

    fn forget_oldest_verdict(&mut self) {
        if let Some((n, attempt)) = self.judged_in_order.pop_front() {
            self.judged.remove(&attempt);
            self.forgotten_n = self.forgotten_n.max(n);
        }
    }

    /// A command was made after report `answered_n` had been answered: none that follows carries what was judged then.
    pub fn command_came(&mut self, now: u64, answered_n: u64) {
        while self.judged_in_order.front().is_some_and(|(n, _)| *n <= answered_n) {
            self.forget_oldest_verdict();
        }
        while self
            .cancelled_in_order
            .front()
            .is_some_and(|(since, _)| now.saturating_sub(*since) >= TOMBSTONE_MS)
        {
            self.forget_oldest_cancel();
        }
    }

    /// Commands of the life before are refused, and a new life begins with what the inventory says.
    pub fn begin_life(&mut self) {
        self.judged.clear();
        self.judged_in_order.clear();
        self.forgotten_n = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Epoch, JobId};

    fn attempt(number: usize) -> AttemptId {
        AttemptId::new(JobId::from_bytes((number as u128).to_be_bytes()), Epoch(1))
    }

    #[test]
    fn forgotten_verdicts_make_older_commands_unsafe_and_later_ones_not() {
        let mut memory = Memory::default();
        (0..MAX_JUDGED).for_each(|number| memory.judge(attempt(number), 1 + number as u64));
        assert!(!memory.has_forgotten(0));
        memory.judge(attempt(MAX_JUDGED), 1 + MAX_JUDGED as u64);
        assert!(!memory.is_judged(attempt(0)) && memory.is_judged(attempt(1)));
        assert!(memory.has_forgotten(0), "a command from before answer 1 may carry attempt 0");
        assert!(!memory.has_forgotten(1));
        assert_eq!(memory.judged.len(), MAX_JUDGED);
    }

    #[test]
    fn verdicts_are_forgotten_once_a_command_shows_that_they_arrived() {
        let mut memory = Memory::default();
        memory.judge(attempt(1), 3);
        memory.give_back(attempt(2));
        memory.returned(attempt(2), 4);
        memory.command_came(0, 3);
        assert!(!memory.is_judged(attempt(1)) && memory.is_judged(attempt(2)));
        assert!(!memory.forbids(attempt(2)), "it is over, and known to be");
        assert!(memory.has_forgotten(2) && !memory.has_forgotten(3));
    }

    #[test]
    fn what_was_given_back_is_never_forgotten_without_an_answer() {
        let mut memory = Memory::default();
        (0..MAX_GIVEN_BACK).for_each(|number| memory.give_back(attempt(number)));
        memory.command_came(u64::MAX, u64::MAX);
        assert!(memory.forbids(attempt(0)));
        assert!(memory.has_room(0) && !memory.has_room(1));
    }

    #[test]
    fn cancels_are_forgotten_by_age_and_by_number() {
        let mut memory = Memory::default();
        memory.cancel(0, attempt(0));
        memory.cancel(5, attempt(0));
        memory.command_came(TOMBSTONE_MS, 0);
        assert!(memory.forbids(attempt(0)), "it was cancelled again since");
        memory.command_came(TOMBSTONE_MS + 5, 0);
        assert!(!memory.forbids(attempt(0)));
        (0..=MAX_TOMBSTONES).for_each(|number| memory.cancel(9, attempt(number)));
        assert!(!memory.forbids(attempt(0)) && memory.forbids(attempt(1)));
        assert_eq!(memory.cancelled.len(), MAX_TOMBSTONES);
    }
}
