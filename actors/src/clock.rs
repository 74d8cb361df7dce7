//! The only place that asks for the time, and mints the ids that are ordered by it.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::model::{ClusterId, JobId, NodeId};

/// A point on the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Instant);

impl Moment {
    /// Time since this moment.
    pub fn elapsed(self) -> Duration {
        #[allow(clippy::disallowed_methods, reason = "this room is the one that asks")]
        Instant::now().saturating_duration_since(self.0)
    }

    /// So many milliseconds earlier, as far as the clock goes back.
    #[must_use]
    pub fn before(self, ms: u64) -> Self {
        self.0.checked_sub(Duration::from_millis(ms)).map_or(self, Self)
    }

    /// Whole microseconds since this moment.
    pub fn elapsed_us(self) -> u64 {
        u64::try_from(self.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Whole milliseconds since this moment.
    pub fn elapsed_ms(self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Now, on the monotonic clock.
#[allow(clippy::disallowed_methods, reason = "this room is the one that asks")]
pub fn moment() -> Moment {
    Moment(Instant::now())
}

/// Milliseconds of the monotonic clock since this process first asked.
pub fn uptime_ms() -> u64 {
    static ORIGIN: OnceLock<Moment> = OnceLock::new();
    ORIGIN.get_or_init(moment).elapsed_ms()
}

/// Milliseconds since the machine was started, those that it slept among them. The same for all of its processes.
pub fn boottime_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// Now, as Unix milliseconds.
#[allow(clippy::disallowed_methods, reason = "this room is the one that asks")]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A new job id. Ids minted later sort later.
#[allow(clippy::disallowed_methods, reason = "this room is the one that mints")]
pub fn new_job_id() -> JobId {
    JobId(Uuid::now_v7())
}

/// A new request id, also time-ordered.
#[allow(clippy::disallowed_methods, reason = "this room is the one that mints")]
pub fn new_request_id() -> Uuid {
    Uuid::now_v7()
}

/// A new cluster id.
#[allow(clippy::disallowed_methods, reason = "this room is the one that mints")]
pub fn new_cluster_id() -> ClusterId {
    ClusterId(Uuid::now_v7())
}

/// A new node id.
#[allow(clippy::disallowed_methods, reason = "this room is the one that mints")]
pub fn new_node_id() -> NodeId {
    NodeId(Uuid::now_v7())
}
