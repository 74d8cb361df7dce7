//! What a node gives to a job: what its rooms are worth, what it may give and what the job demands, held against each
//! other. The node itself decides so before it runs a job, and whoever takes jobs in decides so beforehand.

mod wants;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::isolation::{Confinement, Demands, Network, OF_FULL, OF_LITE, OF_ROOMS, RoomFacts, Tier};
use super::mounts::AllowedMount;
use super::spec::{Isolation, JobSpec};

/// What a node's configuration says of isolation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoomPolicy {
    /// What a job that asks for nothing has.
    pub default_isolation: Isolation,
    /// The least that any job has.
    pub min_isolation: Tier,
    /// Whether jobs may have the host's network.
    pub allow_host_network: bool,
    /// What of its host jobs may have.
    pub allow_mounts: Vec<AllowedMount>,
}

/// What a job gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How it is confined.
    pub confinement: Confinement,
    /// Whether it has the host's network.
    pub host_network: bool,
}

/// Why a job does not get what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct IsolationRefusal {
    /// Which field of the job cannot be granted, for example `/isolation/min_tier`.
    pub pointer: &'static str,
    /// What is wrong and what to do about it, one line.
    pub detail: String,
    /// What stands in the way.
    pub cause: RefusalCause,
}

/// What stands in the way of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusalCause {
    /// The node cannot give it.
    Lacking {
        /// The layers that are not there.
        missing: Vec<String>,
        /// What would help, one line.
        fix: String,
    },
    /// The node could, and may not.
    Forbidden {
        /// The setting that says so.
        setting: &'static str,
    },
}

impl IsolationRefusal {
    /// The layers that are not there; none when a setting is in the way.
    pub fn missing(&self) -> &[String] {
        match &self.cause {
            RefusalCause::Lacking { missing, .. } => missing,
            RefusalCause::Forbidden { .. } => &[],
        }
    }

    fn forbidden(pointer: &'static str, setting: &'static str, detail: String) -> Self {
        Self { pointer, detail, cause: RefusalCause::Forbidden { setting } }
    }
}

const DOCTOR: &str = "`callboard doctor` on it says why, and what would help";
const MODE: &str = "/isolation";
const NETWORK: &str = "/isolation/network";

/// What this job gets from a node of which this is known, or why it is not run there.
///
/// # Errors
/// [`IsolationRefusal`].
pub fn grant(spec: &JobSpec, policy: &RoomPolicy, facts: &RoomFacts) -> Result<Grant, IsolationRefusal> {
    let (best, demands) = (Confinement::of_tier(facts.tier), &spec.demands);
    let confinement = match (spec.isolation, policy.default_isolation) {
        (Isolation::None, _) | (Isolation::Auto, Isolation::None) => Confinement::Plain,
        (Isolation::Auto, Isolation::Auto) => best,
        (Isolation::Sandbox, _) | (Isolation::Auto, Isolation::Sandbox)
            if best != Confinement::Room && !demands.is_optional =>
        {
            return Err(no_rooms(facts));
        }
        (Isolation::Sandbox, _) | (Isolation::Auto, Isolation::Sandbox) => best,
    };
    let host_network = demands.network == Network::Host;
    let most = if confinement == Confinement::Plain { Tier::None } else { facts.tier };
    let tier = if host_network { most.min(Tier::Partial) } else { most };
    let had = Had { facts, confinement, host_network, tier };
    had.meets(demands)?;
    if tier < policy.min_isolation {
        return Err(had.too_little(spec.isolation, policy.min_isolation));
    }
    if confinement != Confinement::Plain && host_network && !policy.allow_host_network {
        let detail = "this node gives no job its network (setting runner.allow_host_network)".into();
        return Err(IsolationRefusal::forbidden(NETWORK, "runner.allow_host_network", detail));
    }
    wants::meet(spec, confinement, policy, facts)?;
    Ok(Grant { confinement, host_network })
}

fn no_rooms(facts: &RoomFacts) -> IsolationRefusal {
    let why = facts.degraded_because.join("; ");
    let fix = facts.fixes.first().map(|fix| format!("; try `{fix}`")).unwrap_or_default();
    let detail = format!(
        "no room can be made on this node: {why}{fix}; `callboard doctor` says more, isolation `auto` does with what there is"
    );
    let fix = facts.fixes.first().map_or(DOCTOR, String::as_str).to_owned();
    let missing = OF_ROOMS.into_iter().filter(|name| facts.lacks(name)).map(str::to_owned).collect();
    IsolationRefusal { pointer: MODE, detail, cause: RefusalCause::Lacking { missing, fix } }
}

/// What a job would have on a node.
struct Had<'a> {
    facts: &'a RoomFacts,
    confinement: Confinement,
    host_network: bool,
    tier: Tier,
}

impl Had<'_> {
    /// A plain process has no layer at all.
    fn lacks(&self, name: &str) -> bool {
        self.is_plain() || self.host_network && name == "netns" || self.facts.lacks(name)
    }

    fn is_plain(&self) -> bool {
        self.confinement == Confinement::Plain
    }

    fn missing_of(&self, least: Tier) -> impl Iterator<Item = &'static str> {
        layers_of(least).filter(|name| self.lacks(name))
    }
}

/// What a tier is made of.
fn layers_of(tier: Tier) -> impl Iterator<Item = &'static str> {
    let of_tier: &'static [&'static [&'static str]] = match tier {
        Tier::None => &[],
        Tier::Lite => &[&OF_LITE],
        Tier::Partial => &[&OF_ROOMS],
        Tier::Full => &[&OF_ROOMS, &OF_FULL],
    };
    of_tier.iter().copied().flatten().copied()
}

