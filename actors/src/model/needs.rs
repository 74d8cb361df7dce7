//! What of a job decides on which node it can run, and nothing else of it: jobs with equal needs are one class to
//! whoever places them. It refuses to know nodes.

use serde::{Deserialize, Serialize};

use super::files::InputFile;
use super::isolation::Demands;
use super::mounts::Mount;
use super::requires::Requires;
use super::resources::ResourceLimits;
use super::spec::{Isolation, JobSpec, OnDisconnect};

/// Most different needs of live jobs. A job with others is refused until some of these are over: what is asked for each
/// free slot is asked once for each of them.
pub const MAX_CLASSES: usize = 1024;

/// Stands for the needs of a class of jobs, between the Coordinator that mints it and the Scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u32);

/// Everything that [`RoomBoard::judge`](super::RoomBoard::judge) looks at in a spec, and what it requires of its node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Needs {
    /// Which nodes will do.
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    pub requires: Requires,
    /// In what room.
    #[serde(default, skip_serializing_if = "Isolation::is_auto")]
    pub isolation: Isolation,
    /// What it demands of that room.
    #[serde(default, skip_serializing_if = "Demands::is_empty")]
    pub demands: Demands,
    /// Which limits it has: 1 for each that is there, whatever it is.
    #[serde(default, skip_serializing_if = "ResourceLimits::is_empty")]
    pub limits: ResourceLimits,
    /// What of the host it wants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Whether files lie in its room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_files: bool,
    /// Whether something of it is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_artifacts: bool,
    /// Whether its node must end it when it has lost its coordinator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fences: bool,
    /// Whether any node will do that it requires, whatever that gives: its client is to hear from the node itself what is
    /// lacking, and nobody has said it before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takes_anything: bool,
}

impl Needs {
    /// The needs of this job.
    pub fn of(spec: &JobSpec) -> Self {
        Self {
            requires: spec.requires.clone(),
            isolation: spec.isolation,
            demands: spec.demands.clone(),
            limits: presence(spec.limits),
            mounts: spec.mounts.clone(),
            has_files: !spec.files.is_empty(),
            has_artifacts: !spec.artifacts.is_empty(),
            fences: !spec.on_disconnect.is_keep(),
            takes_anything: false,
        }
    }

    /// These, whatever the limits in them say.
    #[must_use]
    pub fn of_any_limit(self) -> Self {
        Self { limits: presence(self.limits), ..self }
    }

    /// Whether they are those of a job that asks for nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// A job with these needs and nothing to run, for whoever judges jobs.
    pub fn example(&self) -> JobSpec {
        let file = InputFile { path: String::new(), bytes: Vec::new(), executable: false };
        JobSpec {
            requires: self.requires.clone(),
            isolation: self.isolation,
            demands: self.demands.clone(),
            limits: self.limits,
            mounts: self.mounts.clone(),
            files: self.has_files.then_some(file).into_iter().collect(),
            artifacts: self.has_artifacts.then(String::new).into_iter().collect(),
            on_disconnect: if self.fences { OnDisconnect::Kill } else { OnDisconnect::Keep },
            ..JobSpec::argv([""; 0])
        }
    }
}

/// 1 for each limit that is there.
fn presence(limits: ResourceLimits) -> ResourceLimits {
    let ResourceLimits { memory_bytes, cpu_millis, processes, disk_bytes, open_files } = limits;
    ResourceLimits {
        memory_bytes: memory_bytes.map(|_| 1),
        cpu_millis: cpu_millis.map(|_| 1),
        processes: processes.map(|_| 1),
        disk_bytes: disk_bytes.map(|_| 1),
        open_files: open_files.map(|_| 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RoomBoard, RoomFacts, Tier};

    #[test]
    fn only_what_decides_on_a_node_makes_a_class() {
        let plain = JobSpec::shell("true");
        let other = JobSpec { name: Some("x".into()), timeout_ms: Some(1), ..JobSpec::argv(["ls"]) };
        assert_eq!(Needs::of(&plain), Needs::of(&other));
        assert!(Needs::of(&plain).is_default());
        let limited = |memory_bytes| JobSpec {
            limits: ResourceLimits { memory_bytes: Some(memory_bytes), ..ResourceLimits::default() },
            ..plain.clone()
        };
        assert_eq!(Needs::of(&limited(1 << 20)), Needs::of(&limited(1 << 30)));
        assert_ne!(Needs::of(&limited(1 << 20)), Needs::of(&plain));
    }

    #[test]
    fn an_example_has_the_needs_that_it_is_an_example_of_and_is_judged_as_such() {
        let spec = JobSpec {
            isolation: Isolation::Sandbox,
            artifacts: vec!["out".into()],
            requires: Requires { runner: Some("b1".into()), ..Requires::default() },
            ..JobSpec::shell("true")
        };
        let needs = Needs::of(&spec);
        assert_eq!(Needs::of(&needs.example()), needs);
        let board = RoomBoard::default();
        board.write(RoomFacts { tier: Tier::None, verified_at_ms: Some(1), ..RoomFacts::default() });
        assert_eq!(board.judge(&spec).is_err(), board.judge(&needs.example()).is_err());
        let text = serde_json::to_string(&needs).expect("it can be written");
        assert_eq!(serde_json::from_str::<Needs>(&text).expect("and read"), needs);
        assert_eq!(serde_json::to_string(&Needs::default()).expect("it can be written"), "{}");
    }
}
