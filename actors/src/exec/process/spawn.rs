//! Starting a keeper: as a process where our executable can be re-run, as a thread where it cannot.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Child;

use super::Slot;
use crate::exec::keeper::slot::SlotKeeper;
use crate::exec::keeper::tree::Grip;
use crate::exec::sealed::KeeperProgram;

/// Starts a keeper, and holds the other end of its lifeline.
pub(in crate::exec) fn keeper_process(program: &KeeperProgram) -> io::Result<(UnixStream, Child)> {
    let (ours, theirs) = lifeline()?;
    Ok((ours, program.start(theirs)?))
}

/// Runs the keeper's loop in a thread. It can hold a job only by its process group.
pub(super) fn keeper_thread(slot: Slot) -> io::Result<UnixStream> {
    let (ours, theirs) = lifeline()?;
    std::thread::Builder::new()
        .name(format!("callboard-slot-{slot}"))
        .spawn(move || SlotKeeper::new(theirs, Grip::Group).run())?;
    Ok(ours)
}

fn lifeline() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((ours, theirs.into()))
}
