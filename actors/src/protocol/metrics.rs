//! Asking Metrics for its text and for the last minutes, and telling actors to stop.

use actix::Message;

use super::platform::RunnerSummary;
use crate::model::spread::Spread;

/// http → Metrics. Answered with the Prometheus text exposition format 0.0.4.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "String")]
pub struct RenderMetrics;

/// http → Metrics. Answered with what is live now and what happened in the last minutes.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Stats")]
pub struct GetStats;

/// The windows over which is counted, in minutes, the shortest first.
pub const WINDOW_MINUTES: [u32; 3] = [1, 5, 15];

/// What happened in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowCounts {
    /// Its length.
    pub minutes: u32,
    /// Over how long was really counted, in milliseconds: less after a start, up to a few seconds more otherwise.
    pub span_ms: u64,
    /// Jobs accepted.
    pub accepted: u64,
    /// Jobs that ended, in the order of [`StoreTotals::ENDS`](crate::model::StoreTotals::ENDS).
    pub ended: [u64; 3],
}

/// What Metrics knows of the last minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Jobs that wait.
    pub pending: u64,
    /// Jobs that run.
    pub running: u64,
    /// The windows, the shortest first.
    pub windows: [WindowCounts; WINDOW_MINUTES.len()],
    /// From acceptance to lease over the longest window, in microseconds.
    pub wait_us: Spread,
    /// From a process's start to its end over the longest window, in microseconds.
    pub run_us: Spread,
    /// When the oldest waiting job was accepted, Unix milliseconds, as of the last second.
    pub oldest_waiting_ms: Option<i64>,
}

/// Scheduler → Metrics. How the queue and the nodes are, about once a second.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct QueueMeasured {
    /// Jobs that wait for a slot.
    pub depth: u64,
    /// When the oldest of them was accepted, Unix milliseconds; 0 when none waits.
    pub oldest_created_at_ms: i64,
    /// The nodes, lost ones included.
    pub runners: Vec<RunnerSummary>,
    /// How many nodes are in each state, in the order of [`RunnerCount::ALL`].
    pub counts: [u64; 4],
    /// Whether nobody is given up, because most nodes have fallen silent together.
    pub frozen: bool,
}

/// The states by which nodes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunnerCount {
    /// Jobs are given to it.
    Ready,
    /// It is given no more jobs, and its running ones end.
    Draining,
    /// It is silent for so long that its jobs may be lost.
    Lost,
    /// It said goodbye and holds nothing.
    Gone,
}

impl RunnerCount {
    /// Every state, in the order of [`QueueMeasured::counts`].
    pub const ALL: [Self; 4] = [Self::Ready, Self::Draining, Self::Lost, Self::Gone];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Lost => "lost",
            Self::Gone => "gone",
        }
    }
}

/// Graph → each actor, in reverse order of their start. Answered when it is drained: what was given to it is done or
/// durable, and it starts nothing new.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Shutdown {
    /// Longest time that it may take, in milliseconds.
    pub grace_ms: u64,
}
