//! Starting a keeper: as a process where our executable can be re-run, as a thread where it cannot.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Slot;
use crate::exec::entry::KEEPER_ARGUMENT;
use crate::exec::keeper::slot::SlotKeeper;
use crate::exec::keeper::tree::Grip;

/// Re-runs an executable as keeper. It sees nothing of our environment and none of our descriptors but its lifeline
/// and our standard error.
pub(in crate::exec) fn keeper_process(path: &Path) -> io::Result<(UnixStream, Child)> {
    let (ours, theirs) = lifeline()?;
    let child = Command::new(path)
        .arg(KEEPER_ARGUMENT)
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .spawn()?;
    Ok((ours, child))
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
