//! The metric families of nodes. A node that is gone leaves no series behind.

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::families::Maker;
use crate::clock;
use crate::protocol::RunnerSummary;
use crate::protocol::metrics::{QueueMeasured, RunnerCount};

pub(super) struct NodeFamilies {
    changes: IntCounterVec,
    lost: IntCounter,
    by_state: IntGaugeVec,
    up: IntGaugeVec,
    slots: IntGaugeVec,
    slots_used: IntGaugeVec,
    heard: GaugeVec,
    frozen: IntGauge,
}

impl NodeFamilies {
    pub fn new(make: &Maker) -> prometheus::Result<Self> {
        let heard =
            Opts::new("callboard_runner_last_heartbeat_timestamp_seconds", "When a runner was last heard.");
        let families = Self {
            changes: make.counters(
                "callboard_runner_changes_total",
                "Changes of runners by their new state.",
                "state",
            )?,
            lost: make.counter(
                "callboard_runners_lost_total",
                "Runners that were silent for so long that they were given up.",
            )?,
            by_state: make.gauges("callboard_runners", "Runners by state.", "state")?,
            up: make.gauges(
                "callboard_runner_up",
                "Whether a runner was heard of late and keeps what it was told.",
                "runner",
            )?,
            slots: make.gauges("callboard_runner_slots", "Usable slots of a runner.", "runner")?,
            slots_used: make.gauges("callboard_runner_slots_used", "Taken slots of a runner.", "runner")?,
            heard: make.add(GaugeVec::new(heard, &["runner"]))?,
            frozen: make.gauge(
                "callboard_liveness_frozen",
                "Whether no runner is given up, because most have fallen silent together.",
            )?,
        };
        for state in RunnerCount::ALL {
            families.by_state.with_label_values(&[state.as_str()]);
        }
        Ok(families)
    }

    /// A node is in this state now.
    pub fn changed(&self, state: &str) {
        self.changes.with_label_values(&[state]).inc();
        if state == "lost" {
            self.lost.inc();
        }
    }

    /// The nodes, as they were just measured.
    pub fn measured(&self, queue: &QueueMeasured) {
        for (state, count) in RunnerCount::ALL.into_iter().zip(queue.counts) {
            self.by_state.with_label_values(&[state.as_str()]).set(count as i64);
        }
        self.frozen.set(i64::from(queue.frozen));
        self.up.reset();
        self.slots.reset();
        self.slots_used.reset();
        self.heard.reset();
        let there = queue.runners.iter().filter(|runner| runner.state != RunnerCount::Gone.as_str());
        there.for_each(|runner| self.show(runner));
    }

    fn show(&self, runner: &RunnerSummary) {
        let name = [runner.id.to_string()];
        self.up.with_label_values(&name).set(i64::from(runner.state == "ready"));
        self.slots.with_label_values(&name).set(i64::from(runner.usable_slots));
        self.slots_used.with_label_values(&name).set(i64::from(runner.taken));
        let heard_ms = clock::now_ms().saturating_sub_unsigned(runner.heard_ms_ago);
        self.heard.with_label_values(&name).set(heard_ms as f64 / 1e3);
    }
}
