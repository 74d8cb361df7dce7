//! What a job may use at most, and who held it to that. Nothing here enforces anything.

use serde::{Deserialize, Serialize};

/// Least memory that a job may be limited to, in bytes: a shell needs some.
pub const MIN_MEMORY_BYTES: u64 = 4 << 20;
/// Most memory that a job may be limited to, in bytes.
pub const MAX_MEMORY_BYTES: u64 = 1 << 50;
/// Least CPU time that a job may be limited to, in thousandths of one CPU.
pub const MIN_CPU_MILLIS: u32 = 10;
/// Most CPU time that a job may be limited to, in thousandths of one CPU.
pub const MAX_CPU_MILLIS: u32 = 10_000_000;
/// Most processes and threads that a job may be limited to.
pub const MAX_PROCESSES: u32 = 1 << 22;
/// Least room on its scratch disks that a job may be limited to, in bytes.
pub const MIN_DISK_BYTES: u64 = 64 << 10;
/// Most room on its scratch disks that a job may be limited to, in bytes.
pub const MAX_DISK_BYTES: u64 = 1 << 50;
/// Fewest files that a job may be limited to have open.
pub const MIN_OPEN_FILES: u32 = 16;
/// Most files that a job may be limited to have open.
pub const MAX_OPEN_FILES: u32 = 1 << 20;

/// What a job's whole tree of processes may use. What is absent is left to the node that runs it. (It crosses to keepers
/// in a form in which nothing can be left out, so no field may be skipped.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// Memory, in bytes, files in memory included.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// CPU time, in thousandths of one CPU.
    #[serde(default)]
    pub cpu_millis: Option<u32>,
    /// Processes and threads at one time.
    #[serde(default)]
    pub processes: Option<u32>,
    /// Bytes in each of the folders of its room that it may write to.
    #[serde(default)]
    pub disk_bytes: Option<u64>,
    /// Files that each of its processes may have open.
    #[serde(default)]
    pub open_files: Option<u32>,
}

impl ResourceLimits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These, and where they say nothing what `other` says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.or(other.memory_bytes),
            cpu_millis: self.cpu_millis.or(other.cpu_millis),
            processes: self.processes.or(other.processes),
            disk_bytes: self.disk_bytes.or(other.disk_bytes),
            open_files: self.open_files.or(other.open_files),
        }
    }

    /// Whether these can be a node's defaults, where it permits no more than `most`.
    ///
    /// # Errors
    /// What does not go together, one line.
    pub fn check(&self, most: &Self) -> Result<(), String> {
        let too_much = |it: &Bound| !(it.least..=it.most).contains(&it.value);
        match self.bounds(most).find(too_much) {
            None => Ok(()),
            Some(Bound { name, least, most, .. }) => Err(format!(
                "the default of {name} must be between {} and {}",
                show(name, least),
                show(name, most)
            )),
        }
    }

    /// Each limit by its name, with the least and the most that a job may ask for where `most` is permitted.
    pub fn ranges(most: &Self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        let all = Self {
            memory_bytes: Some(0),
            cpu_millis: Some(0),
            processes: Some(0),
            disk_bytes: Some(0),
            open_files: Some(0),
        };
        all.bounds(most).map(|bound| (bound.name, bound.least, bound.most)).collect::<Vec<_>>().into_iter()
    }

    /// Each that is set, with its name, its bounds and what an operator permits.
    pub(super) fn bounds(&self, most: &Self) -> impl Iterator<Item = Bound> {
        let wide = |value: Option<u32>| value.map(u64::from);
        [
            ("memory_bytes", self.memory_bytes, MIN_MEMORY_BYTES, MAX_MEMORY_BYTES, most.memory_bytes),
            (
                "cpus",
                wide(self.cpu_millis),
                u64::from(MIN_CPU_MILLIS),
                u64::from(MAX_CPU_MILLIS),
                wide(most.cpu_millis),
            ),
            ("processes", wide(self.processes), 1, u64::from(MAX_PROCESSES), wide(most.processes)),
            ("disk_bytes", self.disk_bytes, MIN_DISK_BYTES, MAX_DISK_BYTES, most.disk_bytes),
            (
                "open_files",
                wide(self.open_files),
                u64::from(MIN_OPEN_FILES),
                u64::from(MAX_OPEN_FILES),
                wide(most.open_files),
            ),
        ]
        .into_iter()
        .filter_map(|(name, value, least, most, permitted)| {
            let permitted = permitted.filter(|permitted| *permitted < most);
            Some(Bound {
                name,
                value: value?,
                least,
                most: permitted.unwrap_or(most),
                is_policy: permitted.is_some(),
            })
        })
    }
}

/// One limit and what it may be.
pub(super) struct Bound {
    pub(super) name: &'static str,
    pub(super) value: u64,
    pub(super) least: u64,
    pub(super) most: u64,
    /// Whether the most is an operator's word.
    pub(super) is_policy: bool,
}

/// A number as its limit is written.
pub(super) fn show(name: &str, number: u64) -> String {
    match name {
        "cpus" => (number as f64 / 1000.0).to_string(),
        _ => number.to_string(),
    }
}

/// What a limit is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Bytes of memory.
    Memory,
    /// Thousandths of one CPU.
    Cpu,
    /// Processes and threads.
    Processes,
    /// Bytes in each folder that it may write to.
    Disk,
    /// Open files of each process.
    OpenFiles,
    /// Bytes of output of one stream.
    Output,
    /// Milliseconds of wall time.
    WallTime,
}

/// Who holds a job to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcer {
    /// A control group of version 1, for the whole tree.
    CgroupV1,
    /// A control group of version 2, for the whole tree.
    CgroupV2,
    /// The kernel, for each process by itself.
    Rlimit,
    /// The kernel, for all processes of the user together.
    RlimitOfUser,
    /// The size of a file system in memory.
    Tmpfs,
    /// The node, which watches it.
    Node,
}

impl Enforcer {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CgroupV1 => "cgroup_v1",
            Self::CgroupV2 => "cgroup_v2",
            Self::Rlimit => "rlimit",
            Self::RlimitOfUser => "rlimit_of_user",
            Self::Tmpfs => "tmpfs",
            Self::Node => "node",
        }
    }
}

/// A limit that a job ran under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitReport {
    /// On what.
    pub resource: Resource,
    /// How much, in the unit of its resource.
    pub limit: u64,
    /// Who enforced it; none where nobody could.
    #[serde(default)]
    pub enforced_by: Option<Enforcer>,
}
