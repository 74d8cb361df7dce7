//! When a change may wait for others to share its commit. It knows counts and times, not what the changes are.

/// How soon after the beginning of a commit the next one may be made to wait, in milliseconds.
pub const GATHER_MS: u64 = 2;
/// Attempts at nodes from which on a wait costs nothing: they keep the machines busy meanwhile. With fewer, a slot that
/// waits for its next lease may be all that there is.
const BUSY_ATTEMPTS: u32 = 4;
/// Changes that are enough for a commit of their own.
const ENOUGH_CHANGES: usize = 256;

/// Whether `changes` should gather company before they are committed, `since_last_ms` after the last commit began, while
/// nodes hold `attempts`.
pub fn may_gather(changes: usize, attempts: u32, since_last_ms: u64) -> bool {
    (1..ENOUGH_CHANGES).contains(&changes) && attempts >= BUSY_ATTEMPTS && since_last_ms < GATHER_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_busy_platform_that_has_just_committed_waits_and_only_for_few_changes() {
        assert!(may_gather(1, 4, 0));
        assert!(!may_gather(0, 4, 0), "nothing to commit");
        assert!(!may_gather(1, 3, 0), "a slot may stand idle");
        assert!(!may_gather(1, 4, GATHER_MS), "long enough ago");
        assert!(!may_gather(ENOUGH_CHANGES, 4, 0), "enough already");
    }
}
