//! Bringing folders and files of the host into a room. Each is found through descriptors from a place that the node
//! allows, without following a link, so that nobody can lead us elsewhere; what is found is what is mounted.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat2};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use serde::{Deserialize, Serialize};

use crate::exec::sys;
use crate::model::mounts::{self, AllowedMount, Barred, Mount, allowance};

type Done<T> = rustix::io::Result<T>;

/// No link is followed, not even one of the kernel's.
const NO_LINKS: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Something that is to be brought in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Guest {
    /// Where it is on the host and in the room.
    pub(crate) path: String,
    /// The place that the node allows, which it is at or below.
    allowed: String,
    pub(crate) read_only: bool,
    /// Whether nobody asked for it: it is the folder that the job starts in.
    is_implied: bool,
}

/// What a job's mounts and its folder come to.
pub(crate) fn guests(mounts: &[Mount], folder: &str, allowed: &[AllowedMount]) -> Result<Vec<Guest>, Barred> {
    let mut guests: Vec<Guest> = Vec::new();
    for mount in mounts {
        let place = mounts::permit(mount, allowed)?;
        if mounts.iter().any(|other| other.path == mount.path && other.read_only && !mount.read_only)
            || guests.iter().any(|guest| guest.path == mount.path)
        {
            continue; // What is named twice is read-only when it is so once.
        }
        let allowed = place.path.clone();
        guests.push(Guest {
            path: mount.path.clone(),
            allowed,
            read_only: mount.read_only,
            is_implied: false,
        });
    }
    // Where a job starts it may work, as far as that is allowed; where it is not, its folder is not there.
    let is_covered = guests.iter().any(|guest| mounts::below(folder, &guest.path).is_some());
    if let Some(place) = allowance(allowed, folder).filter(|_| !is_covered && !mounts::is_own(folder)) {
        guests.push(Guest {
            path: folder.into(),
            allowed: place.path.clone(),
            read_only: place.read_only,
            is_implied: true,
        });
    }
    // What is below another one comes after it, so as not to be covered by it.
    guests.sort_by_key(|guest| guest.path.len());
    Ok(guests)
}

/// A copy of what a guest is, not yet anywhere. In whose name it is owned is not changed.
pub(crate) fn fetch(guest: &Guest) -> Done<OwnedFd> {
    let found = find(guest)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(&found, "", flags)?;
    restrict(&tree, guest)?;
    Ok(tree)
}

/// The same as root, for a job that is `outer` outside: what belongs to the owner of the place belongs to the job there,
/// and what the job makes belongs to that owner. A file system that cannot do that can be read only.
pub(crate) fn fetch_as(guest: &Guest, outer: (u32, u32)) -> Done<OwnedFd> {
    let found = find(guest)?;
    let owner = fstat(&found)?;
    let users = sys::user_namespace((owner.st_uid, owner.st_gid), outer).map_err(|error| errno(&error))?;
    // Without what is mounted below: each of those would have to take part.
    for below in [OpenTreeFlags::AT_RECURSIVE, OpenTreeFlags::empty()] {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH
            | below;
        let tree = open_tree(&found, "", flags)?;
        restrict(&tree, guest)?;
        match sys::map_owners(tree.as_fd(), users.as_fd(), !below.is_empty()) {
            Ok(()) => return Ok(tree),
            Err(_) if !below.is_empty() => {}
            Err(_) if guest.read_only => return Ok(tree),
            // A job that only wants to start somewhere may have no use for writing there.
            Err(_) if guest.is_implied => {
                restrict(&tree, &Guest { read_only: true, ..guest.clone() })?;
                return Ok(tree);
            }
            Err(error) => return Err(errno(&error)),
        }
    }
    Err(Errno::INVAL)
}

/// Where a guest is, held open.
pub(crate) fn find(guest: &Guest) -> Done<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let place = rustix::fs::open(&guest.allowed, flags, Mode::empty())?;
    let rest = mounts::below(&guest.path, &guest.allowed).ok_or(Errno::NOENT)?;
    let found = match rest {
        "" => place,
        rest => openat2(&place, rest, flags, Mode::empty(), NO_LINKS)?,
    };
    match FileType::from_raw_mode(fstat(&found)?.st_mode) {
        FileType::Directory | FileType::RegularFile => Ok(found),
        // Devices, sockets and pipes lead out of the room.
        _ => Err(Errno::OPNOTSUPP),
    }
}

