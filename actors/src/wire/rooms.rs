//! What a node says of itself, as it crosses HTTP, and how much of it is believed. Names that this build does not know
//! are left out: a layer that cannot be asked for need not be known.

use serde::{Deserialize, Serialize};

use crate::model::isolation::layer_names;
use crate::model::runner_spec::{MAX_NODE_LABELS, MAX_NODE_NAME_BYTES};
use crate::model::{Layer, LayerState, RoomFacts, RoomPolicy, RunnerSpec, Tier};

/// Most lines of a kind that are believed of a node.
const MAX_LINES: usize = 64;
/// Longest line that is believed, in bytes.
const MAX_LINE_BYTES: usize = 1024;

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireLayer {
    name: String,
    state: LayerState,
    #[serde(default)]
    why: String,
}

/// [`RoomFacts`] on their way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireRooms {
    /// What a job has that is confined as well as can be.
    pub tier: Tier,
    #[serde(default)]
    layers: Vec<WireLayer>,
    #[serde(default)]
    verified_at_ms: Option<i64>,
    #[serde(default)]
    degraded_because: Vec<String>,
    #[serde(default)]
    fixes: Vec<String>,
    #[serde(default)]
    is_too_little: bool,
}

impl From<RoomFacts> for WireRooms {
    fn from(facts: RoomFacts) -> Self {
        let layer =
            |layer: Layer| WireLayer { name: layer.name.to_owned(), state: layer.state, why: layer.why };
        Self {
            tier: facts.tier,
            layers: facts.layers.into_iter().map(layer).collect(),
            verified_at_ms: facts.verified_at_ms,
            degraded_because: facts.degraded_because,
            fixes: facts.fixes,
            is_too_little: facts.is_too_little,
        }
    }
}

impl From<WireRooms> for RoomFacts {
    fn from(rooms: WireRooms) -> Self {
        let layer = |layer: WireLayer| {
            let name = layer_names().find(|name| *name == layer.name)?;
            Some(Layer { name, state: layer.state, why: line(layer.why) })
        };
        Self {
            tier: rooms.tier,
            layers: rooms.layers.into_iter().take(MAX_LINES).filter_map(layer).collect(),
            verified_at_ms: rooms.verified_at_ms,
            degraded_because: lines(rooms.degraded_because),
            fixes: lines(rooms.fixes),
            is_too_little: rooms.is_too_little,
        }
    }
}

/// What is believed of a node's own words: bounded, and without what would break a line.
pub(super) fn bounded(spec: RunnerSpec) -> RunnerSpec {
    let short = |text: String, bytes: usize| -> String {
        let mut kept = String::new();
        for c in text.chars().filter(|c| !c.is_control()) {
            if kept.len() + c.len_utf8() > bytes {
                break;
            }
            kept.push(c);
        }
        kept
    };
    RunnerSpec {
        name: short(spec.name, MAX_NODE_NAME_BYTES),
        labels: spec
            .labels
            .into_iter()
            .take(MAX_NODE_LABELS)
            .map(|(key, value)| (short(key, MAX_NODE_NAME_BYTES), short(value, MAX_NODE_NAME_BYTES)))
            .collect(),
        version: short(spec.version, MAX_NODE_NAME_BYTES),
        address: spec.address.map(|address| short(address, MAX_LINE_BYTES)),
        ..spec
    }
}

/// What is believed of what a node grants.
pub(super) fn bounded_policy(mut policy: RoomPolicy) -> RoomPolicy {
    policy.allow_mounts.truncate(MAX_LINES);
    policy
}

fn line(text: String) -> String {
    match text.char_indices().find(|(at, _)| *at >= MAX_LINE_BYTES) {
        Some((at, _)) => text[..at].to_owned(),
        None => text,
    }
}

fn lines(texts: Vec<String>) -> Vec<String> {
    texts.into_iter().take(MAX_LINES).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_comes_over_whole_and_what_is_unknown_is_left_out() {
        let facts = RoomFacts {
            tier: Tier::Partial,
            layers: vec![Layer { name: "netns", state: LayerState::Enforced, why: "tried".into() }],
            verified_at_ms: Some(7),
            degraded_because: vec!["no groups".into()],
            fixes: vec!["delegate".into()],
            is_too_little: true,
        };
        let mut sent = WireRooms::from(facts.clone());
        sent.layers.push(WireLayer { name: "later".into(), state: LayerState::Enforced, why: String::new() });
        assert_eq!(RoomFacts::from(sent), facts);
    }

    #[test]
    fn a_node_cannot_say_more_than_fits() {
        let spec = RunnerSpec {
            name: format!("a\n{}", "ä".repeat(1000)),
            labels: (0..1000).map(|n| (n.to_string(), "v".repeat(1000))).collect(),
            ..RunnerSpec::default()
        };
        let kept = bounded(spec);
        assert!(kept.name.len() <= MAX_NODE_NAME_BYTES && kept.name.starts_with("aä"));
        assert_eq!(kept.labels.len(), MAX_NODE_LABELS);
        assert!(kept.labels.values().all(|value| value.len() <= MAX_NODE_NAME_BYTES));
    }
}
