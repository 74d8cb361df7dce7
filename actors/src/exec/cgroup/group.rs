//! The groups of one job: made, limited, entered, read, and removed when nothing is in them any more.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{GroupError, Hierarchy, Layout, Readings, Version, put, put_if_there};
use crate::exec::alarm::{Alarm, nap};
use crate::model::ResourceLimits;

/// Longest that emptying and removing a job's groups may take, in milliseconds; then its slot is given up.
const REMOVE_BUDGET_MS: u64 = 2_000;
/// Length of the periods in which CPU time is counted out, in microseconds.
const PERIOD_US: u64 = 100_000;
/// How often a group is tried to be made, while others remove what is around it.
const TRIES: usize = 3;

/// One group in each hierarchy.
#[derive(Debug)]
pub(crate) struct Group {
    folders: Vec<(PathBuf, Hierarchy)>,
}

/// Open ways into a group. A process with one thread that goes there itself, or begins there, waits for nobody; for one
/// that is moved by another the kernel stops the forks of the whole machine, which takes ten milliseconds and more.
#[derive(Debug)]
pub(crate) struct Doors {
    /// Of version 1: where a thread writes itself down.
    own: Vec<OwnedFd>,
    /// Of version 2: where a process can be made.
    unified: Option<OwnedFd>,
}

impl Doors {
    /// The group of version 2.
    pub(crate) fn unified(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// Takes this thread, which must be the only one of its process, into the groups of version 1.
    pub(crate) fn walk_in(&self) -> Result<(), Errno> {
        self.own.iter().try_for_each(|door| rustix::io::write(door, b"0").map(drop))
    }
}

impl Group {
    /// Makes groups of this name, which hold whoever enters them to these limits. What was left behind goes first.
    ///
    /// # Errors
    /// The file that could not be made or written; then nothing is left.
    pub(crate) fn make(layout: &Layout, name: &str, limits: &ResourceLimits) -> Result<Self, GroupError> {
        let mut group = Self { folders: Vec::new() };
        for hierarchy in &layout.hierarchies {
            let made = make_folder(hierarchy, name).and_then(|folder| {
                group.folders.push((folder.clone(), hierarchy.clone()));
                limit(&folder, hierarchy, limits)
            });
            if let Err(error) = made {
                let _ = group.remove();
                return Err(error);
            }
        }
        Ok(group)
    }

    /// Puts a process into it, as far as it cannot go there itself. What that process starts afterwards is in it, too.
    pub(crate) fn take(&self, pid: Pid) -> Result<(), GroupError> {
        let unified = self.folders.iter().filter(|(_, it)| it.version == Version::V2);
        unified
            .into_iter()
            .try_for_each(|(folder, _)| put(&folder.join("cgroup.procs"), &pid.as_raw_pid().to_string()))
    }

    /// Opens it for a process that is about to be started.
    pub(crate) fn doors(&self) -> Result<Doors, GroupError> {
        let mut doors = Doors { own: Vec::new(), unified: None };
        for (folder, hierarchy) in &self.folders {
            match hierarchy.version {
                Version::V1 => {
                    let file = folder.join(hierarchy.version.door());
                    let opened = std::fs::OpenOptions::new().write(true).open(&file);
                    doors.own.push(opened.map_err(GroupError::at(&file))?.into());
                }
                Version::V2 => {
                    let opened = std::fs::File::open(folder).map_err(GroupError::at(folder))?;
                    doors.unified = Some(opened.into());
                }
            }
        }
        Ok(doors)
    }

    /// Puts this very process into it, for as long as it takes to start another one there.
    pub(crate) fn enter_for<T>(&self, start: impl FnOnce() -> T) -> Result<T, GroupError> {
        let enter = |folder: &Path, hierarchy: &Hierarchy| put(&folder.join(hierarchy.version.door()), "0");
        let entered = self.folders.iter().try_for_each(|(folder, hierarchy)| enter(folder, hierarchy));
        let done = entered.map(|()| start());
        for (_, hierarchy) in &self.folders {
            enter(&hierarchy.home.to_path(), hierarchy)?;
        }
        done
    }

    /// What was counted so far.
    pub(crate) fn read(&self) -> Readings {
        let folders = self.folders.iter();
        folders.fold(Readings::default(), |readings, (folder, hierarchy)| {
            let file = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
            readings.with(hierarchy.version, hierarchy.controls, file)
        })
    }