impl Had<'_> {
    fn meets(&self, demands: &Demands) -> Result<(), IsolationRefusal> {
        let lacking = demands.lacking(self.tier, |name| self.lacks(name));
        if lacking.is_empty() {
            return Ok(());
        }
        let tier = demands.min_tier.filter(|least| *least > self.tier);
        let mut missing: Vec<String> =
            tier.into_iter().flat_map(|least| self.missing_of(least)).map(str::to_owned).collect();
        let named = demands.require.iter().filter(|name| self.lacks(name));
        for name in named {
            if !missing.contains(name) {
                missing.push(name.clone());
            }
        }
        let fix = self.fix(&missing);
        let detail =
            format!("this node lacks {} for a job that demands it: {}", lacking.join(", "), fix.in_words());
        let pointer = if tier.is_some() { "/isolation/min_tier" } else { "/isolation/require" };
        let fix = fix.into_text();
        Err(IsolationRefusal { pointer, detail, cause: RefusalCause::Lacking { missing, fix } })
    }

    /// What would bring the first of these layers.
    fn fix(&self, missing: &[String]) -> Fix<'_> {
        match self.facts.fixes.first() {
            _ if self.is_plain() && self.facts.tier >= Tier::Partial => Fix::Job(
                "ask for isolation `sandbox`, this job would be a plain process (setting runner.isolation)",
            ),
            _ if !missing.iter().any(|name| self.facts.lacks(name)) => {
                Fix::Job("do without the host's network: such a job has no `netns`, and tier partial at most")
            }
            Some(fix) => Fix::Node(fix),
            None => Fix::Unknown,
        }
    }

    /// Why this is less than the node runs.
    fn too_little(&self, asked: Isolation, least: Tier) -> IsolationRefusal {
        let detail = format!(
            "this node runs nothing below tier {} (setting runner.min_isolation), and this job would have {}",
            least.as_str(),
            self.tier.as_str()
        );
        if asked != Isolation::None && self.facts.tier < least {
            // Of the node, and not of this job: none would fare better.
            let missing = layers_of(least).filter(|name| self.facts.lacks(name));
            let missing: Vec<String> = missing.map(str::to_owned).collect();
            let fix = self.facts.fixes.first().map_or(DOCTOR, String::as_str).to_owned();
            let cause = RefusalCause::Lacking { missing, fix };
            return IsolationRefusal { pointer: MODE, detail: format!("{detail}: {DOCTOR}"), cause };
        }
        let pointer = if self.is_plain() { MODE } else { NETWORK };
        IsolationRefusal::forbidden(pointer, "runner.min_isolation", detail)
    }
}

/// What would help.
enum Fix<'a> {
    /// Another job.
    Job(&'static str),
    /// Something on the node.
    Node(&'a str),
    /// That is for somebody on the node to find out.
    Unknown,
}

impl Fix<'_> {
    fn in_words(&self) -> String {
        match self {
            Self::Job(fix) => (*fix).into(),
            Self::Node(fix) => format!("try `{fix}`; {DOCTOR}"),
            Self::Unknown => DOCTOR.into(),
        }
    }

    fn into_text(self) -> String {
        match self {
            Self::Job(fix) => fix.into(),
            Self::Node(fix) => fix.into(),
            Self::Unknown => DOCTOR.into(),
        }
    }
}

/// Where a node writes down what its rooms are worth, beside what it may give; doors and the Coordinator read it.
#[derive(Debug, Default)]
pub struct RoomBoard {
    policy: RoomPolicy,
    facts: Mutex<RoomFacts>,
}

impl RoomBoard {
    /// The board of a node with this configuration, of whose rooms nothing is known yet.
    pub fn new(policy: RoomPolicy) -> Self {
        Self { policy, facts: Mutex::default() }
    }

    /// What the node's configuration says.
    pub fn policy(&self) -> &RoomPolicy {
        &self.policy
    }

    /// What was found last.
    pub fn read(&self) -> RoomFacts {
        self.facts().clone()
    }

    /// What a job has that is confined as well as can be.
    pub fn tier(&self) -> Tier {
        self.facts().tier
    }

    /// What is found now.
    pub fn write(&self, facts: RoomFacts) {
        *self.facts() = facts;
    }

    /// What a job that asks for nothing has now; none before anything was found.
    pub fn usual_tier(&self) -> Option<Tier> {
        let facts = self.facts();
        facts.verified_at_ms?;
        let is_plain = self.policy.default_isolation == Isolation::None;
        Some(if is_plain { Tier::None } else { facts.tier })
    }

    /// What this job gets from the node now. See [`grant`].
    ///
    /// # Errors
    /// [`IsolationRefusal`].
    pub fn grant(&self, spec: &JobSpec) -> Result<Grant, IsolationRefusal> {
        grant(spec, &self.policy, &self.facts())
    }

    /// Whether the node would run this job, as far as is known: before anything was found it might.
    ///
    /// # Errors
    /// [`IsolationRefusal`].
    pub fn judge(&self, spec: &JobSpec) -> Result<(), IsolationRefusal> {
        let facts = self.facts();
        match facts.verified_at_ms {
            Some(_) => grant(spec, &self.policy, &facts).map(drop),
            None => Ok(()),
        }
    }

    fn facts(&self) -> MutexGuard<'_, RoomFacts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
