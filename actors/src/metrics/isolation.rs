//! What a node's rooms are worth, as gauges.

use prometheus::{IntGaugeVec, Opts, Registry};

use crate::model::{LayerState, RoomFacts, Tier};

pub(super) struct IsolationFamilies {
    tier: IntGaugeVec,
    layer: IntGaugeVec,
}

impl IsolationFamilies {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let add = |name, help, labels: &[&str]| {
            let family = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        Ok(Self {
            tier: add(
                "callboard_runner_isolation_tier",
                "1 for the tier of rooms that were tried.",
                &["tier"],
            )?,
            layer: add(
                "callboard_runner_isolation_layer",
                "1 for what is known of a layer of rooms.",
                &["layer", "state"],
            )?,
        })
    }

    /// What was found last; nothing before the first time.
    pub(super) fn show(&self, facts: &RoomFacts) {
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
