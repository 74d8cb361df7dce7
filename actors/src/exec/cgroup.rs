//! Control groups: what a job's whole tree may use, whether it ran out of memory, and a grip that nothing leaves.
//! Version 1, version 2, and both at once. It knows no room, no slot and no conversation.

mod delegation;
mod discover;
mod group;
mod readings;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use self::discover::discover;
pub(crate) use self::group::{Doors, Group, sweep};
pub(crate) use self::readings::Readings;
use super::frame::RawPath;
use crate::model::ResourceLimits;

/// The folder below a node's own group that its jobs' groups are in. Nodes of one group share it.
const BASE: &str = "callboard";

/// What a hierarchy can hold a job to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Controls {
    pub(crate) memory: bool,
    pub(crate) pids: bool,
    pub(crate) cpu: bool,
}

impl Controls {
    /// Whether it can hold a job to any of these.
    pub(crate) fn hold_to_any(self, limits: &ResourceLimits) -> bool {
        self.memory && limits.memory_bytes.is_some()
            || self.pids && limits.processes.is_some()
            || self.cpu && limits.cpu_millis.is_some()
    }

    fn any(self) -> bool {
        self.memory || self.pids || self.cpu
    }
}

/// Which of the kernel's two interfaces a hierarchy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Version {
    V1,
    V2,
}

impl Version {
    /// Where a process with one thread writes itself down. With version 1 the one for threads: the one for processes
    /// stops the forks of the whole machine, which takes ten milliseconds and more.
    fn door(self) -> &'static str {
        match self {
            Self::V1 => "tasks",
            Self::V2 => "cgroup.procs",
        }
    }
}

/// One hierarchy in which this node may make groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hierarchy {
    version: Version,
    controls: Controls,
    /// The group that the node and its keepers live in.
    home: RawPath,
    /// The group below which the node may make others: its own, or the one above its own.
    root: RawPath,
}

impl Hierarchy {
    fn base(&self) -> PathBuf {
        self.root.to_path().join(BASE)
    }

    fn of_job(&self, name: &str) -> PathBuf {
        self.base().join(name)
    }

    fn make_base(&self) -> Result<(), GroupError> {
        let base = self.base();
        match std::fs::create_dir(&base) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(GroupError::at(&base)(error))
            }
            Ok(()) | Err(_) if self.version == Version::V1 => Ok(()),
            Ok(()) | Err(_) => discover::hand_down(&base, self.controls),
        }
    }
}

/// Every hierarchy in which a node may make groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    hierarchies: Vec<Hierarchy>,
}

impl Layout {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.hierarchies.is_empty()
    }

    /// What its hierarchies control, taken together.
    pub(crate) fn controls(&self) -> Controls {
        self.hierarchies.iter().fold(Controls::default(), |all, it| Controls {
            memory: all.memory || it.controls.memory,
            pids: all.pids || it.controls.pids,
            cpu: all.cpu || it.controls.cpu,
        })
    }

    /// The interface through which something is controlled.
    pub(crate) fn version_of(&self, what: fn(Controls) -> bool) -> Option<Version> {
        self.hierarchies.iter().find(|it| what(it.controls)).map(|it| it.version)
    }
}

/// Why a hierarchy, or a part of it, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// One line.
    pub(crate) why: String,
    /// The exact line that helps, where it is another one than everywhere.
    pub(crate) fix: Option<String>,
}

/// A file of a group that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub(crate) struct GroupError {
    path: PathBuf,
    source: std::io::Error,
}

impl GroupError {
    /// Of Linux.
    pub(crate) fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(libc::EIO)
    }

    fn at(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |source| Self { path: path.to_owned(), source }
    }
}

/// Writes a value into a file of the kernel's, which is there or is not, but never made.
fn put(path: &Path, value: &str) -> Result<(), GroupError> {
    use std::io::Write;
    let open = std::fs::OpenOptions::new().write(true).open(path);
    open.and_then(|mut file| file.write_all(value.as_bytes())).map_err(GroupError::at(path))
}

/// The same, where older kernels lack the file.
fn put_if_there(path: &Path, value: &str) -> Result<(), GroupError> {
    match put(path, value) {
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
