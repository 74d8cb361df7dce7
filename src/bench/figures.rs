//! Numbers out of measurements. It knows nothing of what was measured.

use std::time::Duration;

use serde::Serialize;

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latencies {
    /// How many were measured.
    pub count: usize,
    /// Half were at most this.
    pub p50_ms: f64,
    /// 9 of 10 were at most this.
    pub p90_ms: f64,
    /// 99 of 100 were at most this.
    pub p99_ms: f64,
}

impl Latencies {
    /// Sums them up; all zero when there are none.
    pub fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self {
            count: all.len(),
            p50_ms: percentile(&all, 50),
            p90_ms: percentile(&all, 90),
            p99_ms: percentile(&all, 99),
        }
    }
}

/// The nearest-rank percentile, in milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0.0, |value| value.as_secs_f64() * 1000.0)
}

/// The same thing done by two parties, turn by turn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Paired {
    /// What the yardstick did per second, median of the rounds.
    pub limit_per_s: f64,
    /// What the platform did per second, median of the rounds.
    pub platform_per_s: f64,
    /// Platform by yardstick, median of the rounds.
    pub ratio: f64,
    /// The ratio of each round, in order.
    pub rounds: Vec<f64>,
}

impl Paired {
    /// Sums up rounds of (yardstick, platform), each per second.
    pub fn of(rounds: &[(f64, f64)]) -> Self {
        let ratio = |(limit, platform): &(f64, f64)| if *limit > 0.0 { platform / limit } else { 0.0 };
        let ratios: Vec<f64> = rounds.iter().map(ratio).collect();
        Self {
            limit_per_s: median(rounds.iter().map(|round| round.0).collect()),
            platform_per_s: median(rounds.iter().map(|round| round.1).collect()),
            ratio: median(ratios.clone()),
            rounds: ratios,
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Events per second.
pub fn rate(count: usize, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let all: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        let figures = Latencies::of(all);
        assert_eq!((figures.count, figures.p50_ms, figures.p90_ms, figures.p99_ms), (100, 50.0, 90.0, 99.0));
        assert_eq!(Latencies::of(Vec::new()).p50_ms, 0.0);
        assert_eq!(Latencies::of(vec![Duration::from_millis(7)]).p99_ms, 7.0);
    }

    #[test]
    fn a_pair_is_judged_round_by_round() {
        let pair = Paired::of(&[(100.0, 50.0), (200.0, 180.0), (100.0, 80.0)]);
        assert_eq!((pair.limit_per_s, pair.platform_per_s, pair.ratio), (100.0, 80.0, 0.8));
        assert_eq!(Paired::of(&[(1.0, 1.0), (1.0, 2.0)]).ratio, 1.5);
        assert_eq!(Paired::of(&[(0.0, 5.0)]).ratio, 0.0);
    }
}
