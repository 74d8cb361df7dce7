//! A room's folder on its way from the room's first process to its keeper: a descriptor, through the socket between them.
//! It stays open when the room is gone, so that what the job left there can be read then.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::HOME;

/// Hands it over; there is room for it, so nobody is waited for.
pub(super) fn give(keeper: &UnixStream) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(CWD, HOME, flags, Mode::empty())?;
    let folders = [folder.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    if !message.push(SendAncillaryMessage::ScmRights(&folders)) {
        return Err(Errno::NOBUFS);
    }
    sendmsg(keeper, &[IoSlice::new(&[0])], &mut message, SendFlags::NOSIGNAL).map(drop)
}

/// Takes it. It is there when the job's program runs, so nobody is waited for here either.
pub(super) fn take(first: &UnixStream) -> Result<OwnedFd, Errno> {
    let mut word = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    loop {
        let mut message = RecvAncillaryBuffer::new(&mut space);
        if recvmsg(first, &mut [IoSliceMut::new(&mut word)], &mut message, flags)?.bytes == 0 {
            return Err(Errno::BADMSG);
        }
        let mut folders = message.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(folders) => Some(folders),
            _ => None,
        });
        // What comes before it is a word that root has not waited for.
        if let Some(folder) = folders.next().and_then(|mut folders| folders.next()) {
            return Ok(folder);
        }
    }
}