    /// Whether a job whose memory ran out is ended by us, because the kernel kills one process of it and no more.
    pub(crate) fn must_be_watched(&self) -> bool {
        self.folders.iter().any(|(folder, it)| {
            it.controls.memory && (it.version == Version::V1 || !folder.join("memory.oom.group").exists())
        })
    }

    /// Kills whoever is still in it, and removes it.
    ///
    /// # Errors
    /// Somebody is in it who cannot be killed, or it cannot be removed.
    pub(crate) fn remove(self) -> Result<(), GroupError> {
        let budget = Alarm::after_ms(REMOVE_BUDGET_MS);
        self.folders.iter().try_for_each(|(folder, _)| remove(folder, &budget))
    }
}

/// Removes what a former life left of this name, with everybody in it.
pub(crate) fn sweep(layout: &Layout, name: &str) -> Result<(), GroupError> {
    let budget = Alarm::after_ms(REMOVE_BUDGET_MS);
    layout.hierarchies.iter().try_for_each(|it| remove(&it.of_job(name), &budget))
}

fn make_folder(hierarchy: &Hierarchy, name: &str) -> Result<PathBuf, GroupError> {
    let folder = hierarchy.of_job(name);
    let mut tries = TRIES;
    loop {
        tries -= 1;
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if tries == 0 => return Err(GroupError::at(&folder)(error)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                remove(&folder, &Alarm::after_ms(REMOVE_BUDGET_MS))?;
            }
            // Another node that ended took the common folder with it.
            Err(error) if error.kind() == ErrorKind::NotFound => hierarchy.make_base()?,
            Err(error) => return Err(GroupError::at(&folder)(error)),
        }
    }
}

fn limit(folder: &Path, hierarchy: &Hierarchy, limits: &ResourceLimits) -> Result<(), GroupError> {
    let file = |name: &str| folder.join(name);
    let controls = hierarchy.controls;
    if let Some(bytes) = limits.memory_bytes.filter(|_| controls.memory) {
        let bytes = bytes.to_string();
        match hierarchy.version {
            Version::V1 => {
                put(&file("memory.limit_in_bytes"), &bytes)?;
                put_if_there(&file("memory.memsw.limit_in_bytes"), &bytes)?;
            }
            Version::V2 => {
                put(&file("memory.max"), &bytes)?;
                put_if_there(&file("memory.swap.max"), "0")?;
                put_if_there(&file("memory.oom.group"), "1")?;
            }
        }
    }
    if let Some(processes) = limits.processes.filter(|_| controls.pids) {
        // The first process of a room, or the keeper while it starts the job, is one more.
        put(&file("pids.max"), &(u64::from(processes) + 1).to_string())?;
    }
    match limits.cpu_millis.filter(|_| controls.cpu) {
        Some(millis) => limit_cpu(folder, hierarchy.version, millis),
        None => Ok(()),
    }
}

fn limit_cpu(folder: &Path, version: Version, millis: u32) -> Result<(), GroupError> {
    let quota = u64::from(millis) * (PERIOD_US / 1000);
    let done = match version {
        Version::V1 => put(&folder.join("cpu.cfs_period_us"), &PERIOD_US.to_string())
            .and_then(|()| put(&folder.join("cpu.cfs_quota_us"), &quota.to_string())),
        Version::V2 => put(&folder.join("cpu.max"), &format!("{quota} {PERIOD_US}")),
    };
    match done {
        // A group above has less than that, which holds for all below it.
        Err(error) if error.source.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(()),
        done => done,
    }
}

fn remove(folder: &Path, budget: &Alarm) -> Result<(), GroupError> {
    let mut pause_ms = 1;
    loop {
        match std::fs::remove_dir(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if budget.is_due() => return Err(GroupError::at(folder)(error)),
            Err(_) => {}
        }
        kill(folder);
        nap(pause_ms);
        pause_ms = (pause_ms * 2).min(50);
    }
}

/// Kills everybody in a group. A job has no file system of groups, so it made none below.
fn kill(folder: &Path) {
    if put(&folder.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for pid in members(folder) {
        // Held by a descriptor and found once more, it is who we mean.
        if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty())
            && members(folder).contains(&pid)
        {
            let _ = pidfd_send_signal(&pidfd, Signal::KILL);
        }
    }
}

fn members(folder: &Path) -> Vec<Pid> {
    let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
}
