//! How many attempts a node should hold beyond its slots, so that a slot that becomes free has its next job there
//! already. It refuses to know how the rate and the round trip are measured.

/// Most attempts that wait at a node, whatever the rate.
pub const MAX_PREFETCH: u32 = 40;
/// Jobs that run for longer on average gain nothing from waiting at a node, in milliseconds.
pub const LONGEST_PREFETCHED_MS: u64 = 10_000;

/// How many attempts should wait at a node that ends `ended_per_s` attempts a second, each of which ran for `mean_ms`
/// milliseconds, and that hears an answer `round_trip_ms` milliseconds after it has asked: what it ends in two round
/// trips. Never more than `MAX_PREFETCH`; none for long jobs.
pub fn prefetch_size(ended_per_s: f64, mean_ms: u64, round_trip_ms: u64) -> u32 {
    if mean_ms > LONGEST_PREFETCHED_MS || !ended_per_s.is_finite() || ended_per_s <= 0.0 {
        return 0;
    }
    let in_two_trips = ended_per_s * (round_trip_ms as f64 / 1000.0) * 2.0;
    in_two_trips.ceil().min(f64::from(MAX_PREFETCH)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_jobs_over_long_lines_wait_at_their_node_and_long_ones_do_not() {
        assert_eq!(prefetch_size(100.0, 10, 50), 10);
        assert_eq!(prefetch_size(100.5, 10, 50), 11, "rounded up");
        assert_eq!(prefetch_size(1e9, 1, 1_000), MAX_PREFETCH);
        assert_eq!(prefetch_size(0.1, 10_000, 50), 1);
        assert_eq!(prefetch_size(100.0, 10_001, 50), 0);
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(prefetch_size(rate, 10, 50), 0);
        }
    }
}
