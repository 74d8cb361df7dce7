//! How far jobs are kept apart: tiers, the layers that they are made of, and what a job demands of them. Nothing here
//! looks at a machine.

use serde::{Deserialize, Serialize};

/// Most layers that a job may demand by name.
pub const MAX_DEMANDED_LAYERS: usize = 32;

/// How far a job is kept apart, from nothing to everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// A plain process, held by its keeper.
    #[default]
    None,
    /// A process with Landlock and a filter of system calls, but no room.
    Lite,
    /// A room, without control groups for everything.
    Partial,
    /// A room, and control groups for memory, processes and CPU time.
    Full,
}

impl Tier {
    /// Every one, the weakest first.
    pub const ALL: [Self; 4] = [Self::None, Self::Lite, Self::Partial, Self::Full];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lite => "lite",
            Self::Partial => "partial",
            Self::Full => "full",
        }
    }

    /// The one of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

impl std::str::FromStr for Tier {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::parse(word).ok_or_else(|| format!("`{word}` is no tier: write none, lite, partial or full"))
    }
}

/// What rooms are made of, by name: without one of these a node has no rooms.
pub const OF_ROOMS: [&str; 12] = [
    "userns",
    "pidns",
    "mountns",
    "netns",
    "ipcns",
    "utsns",
    "cgroupns",
    "root",
    "proc",
    "rights",
    "no_new_privs",
    "seccomp",
];
/// What makes a room a full one.
pub const OF_FULL: [&str; 3] = ["cgroup.memory", "cgroup.pids", "cgroup.cpu"];
/// What is good to have beside.
pub const EXTRA: [&str; 2] = ["landlock", "sealed_keeper"];
/// What the tier `lite` is made of, where no room can be made.
pub const OF_LITE: [&str; 4] = ["rights", "no_new_privs", "seccomp", "landlock"];

/// How a job is confined, from not at all to best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confinement {
    /// Not at all: a plain process.
    #[default]
    Plain,
    /// By Landlock and a filter of system calls.
    Lite,
    /// In a room of its own.
    Room,
}

impl Confinement {
    /// The most that a node gives whose jobs have this tier.
    pub fn of_tier(tier: Tier) -> Self {
        match tier {
            Tier::None => Self::Plain,
            Tier::Lite => Self::Lite,
            Tier::Partial | Tier::Full => Self::Room,
        }
    }
}

/// How many layers there are.
pub const LAYERS: usize = OF_ROOMS.len() + OF_FULL.len() + EXTRA.len();

/// Every layer by its name.
pub fn layer_names() -> impl Iterator<Item = &'static str> {
    OF_ROOMS.into_iter().chain(EXTRA).chain(OF_FULL)
}

/// What is known of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerState {
    /// A job has tried to get past it, and could not.
    Enforced,
    /// It should be there, and could not be tried.
    Unverified,
    /// It is not there.
    Unavailable,
}

impl LayerState {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Unverified => "unverified",
            Self::Unavailable => "unavailable",
        }
    }
}

/// One layer of a node's isolation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub name: &'static str,
    /// What is known of it.
    pub state: LayerState,
    /// How that is known, or why it is not there; one line.
    pub why: String,
}

/// How far a node keeps its jobs apart, found by a job that tries to get out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomFacts {
    /// What a job has here that is confined as well as can be.
    pub tier: Tier,
    /// Layer by layer.
    pub layers: Vec<Layer>,
    /// When it was found, Unix milliseconds; none before the first time.
    pub verified_at_ms: Option<i64>,
    /// Why it is not more, one line each.
    pub degraded_because: Vec<String>,
    /// What would help, one line each.
    pub fixes: Vec<String>,
    /// Whether it is less than every job of the node must have.
    pub is_too_little: bool,
}

impl RoomFacts {
    /// The tier of a job in a room that these layers are. What could not be tried counts as there: it was set, and the kernel took it.
    pub fn tier_of(layers: &[Layer]) -> Tier {
        let has = |name: &str| {
            layers.iter().any(|layer| layer.name == name && layer.state != LayerState::Unavailable)
        };
        match (OF_ROOMS.into_iter().all(has), OF_FULL.into_iter().all(has)) {
            (true, true) => Tier::Full,
            (true, false) => Tier::Partial,
            (false, _) => Tier::None,
        }
    }

