//! What a job is held to: its control group while it runs, what that counted, and the report of who enforced what.

use super::launch::{Blame, SpawnFailure};
use crate::exec::alarm::Alarm;
use crate::exec::cgroup::{Controls, Group, Layout, Readings, Version};
use crate::exec::frame::{Plan, Setup};
use crate::exec::sandbox::Stage;
use crate::model::{AttemptEnd, Confinement, Enforcer, Exit, LimitReport, Resource, ResourceLimits};

/// How often a job is asked about whose memory ran out, where the kernel kills one of its processes and leaves the rest
/// to us; in milliseconds.
const WATCH_EVERY_MS: u64 = 200;

/// The grip on one job.
#[derive(Debug)]
pub(crate) struct Hold {
    group: Option<Group>,
    watch_at: Option<Alarm>,
    /// The kernel has killed a process; if that was the job's own, its end is on the way.
    was_seen: bool,
    memory_bytes: Option<u64>,
    reports: Vec<LimitReport>,
}

impl Hold {
    /// Makes the plan's control group. A confined job always has one where there can be any; a plain process only when it is to
    /// be held to something, for its keeper has to go there and back to start it.
    pub(crate) fn prepare(plan: &Plan, setup: &Setup) -> Result<Self, SpawnFailure> {
        let (layout, has) = (&setup.groups, setup.groups.controls());
        let limits = plan.limits.or(setup.default_limits);
        let wanted = match plan.confinement {
            Confinement::Room => (!layout.is_empty()).then(|| setup.room.group_limits(&limits)),
            Confinement::Lite => {
                can_have_disk(&plan.limits)?;
                (!layout.is_empty()).then(|| setup.room.group_limits(&limits))
            }
            Confinement::Plain => {
                can_hold_to(&plan.limits, has)?;
                has.hold_to_any(&limits).then_some(limits)
            }
        };
        let make = |limits| Group::make(layout, &setup.group_name, &limits);
        let group = wanted.map(make).transpose().map_err(|error| SpawnFailure {
            message: format!("the job's control group could not be made: {error}"),
            blame: Blame::Room(Stage::Groups),
        })?;
        let is_watched = limits.memory_bytes.is_some() && group.as_ref().is_some_and(Group::must_be_watched);
        Ok(Self {
            group,
            was_seen: false,
            watch_at: is_watched.then(|| Alarm::after_ms(WATCH_EVERY_MS)),
            memory_bytes: limits.memory_bytes,
            reports: reports(&limits, plan, setup),
        })
    }

    pub(crate) fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    /// When [`Self::is_out_of_memory`] is to be asked.
    pub(crate) fn watch_alarm(&self) -> Option<Alarm> {
        self.watch_at
    }

    /// Whether the kernel has killed a process of it and the job goes on all the same, so that the rest is to go, too.
    pub(crate) fn is_out_of_memory(&mut self) -> bool {
        if !self.watch_at.is_some_and(|alarm| alarm.is_due()) {
            return false;
        }
        self.watch_at = Some(Alarm::after_ms(WATCH_EVERY_MS));
        let is_seen = self.group.as_ref().is_some_and(|group| group.read().oom_kills > 0);
        std::mem::replace(&mut self.was_seen, is_seen) && is_seen
    }

    /// What was counted of the whole tree, when it is gone.
    pub(crate) fn readings(&self) -> Readings {
        self.group.as_ref().map(Group::read).unwrap_or_default()
    }

    /// The end of a job that the kernel killed, or a part of it, and that did not end well all the same. `spared`: its own
    /// process was not among them, and was ended by us.
    pub(crate) fn out_of_memory(&self, readings: &Readings, spared: bool, exit: Exit) -> Option<AttemptEnd> {
        (readings.oom_kills > 0 && exit != Exit::Code(0)).then_some(AttemptEnd::OutOfMemory {
            limit_bytes: self.memory_bytes,
            peak_bytes: readings.memory_peak_bytes,
            kills: readings.oom_kills,
            whole: readings.killed_whole,
            spared,
            exit,
        })
    }