fn restrict(tree: &OwnedFd, guest: &Guest) -> Done<()> {
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    if guest.read_only {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    sys::restrict_mounts(tree.as_fd(), u64::from(attributes.bits())).map_err(|error| errno(&error))
}

/// Puts it at its place below the new root; the folders on the way are made.
pub(super) fn place(root: &OwnedFd, guest: &Guest, tree: &OwnedFd) -> Done<()> {
    let is_folder = FileType::from_raw_mode(fstat(tree)?.st_mode) == FileType::Directory;
    let parts: Vec<&str> = guest.path.split('/').filter(|part| !part.is_empty()).collect();
    let Some((last, above)) = parts.split_last() else { return Err(Errno::INVAL) };
    let mut here = open_in(root, ".", OFlags::DIRECTORY)?;
    for part in above {
        here = folder_in(&here, part)?;
    }
    let spot = if is_folder { folder_in(&here, last)? } else { file_in(&here, last)? };
    move_mount(
        tree,
        "",
        &spot,
        "",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
}

fn open_in(folder: &OwnedFd, name: &str, more: OFlags) -> Done<OwnedFd> {
    rustix::fs::openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC | more, Mode::empty())
}

fn folder_in(folder: &OwnedFd, name: &str) -> Done<OwnedFd> {
    match open_in(folder, name, OFlags::DIRECTORY) {
        Err(Errno::NOENT) => {
            mkdirat(folder, name, Mode::from_raw_mode(0o755))?;
            open_in(folder, name, OFlags::DIRECTORY)
        }
        found => found,
    }
}

fn file_in(folder: &OwnedFd, name: &str) -> Done<OwnedFd> {
    match open_in(folder, name, OFlags::empty()) {
        Err(Errno::NOENT) => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            drop(rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o644))?);
            open_in(folder, name, OFlags::empty())
        }
        found => found,
    }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Whether the host has this at all, from where we are: for a message.
pub(crate) fn is_there(path: &str) -> bool {
    rustix::fs::statat(CWD, path, rustix::fs::AtFlags::empty()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(list: &[&str]) -> Vec<AllowedMount> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn mount(path: &str, read_only: bool) -> Mount {
        Mount { path: path.into(), read_only }
    }

    fn shown(guests: Result<Vec<Guest>, Barred>) -> Vec<String> {
        let mode = |guest: &Guest| if guest.read_only { ":ro" } else { "" };
        guests.unwrap().iter().map(|guest| format!("{}{}", guest.path, mode(guest))).collect()
    }

    #[test]
    fn a_job_s_folder_comes_along_where_it_is_allowed() {
        let everything = allowed(&["/"]);
        assert_eq!(shown(guests(&[], "/home/me", &everything)), ["/home/me"]);
        assert_eq!(shown(guests(&[], "/home/me", &allowed(&["/home:ro"]))), ["/home/me:ro"]);
        for own in ["/", "/job", "/job/x", "/tmp", "/usr"] {
            assert!(guests(&[], own, &everything).unwrap().is_empty(), "{own}");
        }
        assert!(guests(&[], "/home/me", &[]).unwrap().is_empty());
        let covered = guests(&[mount("/home", true)], "/home/me", &everything);
        assert_eq!(shown(covered), ["/home:ro"]);
    }

    #[test]
    fn what_is_named_twice_is_there_once_and_read_only_holds() {
        let everything = allowed(&["/"]);
        let thrice = [
            mount("/a", false),
            mount("/a", true),
            mount("/a", false),
            mount("/b", false),
            mount("/b", false),
        ];
        assert_eq!(shown(guests(&thrice, "/", &everything)), ["/a:ro", "/b"]);
    }

    #[test]
    fn mounts_come_from_the_outside_in_and_only_where_they_are_allowed() {
        let everything = allowed(&["/"]);
        let both = [mount("/data/in", true), mount("/data", false)];
        assert_eq!(shown(guests(&both, "/", &everything)), ["/data", "/data/in:ro"]);
        assert_eq!(guests(&both, "/", &allowed(&["/srv"])), Err(Barred::NotAllowed("/data/in".into())));
        assert_eq!(guests(&both, "/", &allowed(&["/data:ro"])), Err(Barred::ReadOnly("/data".into())));
    }
}
