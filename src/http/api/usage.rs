//! What a job may use, what it was held to, and what it used.

use std::collections::BTreeMap;

use callboard_actors::model::resources::MIN_CPU_MILLIS;
use callboard_actors::model::{LimitReport, Resource, ResourceLimits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::whole::whole_or_null;

/// What a job's whole tree of processes may use; what is absent is the node's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsBody {
    /// Memory in bytes, files in memory included.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole_or_null")]
    pub memory_bytes: Option<u64>,
    /// CPUs: 0.5 is half the time of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Processes and threads at one time.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole_or_null")]
    pub processes: Option<u64>,
    /// Bytes in each of the folders of its room that it may write to.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole_or_null")]
    pub disk_bytes: Option<u64>,
    /// Files that each process may have open.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole_or_null")]
    pub open_files: Option<u64>,
}

impl LimitsBody {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is meant. A number that is too large to be one is the largest, which no bound lets through.
    pub fn read(&self) -> ResourceLimits {
        let narrow = |number: Option<u64>| number.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        ResourceLimits {
            memory_bytes: self.memory_bytes,
            cpu_millis: self.cpus.map(millis),
            processes: narrow(self.processes),
            disk_bytes: self.disk_bytes,
            open_files: narrow(self.open_files),
        }
    }
}

impl From<ResourceLimits> for LimitsBody {
    fn from(limits: ResourceLimits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            cpus: limits.cpu_millis.map(cpus),
            processes: limits.processes.map(u64::from),
            disk_bytes: limits.disk_bytes,
            open_files: limits.open_files.map(u64::from),
        }
    }
}

/// A number outside its bounds stays outside when it is rounded.
fn millis(cpus: f64) -> u32 {
    let millis = cpus * 1000.0;
    if millis < f64::from(MIN_CPU_MILLIS) { 0 } else { millis.ceil() as u32 }
}

fn cpus(millis: u32) -> f64 {
    f64::from(millis) / 1000.0
}

/// A limit that a job ran under.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnforcedBody {
    /// How much, in the unit that its name says.
    pub limit: f64,
    /// `cgroup_v1` or `cgroup_v2` (for the whole tree), `rlimit` (for each process), `rlimit_of_user` (for all
    /// processes of the user), `tmpfs` or `node`; null where nobody could.
    pub enforced_by: Option<String>,
}

/// Every limit by its name.
pub fn enforced(reports: &[LimitReport]) -> BTreeMap<String, EnforcedBody> {
    let body = |report: &LimitReport| {
        let (name, limit) = match report.resource {
            Resource::Memory => ("memory_bytes", report.limit as f64),
            Resource::Cpu => ("cpus", report.limit as f64 / 1000.0),
            Resource::Processes => ("processes", report.limit as f64),
            Resource::Disk => ("disk_bytes", report.limit as f64),
            Resource::OpenFiles => ("open_files", report.limit as f64),
            Resource::Output => ("output_bytes", report.limit as f64),
            Resource::WallTime => ("timeout_ms", report.limit as f64),
        };
        let enforced_by = report.enforced_by.map(|by| by.as_str().to_owned());
        (name.to_owned(), EnforcedBody { limit, enforced_by })
    };
    reports.iter().map(body).collect()
}

/// What a job's process tree used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageBody {
    /// CPU time in user mode, milliseconds.
    pub cpu_user_ms: f64,
    /// CPU time in kernel mode, milliseconds.
    pub cpu_system_ms: f64,
    /// Largest resident size of one process, bytes.
    pub peak_memory_bytes: u64,
    /// Most memory that the whole tree had at once, in bytes, as its control group counted; null without one.
    #[serde(default)]
    pub memory_peak_bytes: Option<u64>,
    /// How often the kernel killed for want of memory: a process each time, or the whole job at once, which counts as one.
    #[serde(default)]
    pub oom_kills: u32,
    /// Processes that were not started because there were as many as it may have.
    #[serde(default)]
    pub process_denials: u32,
    /// Processes that outlived the job and were killed.
    pub orphans_killed: u32,
}