    /// Lets go of it, when its tree is gone. Who enforced what, and why the slot cannot be used again.
    pub(crate) fn release(self) -> (Vec<LimitReport>, Option<String>) {
        let failed = self.group.and_then(|group| group.remove().err());
        (self.reports, failed.map(|error| format!("a control group of the job cannot be removed: {error}")))
    }
}

/// Only a room has a disk of its own.
fn can_have_disk(asked: &ResourceLimits) -> Result<(), SpawnFailure> {
    match asked.disk_bytes {
        None => Ok(()),
        Some(_) => Err(SpawnFailure {
            message: "the scratch room of a job cannot be limited on this node, which can make no rooms: leave the limit \
                      out (docs/ISOLATION.md)"
                .into(),
            blame: Blame::Node(Some("root")),
        }),
    }
}

/// Whether a plain process can be held to everything that it asks for.
fn can_hold_to(asked: &ResourceLimits, has: Controls) -> Result<(), SpawnFailure> {
    let missing = [
        ("memory", Some("cgroup.memory"), asked.memory_bytes.is_some() && !has.memory),
        ("CPU time", Some("cgroup.cpu"), asked.cpu_millis.is_some() && !has.cpu),
        ("processes", Some("cgroup.pids"), asked.processes.is_some() && !has.pids),
        ("scratch room", None, asked.disk_bytes.is_some()),
        ("open files", None, asked.open_files.is_some()),
    ];
    match missing.into_iter().find(|(_, _, is_missing)| *is_missing) {
        None => Ok(()),
        Some((what, layer, _)) => Err(SpawnFailure {
            message: format!(
                "the {what} of a plain process cannot be limited on this node: ask for isolation `sandbox`, or leave \
                 the limit out (docs/ISOLATION.md)"
            ),
            blame: Blame::Node(layer),
        }),
    }
}

fn reports(limits: &ResourceLimits, plan: &Plan, setup: &Setup) -> Vec<LimitReport> {
    let layout = &setup.groups;
    let by_group = |what: fn(Controls) -> bool| {
        layout.version_of(what).map(|version| match version {
            Version::V1 => Enforcer::CgroupV1,
            Version::V2 => Enforcer::CgroupV2,
        })
    };
    let confined = |by| (plan.confinement != Confinement::Plain).then_some(by);
    let mut reports = Vec::new();
    let mut add = |resource, limit: Option<u64>, enforced_by| {
        reports.extend(limit.map(|limit| LimitReport { resource, limit, enforced_by }));
    };
    let room = setup.room.of_job(limits, Controls::default());
    let has_group = by_group(|it| it.pids).is_some();
    let processes = match plan.confinement {
        Confinement::Room => room.processes,
        Confinement::Lite if has_group => room.processes,
        Confinement::Lite | Confinement::Plain => limits.processes.map(u64::from),
    };
    add(Resource::Memory, limits.memory_bytes, by_group(|it| it.memory).or(confined(Enforcer::Rlimit)));
    add(Resource::Cpu, limits.cpu_millis.map(u64::from), by_group(|it| it.cpu));
    add(Resource::Processes, processes, by_group(|it| it.pids).or(confined(Enforcer::RlimitOfUser)));
    if plan.confinement == Confinement::Room {
        add(Resource::Disk, Some(room.scratch_bytes), Some(Enforcer::Tmpfs));
    }
    if plan.confinement != Confinement::Plain {
        add(Resource::OpenFiles, Some(room.open_files), Some(Enforcer::Rlimit));
    }
    add(Resource::Output, Some(setup.caps.hard), Some(Enforcer::Node));
    add(Resource::WallTime, plan.timeout_ms, Some(Enforcer::Node));
    reports
}

/// Removes what a former life left in the slot's group, and everybody in it.
pub(crate) fn sweep(layout: &Layout, name: &str) -> Result<(), String> {
    crate::exec::cgroup::sweep(layout, name)
        .map_err(|error| format!("a control group of a former life cannot be removed: {error}"))
}