    /// The tier of a job without a room that these layers are.
    pub fn tier_without_room(layers: &[Layer]) -> Tier {
        let has =
            |name: &str| layers.iter().any(|layer| layer.name == name && layer.state == LayerState::Enforced);
        if OF_LITE.into_iter().all(has) { Tier::Lite } else { Tier::None }
    }

    /// Whether a job that is confined as well as can be does not have this layer here.
    pub fn lacks(&self, name: &str) -> bool {
        self.layers.iter().any(|layer| layer.name == name && layer.state == LayerState::Unavailable)
    }

    /// Layers that such a job does not have here.
    pub fn missing(&self) -> Vec<String> {
        let gone = self.layers.iter().filter(|layer| layer.state == LayerState::Unavailable);
        gone.map(|layer| layer.name.to_owned()).collect()
    }
}

/// What network a job has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// In a room a loopback of its own and nothing else.
    #[default]
    None,
    /// The host's.
    Host,
}

impl Network {
    /// Whether it is a network of the job's own.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// The one of this word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "none" => Some(Self::None),
            "host" => Some(Self::Host),
            _ => None,
        }
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Host => "host",
        }
    }
}

/// What a job demands beside its mode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Demands {
    /// Whether it runs with less where its mode cannot be had.
    #[serde(default)]
    pub is_optional: bool,
    /// The least that it runs with.
    #[serde(default)]
    pub min_tier: Option<Tier>,
    /// Layers that it does not run without.
    #[serde(default)]
    pub require: Vec<String>,
    /// What network it wants.
    #[serde(default)]
    pub network: Network,
}

impl Demands {
    /// Whether it demands nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is lacking where there is this tier and these layers are not there.
    pub fn lacking(&self, tier: Tier, is_gone: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lacking = Vec::new();
        if let Some(least) = self.min_tier.filter(|least| *least > tier) {
            lacking.push(format!("tier {} (there is {})", least.as_str(), tier.as_str()));
        }
        lacking.extend(self.require.iter().filter(|name| is_gone(name)).cloned());
        lacking
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(gone: &[&str]) -> Vec<Layer> {
        let state = |name| match gone.contains(&name) {
            true => LayerState::Unavailable,
            false => LayerState::Enforced,
        };
        layer_names().map(|name| Layer { name, state: state(name), why: String::new() }).collect()
    }

    #[test]
    fn a_tier_is_what_its_layers_are() {
        for (gone, tier) in [
            (&[][..], Tier::Full),
            (&["landlock"], Tier::Full),
            (&["cgroup.cpu"], Tier::Partial),
            (&["cgroup.memory", "cgroup.pids", "cgroup.cpu", "landlock"], Tier::Partial),
            (&["seccomp"], Tier::None),
            (&["netns"], Tier::None),
        ] {
            assert_eq!(RoomFacts::tier_of(&layers(gone)), tier, "{gone:?}");
        }
        assert_eq!(RoomFacts::tier_of(&[]), Tier::None);
    }

    #[test]
    fn without_a_room_all_that_is_left_must_hold() {
        let gone = ["userns", "pidns", "mountns", "netns", "root", "cgroup.memory"];
        assert_eq!(RoomFacts::tier_without_room(&layers(&gone)), Tier::Lite);
        for name in OF_LITE {
            let mut layers = layers(&gone);
            layers.iter_mut().filter(|it| it.name == name).for_each(|it| it.state = LayerState::Unverified);
            assert_eq!(RoomFacts::tier_without_room(&layers), Tier::None, "{name}");
        }
        for (tier, confinement) in [
            (Tier::None, Confinement::Plain),
            (Tier::Lite, Confinement::Lite),
            (Tier::Partial, Confinement::Room),
        ] {
            assert_eq!(Confinement::of_tier(tier), confinement);
        }
    }

    #[test]
    fn what_is_demanded_and_not_there_is_named() {
        let demands = Demands {
            min_tier: Some(Tier::Full),
            require: vec!["netns".into(), "cgroup.cpu".into()],
            ..Demands::default()
        };
        assert!(demands.lacking(Tier::Full, |_| false).is_empty());
        assert_eq!(
            demands.lacking(Tier::Partial, |name| name == "cgroup.cpu"),
            ["tier full (there is partial)", "cgroup.cpu"]
        );
        assert_eq!(demands.lacking(Tier::None, |_| true).len(), 3);
        assert!(Demands::default().lacking(Tier::None, |_| true).is_empty());
    }
}
