//! Questions about time and prefixes, turned into ranges of ids. It relies on ids being UUIDv7 (their first 48 bits are
//! Unix milliseconds) and knows no table.

use crate::model::{JobId, Status};

use super::ListQuery;

/// Bits of a UUIDv7 below its milliseconds.
const BELOW_MS: u32 = 80;

/// Ids from `low` to `high`, both included. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdRange {
    pub(super) low: JobId,
    pub(super) high: JobId,
}

impl IdRange {
    fn new(low: u128, high: u128) -> Option<Self> {
        let id = |bits: u128| JobId::from_bytes(bits.to_be_bytes());
        (low <= high).then(|| Self { low: id(low), high: id(high) })
    }

    /// Ids whose hexadecimal form starts with `prefix`; none if it cannot be the beginning of an id.
    pub(super) fn of_prefix(prefix: &str) -> Option<Self> {
        let digits: String = prefix.chars().filter(|c| *c != '-').collect();
        if digits.is_empty() || digits.len() > 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let low = u128::from_str_radix(&format!("{digits:0<32}"), 16).ok()?;
        let high = u128::from_str_radix(&format!("{digits:f<32}"), 16).ok()?;
        Self::new(low, high)
    }

    /// Ids that the cursor and the times of `query` leave; none if they leave nothing.
    pub(super) fn of_query(query: &ListQuery) -> Option<Self> {
        let low = query.created_after_ms.map_or(0, first_id_of_ms);
        let mut end = query.created_before_ms.map_or(u128::MAX, first_id_of_ms);
        if let Some(before) = query.before {
            end = end.min(u128::from_be_bytes(*before.as_bytes()));
        }
        // `end` is excluded; the very last id of all (all bits set) is no UUIDv7, so excluding it loses nothing.
        Self::new(low, end.checked_sub(1)?)
    }
}

fn first_id_of_ms(ms: i64) -> u128 {
    let ms = u128::from(ms.max(0).unsigned_abs());
    ms.min((1 << 48) - 1) << BELOW_MS
}

/// Which rows a list wants, by where they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Whether live jobs are wanted.
    pub(super) live: bool,
    /// The terminal statuses that are wanted.
    pub(super) ended: Vec<Status>,
}

impl Wanted {
    pub(super) fn of_query(query: &ListQuery) -> Self {
        let wants = |status: Status| query.statuses.is_empty() || query.statuses.contains(&status);
        Self {
            live: wants(Status::Pending) || wants(Status::Running),
            ended: [Status::Completed, Status::Failed, Status::Cancelled]
                .into_iter()
                .filter(|status| wants(*status))
                .collect(),
        }
    }

    pub(super) fn everything(&self) -> bool {
        self.live && self.every_end()
    }

    pub(super) fn every_end(&self) -> bool {
        self.ended.len() == 3
    }

    pub(super) fn takes(&self, status: Status) -> bool {
        if status.is_terminal() { self.ended.contains(&status) } else { self.live }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_odd_length_covers_both_halves_of_its_last_byte() {
        let range = IdRange::of_prefix("0190-a").expect("a prefix");
        assert_eq!(range.low.to_string(), "0190a000-0000-0000-0000-000000000000");
        assert_eq!(range.high.to_string(), "0190afff-ffff-ffff-ffff-ffffffffffff");
        for wrong in ["", "-", "xyz", &"0".repeat(33)] {
            assert_eq!(IdRange::of_prefix(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_that_cross_leave_no_range() {
        let query = |after, before| ListQuery {
            created_after_ms: after,
            created_before_ms: before,
            ..ListQuery::default()
        };
        assert!(IdRange::of_query(&query(None, None)).is_some());
        assert!(IdRange::of_query(&query(Some(5), Some(6))).is_some());
        assert_eq!(IdRange::of_query(&query(Some(5), Some(5))), None);
        assert_eq!(IdRange::of_query(&query(None, Some(0))), None);
        assert!(IdRange::of_query(&query(Some(-5), Some(i64::MAX))).is_some());
    }
}
