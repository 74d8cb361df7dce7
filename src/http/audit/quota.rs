//! How many refusals of one caller are noted: the audit log is rotated by size, and whoever fails often enough would flush
//! what others have done. It knows no entry.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use callboard_actors::clock::{self, Moment};

use crate::http::access::Peer;

/// Most refusals of one caller that are noted within a minute; the others are counted.
const MAX_REFUSALS_NOTED: u32 = 20;
/// Time within which they are counted together, in milliseconds.
const NOTED_WINDOW_MS: u64 = 60_000;
/// Most callers whose refusals are counted; beyond it those that were refused longest ago are forgotten.
const MAX_REFUSED_CALLERS: usize = 16_384;

/// Whose refusals are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// Of an address, when nobody knows who is there.
    Peer(Peer),
    /// Of the holder of the token with this id.
    Token(String),
}

/// The refusals of the last minute.
#[derive(Debug)]
pub struct Quota {
    begun: Moment,
    table: Mutex<Table>,
    left_out: AtomicU64,
}

/// In two generations: when the young one is full the old one is dropped, so that nothing is ever searched.
#[derive(Debug, Default)]
struct Table {
    young: HashMap<Refused, Window>,
    old: HashMap<Refused, Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began_ms: u64,
    noted: u32,
    left_out: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { begun: clock::moment(), table: Mutex::default(), left_out: AtomicU64::new(0) }
    }
}

impl Quota {
    /// Whether this refusal is noted: then with how many of the same caller were not since the one before.
    pub fn take(&self, who: Refused) -> Option<u64> {
        self.take_at(who, self.begun.elapsed_ms())
    }

    /// Refusals that were not noted.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    fn take_at(&self, who: Refused, now_ms: u64) -> Option<u64> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let window = table.window(who, now_ms);
        if now_ms >= window.began_ms + NOTED_WINDOW_MS {
            *window = Window { began_ms: now_ms, noted: 0, ..*window };
        }
        if window.noted >= MAX_REFUSALS_NOTED {
            window.left_out += 1;
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        window.noted += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

impl Table {
    fn window(&mut self, who: Refused, now_ms: u64) -> &mut Window {
        if self.young.len() >= MAX_REFUSED_CALLERS / 2 && !self.young.contains_key(&who) {
            self.old = std::mem::take(&mut self.young);
        }
        let fresh = Window { began_ms: now_ms, noted: 0, left_out: 0 };
        let known = self.old.remove(&who).unwrap_or(fresh);
        self.young.entry(who).or_insert(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: usize) -> Refused {
        Refused::Token(number.to_string())
    }

    #[test]
    fn so_many_a_minute_are_noted_and_the_next_one_says_how_many_were_not() {
        let quota = Quota::default();
        let noted = |who, now_ms| quota.take_at(token(who), now_ms);
        assert!((0..MAX_REFUSALS_NOTED).all(|_| noted(1, 5) == Some(0)));
        assert!((0..7).all(|_| noted(1, 60_004).is_none()));
        assert_eq!((noted(2, 60_004), noted(1, 60_005), noted(1, 60_005)), (Some(0), Some(7), Some(0)));
        assert_eq!(quota.left_out(), 7);
        let peer = |text: &str| Refused::Peer(Peer::of(Some(text.parse().unwrap())));
        assert!((0..MAX_REFUSALS_NOTED).all(|_| quota.take_at(peer("127.0.0.1"), 5) == Some(0)));
        assert_eq!(quota.take_at(peer("127.9.0.1"), 5), None, "loopback is one peer");
    }

    #[test]
    fn the_table_has_an_end_and_forgets_the_oldest() {
        let quota = Quota::default();
        (0..100_000).for_each(|number| _ = quota.take_at(token(number), 1));
        let table = quota.table.lock().unwrap();
        assert!(table.young.len() + table.old.len() <= MAX_REFUSED_CALLERS);
        assert!(table.young.contains_key(&token(99_999)) && !table.old.contains_key(&token(0)));
    }
}
