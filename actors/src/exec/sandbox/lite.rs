//! A job that is confined where no room can be made: by Landlock, a filter of system calls and limits, without any right,
//! as whoever its node's jobs are, in folders of its own on the disk. It sees the host's processes, and is seen by them.

use std::convert::Infallible;
use std::os::fd::OwnedFd;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, Gid, Pid, Signal, Uid, getpid, getppid, set_dumpable_behavior};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::filter::{self, Filters};
use super::spawn::{Pipes, Streams, hear};
use super::{Fault, Guest, Order, Room, Stage, belt, payload, rights, unpack};
use crate::exec::cgroup::Group;
use crate::exec::sys::{self, Forked};

/// What confines a job.
pub(crate) struct Fence<'a> {
    /// What it may use, as in a room.
    pub(crate) room: &'a Room,
    /// Who it becomes, if that is not who we are.
    pub(crate) user: Option<(u32, u32)>,
    /// The folder that its files are in.
    pub(crate) home: &'a str,
    /// The other one that it may write to.
    pub(crate) scratch: &'a str,
    /// What of the host it may use beside what everybody may read.
    pub(crate) guests: Vec<(Guest, OwnedFd)>,
}

/// Starts the job. When this returns, its program runs.
///
/// # Errors
/// [`Fault`]; then nothing of it is left.
pub(crate) fn confine(
    fence: &Fence<'_>,
    order: &Order<'_>,
    pipes: Pipes,
    group: Option<&Group>,
) -> Result<(Pid, OwnedFd, Pipes), Fault> {
    let filters =
        filter::without_room(fence.room.host_network).ok_or(Fault::new(Stage::Filter, libc::EINVAL))?;
    if let Some(user) = fence.user {
        pipes.theirs.give_to(user).map_err(Fault::of(Stage::Ids))?;
    }
    let (faults, their_faults) = pipe_with(PipeFlags::CLOEXEC).map_err(Fault::of(Stage::Limits))?;
    let keeper = getpid();
    let fork = || match sys::fork_alone() {
        Ok(None) => {
            let Err(fault) = become_job(fence, order, filters, &pipes.theirs, keeper);
            let _ = rustix::io::write(&their_faults, &fault.to_bytes());
            sys::end(1)
        }
        Ok(Some(child)) => Ok(child),
        Err(error) => Err(Fault::at(Stage::Exec)(error)),
    };
    let child: Forked = match group {
        None => fork()?,
        Some(group) => group.enter_for(fork).map_err(|error| Fault::groups(error.errno()))??,
    };
    drop(their_faults);
    match hear(&faults) {
        Ok(()) => Ok((child.pid, child.pidfd, pipes)),
        Err(fault) => {
            child.end();
            Err(fault)
        }
    }
}

fn become_job(
    fence: &Fence<'_>,
    order: &Order<'_>,
    filters: &Filters,
    streams: &Streams,
    keeper: Pid,
) -> Result<Infallible, Fault> {
    let limits = Fault::of(Stage::Limits);
    rustix::process::setsid().map_err(&limits)?;
    payload::take_streams(streams).map_err(&limits)?;
    sys::close_all_on_exec();
    set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(&limits)?;
    payload::go_first();
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(&limits)?;
    payload::limit_all(fence.room).map_err(&limits)?;
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    sys::leave_keyring();
    rights::shed();
    if let Some((user, group)) = fence.user {
        let ids = Fault::of(Stage::Ids);
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        set_thread_groups(&[]).map_err(&ids)?;
        set_thread_res_gid(group, group, group).map_err(&ids)?;
        set_thread_res_uid(user, user, user).map_err(&ids)?;
    }
    // A change of the user would have undone it. A keeper that is dead by now has told nobody.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(&limits)?;
    if getppid() != Some(keeper) {
        return Err(Fault::new(Stage::Silent, Errno::SRCH.raw_os_error()));
    }
    rights::stay_without().map_err(Fault::of(Stage::Rights))?;
    unpack::write(order.files, fence.home)?;
    rustix::process::chdir(&order.folder).map_err(Fault::of(Stage::Folder))?;
    belt::fence(fence).map_err(|errno| Fault::new(Stage::Landlock, errno))?;
    filters.apply().map_err(|()| Fault::new(Stage::Filter, libc::EINVAL))?;
    Err(Fault::of(Stage::Exec)(payload::execute(order)))
}
