//! The first process of a room. It makes the room around itself, starts the job, reaps what is orphaned, and ends with
//! the job; the kernel kills what is left then.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Signal, getpid, set_dumpable_behavior};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::filter::Filters;
use super::spawn::Streams;
use super::stamps::{Stamps, Step};
use super::{Fault, HOME, INSIDE_ID, Order, Room, Stage, handover, payload, rights, root, unpack};
use crate::exec::cgroup::Doors;
use crate::exec::sys;
use crate::model::Exit;

/// Raw status and number of orphans.
pub(super) const WORDS_BYTES: usize = 8;

/// Kinds of namespaces of which there may be no more inside: a second lock beside the filter.
const FORBIDDEN: [&str; 8] = ["user", "mnt", "net", "pid", "ipc", "uts", "cgroup", "time"];

/// What the first process and its keeper have between them.
pub(super) struct Lines {
    pub(super) keeper: UnixStream,
    pub(super) faults: OwnedFd,
    pub(super) last_words: OwnedFd,
    /// Into its groups.
    pub(super) doors: Option<Doors>,
    pub(super) stamps: Stamps,
}

pub(super) fn read_words(words: &[u8]) -> Option<(Exit, u32)> {
    let (status, orphans) = words.split_first_chunk::<4>()?;
    let orphans = u32::from_le_bytes(orphans.try_into().ok()?);
    Some((sys::exit_from_raw(i32::from_le_bytes(*status)), orphans))
}

/// The whole life of the first process.
pub(super) fn live(room: &Room, order: &Order, filters: &Filters, streams: Streams, lines: Lines) -> ! {
    let Lines { mut keeper, faults, last_words, doors, stamps } = lines;
    stamps.mark(Step::Namespaces);
    let fail = |fault: Fault| -> ! {
        let _ = rustix::io::write(&faults, &fault.to_bytes());
        sys::end(1)
    };
    if let Err(errno) = doors.as_ref().map_or(Ok(()), Doors::walk_in) {
        fail(Fault::of(Stage::Groups)(errno));
    }
    drop(doors);
    if let Err(fault) = make(room, order, &mut keeper, &stamps) {
        fail(fault);
    }
    let become_job = || {
        let Err(fault) = payload::become_job(room, order, filters, &streams, &stamps);
        fail(fault)
    };
    let job = match sys::borrow(become_job) {
        Ok(job) => job,
        Err(error) => fail(Fault::at(Stage::Exec)(error)),
    };
    // From here on only the job holds these: what reports faults closes when its program runs.
    drop((faults, streams, stamps));
    let is_bare = let_go_of_streams().is_ok();
    sys::close_all_but(&[keeper.as_fd(), last_words.as_fd()]);
    if !is_bare || filters.apply_to_first().is_err() {
        sys::end(1);
    }
    let (status, orphans) = outlive(job.as_raw_pid());
    let mut words = [0; WORDS_BYTES];
    words[..4].copy_from_slice(&status.to_le_bytes());
    words[4..].copy_from_slice(&orphans.to_le_bytes());
    let _ = rustix::io::write(&last_words, &words);
    sys::end(0)
}

/// Everything that only the mighty can do: its own users, its own root, its own network.
fn make(room: &Room, order: &Order, keeper: &mut UnixStream, stamps: &Stamps) -> Result<(), Fault> {
    let ids = Fault::of(Stage::Ids);
    // Whoever maps our users must be able to open our files in /proc.
    set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(&ids)?;
    let mut word = [0];
    keeper.write_all(&word).and_then(|()| keeper.read_exact(&mut word)).map_err(Fault::at(Stage::Silent))?;
    payload::go_first();
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(&ids)?;
    stamps.mark(Step::Users);
    // Only now: the root of the namespace is the group that we are in.
    sys::leave_groups().map_err(Fault::at(Stage::Groups))?;
    sys::leave_keyring();
    // Without the right to change groups there are none that root left.
    let _ = set_thread_groups(&[]);
    let (user, group) = (Uid::from_raw(INSIDE_ID), Gid::from_raw(INSIDE_ID));
    set_thread_res_gid(group, group, group).map_err(&ids)?;
    set_thread_res_uid(user, user, user).map_err(&ids)?;
    end_with(keeper).map_err(&ids)?;
    stamps.mark(Step::Ids);
    root::build(room, order, stamps)?;
    unpack::write(order.files, HOME)?;
    if order.hands_over {
        handover::give(keeper).map_err(Fault::of(Stage::Files))?;
    }
    if !room.host_network {
        sys::raise_loopback().map_err(Fault::at(Stage::Network))?;
    }
    rustix::system::sethostname(order.hostname.as_bytes()).map_err(Fault::of(Stage::Network))?;
    stamps.mark(Step::Network);
    let lids = root::lids()?;
    for kind in FORBIDDEN {
        let _ = std::fs::write(format!("/proc/sys/user/max_{kind}_namespaces"), "0");
    }
    root::freeze(lids)?;
    // The job is started without any, so that there is no moment in which it runs beside somebody mighty.
    rights::give_up().map_err(Fault::of(Stage::Rights))?;
    stamps.mark(Step::Freeze);
    Ok(())
}

/// Dies when the keeper does, and at once when it is dead already. A change of the user would undo it.
fn end_with(keeper: &UnixStream) -> rustix::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut line = [PollFd::new(keeper, PollFlags::RDHUP)];
    match poll(&mut line, Some(&Timespec::default()))? {
        0 => Ok(()),
        _ => Err(Errno::SRCH),
    }
}

/// The job's streams end when the job's own ends do.
fn let_go_of_streams() -> rustix::io::Result<()> {
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)
}

/// Waits for the job, then ends and counts what it left behind.
fn outlive(job: i32) -> (i32, u32) {
    let mut status = 0;
    while let Some((pid, raw)) = sys::await_child() {
        if pid == job {
            status = raw;
            break;
        }
    }
    let everybody = rustix::process::Pid::INIT;
    debug_assert_eq!(getpid(), everybody);
    let mut orphans = 0;
    while sys::kill_all() {
        while sys::await_child().is_some() {
            orphans += 1;
        }
    }
    (status, orphans)
}
