//! Plain counters that rooms without messages (`store`, `http`) and the actors with the most to count add to, and that
//! Metrics reads when it is scraped, so that counting costs no message. Each is added to in one place. It knows no
//! metric names.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::grant::RoomBoard;
use super::isolation::{LAYERS, layer_names};
use super::setup::SetupStage;

/// A histogram of durations in microseconds, with fixed buckets.
#[derive(Debug, Default)]
pub struct DurationMeter {
    buckets: [AtomicU64; Self::BOUNDS_US.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl DurationMeter {
    /// Upper bounds of the buckets, in microseconds.
    pub const BOUNDS_US: [u64; 14] = [
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
        30_000_000,
    ];

    /// Adds one observation.
    pub fn observe_us(&self, us: u64) {
        if let Some(at) = Self::BOUNDS_US.iter().position(|bound| us <= *bound) {
            self.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Observations per bucket (not cumulative), their number, and their sum in microseconds.
    pub fn read(&self) -> (Vec<u64>, u64, u64) {
        let buckets = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        (buckets, self.count.load(Ordering::Relaxed), self.sum_us.load(Ordering::Relaxed))
    }
}

/// A counter.
#[derive(Debug, Default)]
pub struct CountMeter(AtomicU64);

impl CountMeter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A level, as it was last measured.
#[derive(Debug, Default)]
pub struct LevelMeter(AtomicU64);

impl LevelMeter {
    /// Takes a measurement.
    pub fn set(&self, level: u64) {
        self.0.store(level, Ordering::Relaxed);
    }

    /// The last measurement.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything that is counted without a message.
#[derive(Debug, Default)]
pub struct Meter {
    /// Time of one durable commit.
    pub store_commit: DurationMeter,
    /// Time of one read.
    pub store_read: DurationMeter,
    /// Operations that were committed.
    pub store_operations: CountMeter,
    /// Commits or reads that failed.
    pub store_errors: CountMeter,
    /// Bytes that the records occupy on disk, logs included.
    pub store_size_bytes: LevelMeter,
    /// Bytes that finished jobs occupy, as estimated.
    pub retained_bytes: LevelMeter,
    /// Finished jobs that are kept.
    pub retained_jobs: LevelMeter,
    /// Finished jobs that were forgotten by age, number or size, or by a prune.
    pub jobs_forgotten: CountMeter,
    /// Output bytes that jobs wrote, by [`Stream`](super::Stream).
    pub output_bytes: [CountMeter; 2],
    /// Streams that were truncated, by [`Stream`](super::Stream).
    pub output_truncated: [CountMeter; 2],
    /// Processes that outlived their job and were killed.
    pub orphans_killed: CountMeter,
    /// Processes that the kernel killed for want of memory.
    pub oom_kills: CountMeter,
    /// Jobs whose room could not be made, by [`SetupStage`].
    pub setup_failures: [CountMeter; SetupStage::ALL.len()],
    /// Jobs that were not run for want of isolation, by the layer that they lacked; the last one: by none.
    isolation_refused: [CountMeter; LAYERS + 1],
    /// Assignments that reached a runner, over local or remote transport.
    pub attempts_assigned: CountMeter,
    /// Processes that an executor started.
    pub attempts_started: CountMeter,
    /// Slots that were taken out of use.
    pub slots_quarantined: CountMeter,
    /// Results that were told without being on the node's own disk first.
    pub results_unkept: CountMeter,
    /// Submits that were refused, by [`Rejected`].
    pub rejected: [CountMeter; 6],
    /// 1 when anyone who reaches the node could run commands on it.
    pub insecure: LevelMeter,
    /// What the rooms of the platform's own node are worth.
    pub rooms: OnceLock<Arc<RoomBoard>>,
}

impl Meter {
    /// A job was not run for want of these layers; without any because of a setting, or of what it had asked for beside.
    pub fn count_isolation_refused(&self, missing: &[String]) {
        if missing.is_empty() {
            self.isolation_refused[LAYERS].add(1);
        }
        for (count, name) in self.isolation_refused.iter().zip(layer_names()) {
            count.add(u64::from(missing.iter().any(|missing| missing == name)));
        }
    }

    /// What was counted so, by the layer's name or `policy`.
    pub fn isolation_refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = layer_names().chain(["policy"]);
        names.zip(&self.isolation_refused).map(|(name, count)| (name, count.read()))
    }
}

/// Why a submit was refused, for [`Meter::rejected`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// As many jobs live as may.
    QueueFull,
    /// The spec was not valid.
    Invalid,
    /// Too many requests at once.
    RateLimited,
    /// The node is stopping.
    Draining,
    /// An admission rule does not allow it.
    Denied,
    /// No node gives it the isolation that it asks for.
    Isolation,
}

impl Rejected {
    /// Every reason, in the order of [`Meter::rejected`].
    pub const ALL: [Self; 6] =
        [Self::QueueFull, Self::Invalid, Self::RateLimited, Self::Draining, Self::Denied, Self::Isolation];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Invalid => "invalid",
            Self::RateLimited => "rate_limited",
            Self::Draining => "draining",
            Self::Denied => "denied",
            Self::Isolation => "isolation",
        }
    }
}
