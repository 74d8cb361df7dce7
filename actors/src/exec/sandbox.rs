//! The room of a sandboxed job: namespaces and a root of its own, no rights, a filter of system calls. A keeper starts
//! rooms one after the other. It knows no output, no conversation with a node and no slot.

mod belt;
mod bring;
mod filter;
mod handover;
mod init;
mod lite;
mod payload;
mod rights;
mod root;
mod spawn;
mod stamps;
mod unpack;

use serde::{Deserialize, Serialize};

use super::cgroup::Controls;
use super::sys;
use crate::model::ResourceLimits;
pub(crate) use crate::model::SetupStage as Stage;

pub(crate) use self::belt::FLOOR_ALONE;
pub(crate) use self::bring::{Guest, fetch_as, find, guests, is_there};
pub(crate) use self::lite::{Fence, confine};
pub(crate) use self::payload::Order;
pub(crate) use self::spawn::{LastWords, Pipes, enter};
pub(crate) use self::stamps::{Stamp, Step, Steps};

/// The user and the group that every job has inside.
const INSIDE_ID: u32 = 1000;

/// The name of that user.
pub(crate) const USER: &str = "job";
/// The first user outside that a job of a root's node is; far from those of people and of container engines.
const FIRST_OUTER_ID: u32 = 0x7000_0000;
/// What a job may write to each of `/job`, `/tmp` and `/dev/shm`.
const SCRATCH_BYTES: u64 = 64 << 20;
const SCRATCH_FILES: u64 = 16 << 10;
const OPEN_FILES: u64 = 4096;
const PROCESSES: u64 = 1024;

/// The folder that a job starts in and calls its home.
pub(crate) const HOME: &str = "/job";

/// What a job's room is made of, as its node wants it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Room {
    /// User and group outside that the job is, in truth.
    pub(crate) outer: (u32, u32),
    /// Bytes in each of the folders that it may write to.
    pub(crate) scratch_bytes: u64,
    /// Files in each of them.
    pub(crate) scratch_files: u64,
    /// Files that it may have open.
    pub(crate) open_files: u64,
    /// Processes and threads that its user may have, where no control group counts them.
    pub(crate) processes: Option<u64>,
    /// Bytes of address space that each of its processes may have, where no control group counts memory.
    pub(crate) address_bytes: Option<u64>,
    /// Whether it is told when each step of making it was done.
    pub(crate) timed: bool,
    /// Whether it has the network of the host.
    pub(crate) host_network: bool,
    /// Whether the kernel has Landlock, which then is a must.
    pub(crate) has_landlock: bool,
}

impl Room {
    /// The room of a slot: every slot of a root's node is another user outside, so that no two jobs are the same one.
    pub(crate) fn of_slot(slot: u32) -> Self {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        let outer = match user.is_root() {
            true => (FIRST_OUTER_ID + slot, FIRST_OUTER_ID + slot),
            false => (user.as_raw(), group.as_raw()),
        };
        Self {
            outer,
            scratch_bytes: SCRATCH_BYTES,
            scratch_files: SCRATCH_FILES,
            open_files: OPEN_FILES,
            processes: Some(PROCESSES),
            address_bytes: None,
            timed: false,
            host_network: false,
            has_landlock: sys::landlock_version().is_ok_and(|version| version > 0),
        }
    }

    /// The room of one job: with what it may use, as far as `controls` leaves that to the room.
    pub(crate) fn of_job(&self, limits: &ResourceLimits, controls: Controls) -> Self {
        let half = |bytes| bytes / 2;
        // Files in memory are memory: a job that fills them should hear of a full disk, and not be killed.
        let scratch = self.scratch_bytes.min(limits.memory_bytes.map_or(u64::MAX, half));
        let processes = limits.processes.map(u64::from).or(self.processes);
        Self {
            scratch_bytes: limits.disk_bytes.unwrap_or(scratch),
            open_files: limits.open_files.map_or(self.open_files, u64::from),
            processes: processes.filter(|_| !controls.pids),
            address_bytes: limits.memory_bytes.filter(|_| !controls.memory),
            ..self.clone()
        }
    }

    /// What its group holds a job to that says nothing itself.
    pub(crate) fn group_limits(&self, limits: &ResourceLimits) -> ResourceLimits {
        let processes = self.processes.and_then(|most| u32::try_from(most).ok());
        limits.or(ResourceLimits { processes, ..ResourceLimits::default() })
    }
}

/// Reads what a keeper hears from the first process of a room; whether it was anything.
#[cfg(feature = "testing")]
pub fn hear_room(bytes: &[u8]) -> bool {
    let fault = Fault::from_bytes(bytes);
    assert!(fault.is_none_or(|fault| fault.to_bytes() == bytes), "a fault has one form only");
    let stamps = stamps::parse(bytes);
    assert!(stamps.len() <= bytes.len(), "a stamp is made of something");
    let words = init::read_words(bytes);
    fault.is_some() || words.is_some() || !stamps.is_empty()
}

/// Why a room was not made, or its program not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", stage.in_words(), std::io::Error::from_raw_os_error(*errno))]
pub(crate) struct Fault {
    pub(crate) stage: Stage,
    /// Of Linux.
    pub(crate) errno: i32,
    /// Which of several things it was, counted from 0.
    pub(crate) which: u8,
}

impl Fault {
    fn at(stage: Stage) -> impl Fn(std::io::Error) -> Self {
        move |error| Self::new(stage, error.raw_os_error().unwrap_or(libc::EIO))
    }

    fn of(stage: Stage) -> impl Fn(rustix::io::Errno) -> Self {
        move |errno| Self::new(stage, errno.raw_os_error())
    }

    /// A control group that could not be entered.
    pub(crate) fn groups(errno: i32) -> Self {
        Self::new(Stage::Groups, errno)
    }

    /// One of the things that were to be brought in.
    pub(crate) fn guest(which: usize, errno: rustix::io::Errno) -> Self {
        Self { which: u8::try_from(which).unwrap_or(u8::MAX), ..Self::of(Stage::Guests)(errno) }
    }

    /// One of the files that were to be written.
    fn file(which: usize, errno: rustix::io::Errno) -> Self {
        Self { stage: Stage::Files, ..Self::guest(which, errno) }
    }

    fn new(stage: Stage, errno: i32) -> Self {
        Self { stage, errno, which: 0 }
    }

    const BYTES: usize = 6;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let [a, b, c, d] = self.errno.to_le_bytes();
        [self.stage as u8, a, b, c, d, self.which]
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let [stage, a, b, c, d, which]: [u8; Self::BYTES] = bytes.try_into().ok()?;
        Some(Self { stage: Stage::from_u8(stage)?, errno: i32::from_le_bytes([a, b, c, d]), which })
    }
}
