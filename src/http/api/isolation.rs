//! How far a job is kept apart: as it is asked for, as it was, and what a node's rooms are worth.

use std::collections::BTreeMap;

use callboard_actors::model::time::rfc3339;
use callboard_actors::model::{Demands, Isolation, IsolationReport, JobSpec, Network, RoomFacts, Tier};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::object::object;
use super::FieldProblem;
use super::usage::{EnforcedBody, enforced};

/// What a job asks of its isolation: a mode, or a mode with demands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "isolation is `auto`, `none` or `sandbox`, or an object with mode, required, min_tier, require and network"
)]
pub enum IsolationBody {
    /// `auto`, `none` or `sandbox`.
    Mode(String),
    /// A mode with demands.
    Demands(#[serde(deserialize_with = "object")] DemandsBody),
}

/// A mode of isolation, and what a job demands beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DemandsBody {
    /// `auto` (default), `none` or `sandbox`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Whether the job is refused where its mode cannot be had (default: it is).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// The least that it runs with: `none`, `lite`, `partial` or `full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_tier: Option<String>,
    /// Layers that it does not run without, for example `cgroup.memory`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<String>,
    /// `none` (default) or `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

impl IsolationBody {
    /// What is meant; words that mean nothing are added to `errors`.
    pub fn read(self, errors: &mut Vec<FieldProblem>) -> (Isolation, Demands) {
        let asked = match self {
            Self::Mode(word) => {
                return (
                    word_of(&word, "#/isolation", "isolation", MODES, Isolation::parse, errors),
                    Demands::default(),
                );
            }
            Self::Demands(asked) => asked,
        };
        let mode = asked.mode.map_or(Isolation::Auto, |word| {
            word_of(&word, "#/isolation/mode", "mode", MODES, Isolation::parse, errors)
        });
        let min_tier = asked.min_tier.map(|word| {
            word_of(
                &word,
                "#/isolation/min_tier",
                "min_tier",
                "none, lite, partial, full",
                Tier::parse,
                errors,
            )
        });
        let network = asked.network.map_or(Network::None, |word| {
            word_of(&word, "#/isolation/network", "network", "none, host", Network::parse, errors)
        });
        let is_optional = asked.required == Some(false);
        (mode, Demands { is_optional, min_tier, require: asked.require, network })
    }
}

const MODES: &str = "auto, none, sandbox";

fn word_of<T: Default>(
    word: &str,
    pointer: &str,
    name: &str,
    known: &str,
    parse: fn(&str) -> Option<T>,
    errors: &mut Vec<FieldProblem>,
) -> T {
    parse(word).unwrap_or_else(|| {
        let short: String = word.chars().take(40).collect();
        errors.push(FieldProblem {
            pointer: pointer.into(),
            detail: format!("{name} is one of {known}, not `{short}`"),
        });
        T::default()
    })
}

impl From<&JobSpec> for DemandsBody {
    fn from(spec: &JobSpec) -> Self {
        let demands = &spec.demands;
        Self {
            mode: Some(spec.isolation.as_str().into()),
            required: Some(!demands.is_optional),
            min_tier: demands.min_tier.map(|tier| tier.as_str().into()),
            require: demands.require.clone(),
            network: Some(demands.network.as_str().into()),
        }
    }
}

/// What isolation a job really had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IsolationReportBody {
    /// `full`, `partial` or `none`: docs/ISOLATION.md.
    pub tier: String,
    /// How the process tree is killed: `pid_namespace`, `subreaper` or `process_group`; `no_process` when nothing was
    /// executed.
    pub kill: String,
    /// Layers that this run did not have.
    pub missing: Vec<String>,
    /// `none`, or `host`.
    #[serde(default)]
    pub network: String,
    /// What it was held to, and by whom: `memory_bytes`, `cpus`, `processes`, `disk_bytes`, `open_files`,
    /// `output_bytes`, `timeout_ms`.
    #[serde(default)]
    pub limits: BTreeMap<String, EnforcedBody>,
}

impl From<&IsolationReport> for IsolationReportBody {
    fn from(report: &IsolationReport) -> Self {
        Self {
            tier: report.tier.clone(),
            kill: report.kill.clone(),
            missing: report.missing.clone(),
            network: report.network.as_str().into(),
            limits: enforced(&report.limits),
        }
    }
}

/// One layer of a node's rooms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerBody {
    /// `enforced`, `unverified` or `unavailable`.
    pub state: String,
    /// How that is known, or why it is not there.
    pub why: String,
}

/// What a node's rooms are worth, found by a job that tries to get out of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoomsBody {
    /// What a job in a room has here.
    pub tier: String,
    /// When that was found, RFC 3339; null before the first time.
    pub verified_at: Option<String>,
    /// Layer by layer.
    pub layers: BTreeMap<String, LayerBody>,
    /// Why it is not more.
    pub degraded_because: Vec<String>,
    /// What would help.
    pub fixes: Vec<String>,
}

impl From<&RoomFacts> for RoomsBody {
    fn from(facts: &RoomFacts) -> Self {
        let layers = facts.layers.iter().map(|layer| {
            (layer.name.to_owned(), LayerBody { state: layer.state.as_str().into(), why: layer.why.clone() })
        });
        Self {
            tier: facts.tier.as_str().into(),
            verified_at: facts.verified_at_ms.map(rfc3339),
            layers: layers.collect(),
            degraded_because: facts.degraded_because.clone(),
            fixes: facts.fixes.clone(),
        }
    }
}
