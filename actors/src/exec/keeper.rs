//! The keeper: a small single-threaded process that holds one slot and runs one job at a time in it.
//! It is a subreaper, so every orphan of its job comes to it; it holds the slot's lock until nothing is left of the
//! job; it ends the job when its lifeline ends. It knows no actors, no stores and no other slot.

pub(crate) mod feed;
mod harvest;
mod hold;
mod intake;
pub(crate) mod launch;
mod lodge;
pub(in crate::exec) mod orphaned;
pub(crate) mod running;
mod shelter;
pub(crate) mod slot;
pub(crate) mod tree;
pub(crate) mod walk;

use std::io::Write;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::process::{DumpableBehavior, getpid, set_child_subreaper, set_dumpable_behavior};

use self::slot::SlotKeeper;
use self::tree::Grip;
use super::sys;

/// What lists of processes call it.
const NAME: &std::ffi::CStr = c"callboard-slot";
/// Exit code of a keeper whose lifeline ended, which is its ordinary end.
const EXIT_OK: i32 = 0;
/// Exit code when the process was not started as a keeper should be.
pub(super) const EXIT_MISUSED: i32 = 2;
/// Exit code after a defect in the keeper itself.
const EXIT_DEFECT: i32 = 70;

/// The whole life of a keeper process. Its standard input is its lifeline.
pub fn keeper_main() -> i32 {
    sys::close_inherited();
    sys::shrug_off_signals();
    let lifeline = match prepare() {
        Ok(lifeline) => lifeline,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "callboard: only a node can start a keeper ({error})");
            return EXIT_MISUSED;
        }
    };
    let life = catch_unwind(AssertUnwindSafe(|| {
        SlotKeeper::new(lifeline, Grip::Subreaper).run();
    }));
    // Also after a defect nothing of the job may be left, and the lock, which the process still holds, says so.
    while tree::kill_everything().is_err() {}
    if life.is_ok() { EXIT_OK } else { EXIT_DEFECT }
}

/// Leaves the caller's session, becomes a subreaper that nobody may trace, and moves the lifeline away from
/// descriptor 0, which becomes `/dev/null`, ready to be inherited by jobs.
fn prepare() -> Result<OwnedFd, rustix::io::Errno> {
    let stdin = rustix::stdio::stdin();
    if FileType::from_raw_mode(rustix::fs::fstat(stdin)?.st_mode) != FileType::Socket {
        return Err(rustix::io::Errno::NOTSOCK);
    }
    // A program that is started from memory has the number of a descriptor for a name.
    let _ = rustix::thread::set_name(NAME);
    let _ = rustix::process::setsid(); // Fails when we lead a session already, which is as good.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_child_subreaper(Some(getpid()))?;
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    rustix::process::chdir("/")?;
    let lifeline = rustix::io::fcntl_dupfd_cloexec(stdin, 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(lifeline)
}
