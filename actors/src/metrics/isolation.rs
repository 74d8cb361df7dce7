//! What a node's rooms are worth, as gauges, and what became of jobs that wanted one.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts};

use super::families::{Maker, raise};
use crate::model::meter::Meter;
use crate::model::{LayerState, RoomFacts, SetupStage, Tier};

pub(super) struct IsolationFamilies {
    tier: IntGaugeVec,
    layer: IntGaugeVec,
    setup_failures: IntCounterVec,
    refused: IntCounterVec,
    oom_kills: IntCounter,
}

impl IsolationFamilies {
    pub(super) fn new(make: &Maker) -> prometheus::Result<Self> {
        let layer = Opts::new("callboard_runner_isolation_layer", "1 for what is known of a layer of rooms.");
        Ok(Self {
            tier: make.gauges(
                "callboard_runner_isolation_tier",
                "1 for the tier of rooms that were tried.",
                "tier",
            )?,
            layer: make.add(IntGaugeVec::new(layer, &["layer", "state"]))?,
            setup_failures: make.counters(
                "callboard_sandbox_setup_failures_total",
                "Jobs whose room could not be made, by the step that failed.",
                "stage",
            )?,
            refused: make.counters(
                "callboard_jobs_isolation_refused_total",
                "Jobs that were not run for want of isolation, by the layer that was missing.",
                "missing",
            )?,
            oom_kills: make.counter(
                "callboard_job_oom_kills_total",
                "How often the kernel killed a process of a job, or a whole job, for want of memory.",
            )?,
        })
    }

    /// Brings everything up to date.
    pub(super) fn read_meter(&self, meter: &Meter) {
        if let Some(rooms) = meter.rooms.get() {
            self.show(&rooms.read());
        }
        for (stage, count) in SetupStage::ALL.into_iter().zip(&meter.setup_failures) {
            raise(&self.setup_failures.with_label_values(&[stage.as_str()]), count.read());
        }
        for (missing, count) in meter.isolation_refused() {
            raise(&self.refused.with_label_values(&[missing]), count);
        }
        raise(&self.oom_kills, meter.oom_kills.read());
    }

    /// What was found last; nothing before the first time.
    fn show(&self, facts: &RoomFacts) {
        if facts.verified_at_ms.is_none() {
            return;
        }
        for tier in Tier::ALL {
            self.tier.with_label_values(&[tier.as_str()]).set(i64::from(tier == facts.tier));
        }
        for layer in &facts.layers {
            for state in [LayerState::Enforced, LayerState::Unverified, LayerState::Unavailable] {
                let is_so = i64::from(state == layer.state);
                self.layer.with_label_values(&[layer.name, state.as_str()]).set(is_so);
            }
        }
    }
}
