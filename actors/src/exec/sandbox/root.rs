//! The root of a room: a small file system of its own with the host's programs in it, read-only, and folders to write
//! to. It is put together through descriptors, so that no name of the host is followed twice.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, mkdirat, openat, readlinkat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree,
    unmount,
};

use super::bring::{self, Guest};
use super::stamps::{Stamps, Step};
use super::{Fault, INSIDE_ID, Order, Room, Stage};
use crate::exec::sys;

type Done<T> = rustix::io::Result<T>;

/// Folders of programs at the root of a host; links among them stay links.
pub(super) const PROGRAMS: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib64", "lib32", "opt"];
/// What of the host's settings a program needs to start, to show a time or to trust a server. Nothing that says who
/// uses the host.
pub(super) const SETTINGS: [&str; 8] = [
    "alternatives",
    "ca-certificates",
    "ld.so.cache",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "pki",
    "ssl/certs",
];
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// What of `/proc` is nobody's business inside, where the kernel has it.
const HIDDEN: [&str; 10] = [
    "kcore",
    "keys",
    "key-users",
    "kallsyms",
    "kmsg",
    "timer_list",
    "sched_debug",
    "sysrq-trigger",
    "acpi",
    "scsi",
];

/// Attributes of everything that is the host's.
const FOREIGN: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV);
const OWN: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// Builds the root and moves into it.
pub(super) fn build(room: &Room, order: &Order, stamps: &Stamps) -> Result<(), Fault> {
    let mounts = Fault::of(Stage::Mounts);
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).map_err(&mounts)?;
    let root = tmpfs(1 << 20, 1024, 0o755, OWN).map_err(&mounts)?;
    let programs = gather_programs().map_err(&mounts)?;
    let settings = gather_settings(room.host_network);
    let devices = gather_devices().map_err(&mounts)?;
    let guests = gather_guests(order)?;
    let proc = procfs().map_err(Fault::of(Stage::Proc))?;
    stamps.mark(Step::Sources);
    // It must stand somewhere before anything can stand in it; from here on nothing of the host is looked up.
    attach_to(&root, CWD, anchor()).map_err(&mounts)?;
    furnish(room, &order.hostname, &root, [&programs, &settings, &devices]).map_err(&mounts)?;
    for (which, (guest, tree)) in guests.iter().enumerate() {
        bring::place(&root, guest, tree).map_err(|errno| Fault::guest(which, errno))?;
    }
    stamps.mark(Step::Root);
    place(&root, "proc", &proc).map_err(Fault::of(Stage::Proc))?;
    hide(&root).map_err(Fault::of(Stage::Proc))?;
    stamps.mark(Step::Proc);
    enter(&root).map_err(Fault::of(Stage::Pivot))?;
    stamps.mark(Step::Pivot);
    Ok(())
}

/// Settings and hardware that nobody may write to, whoever owns them.
const CLOSED: [&str; 4] = ["/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs"];

/// Makes what holds the rest together read-only, after the last change to it.
pub(super) fn freeze(lids: Vec<(&str, OwnedFd)>) -> Result<(), Fault> {
    for (path, same) in lids {
        attach_to(&same, CWD, path).map_err(Fault::of(Stage::Proc))?;
    }
    let fault = Fault::of(Stage::Pivot);
    let root = openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(&fault)?;
    let read_only = u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits());
    sys::restrict_mount(root.as_fd(), read_only).map_err(Fault::at(Stage::Pivot))
}

/// Read-only copies of places that are to be closed. To be made while there may still be mounts that are nowhere, which
/// the kernel counts as namespaces.
pub(super) fn lids() -> Result<Vec<(&'static str, OwnedFd)>, Fault> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let lid = |path| match open_tree(CWD, path, flags) {
        Ok(same) => Some(lock(&same).map(|()| (path, same))),
        // This kernel has none.
        Err(Errno::NOENT | Errno::NOTDIR) => None,
        Err(error) => Some(Err(error)),
    };
    CLOSED.into_iter().filter_map(lid).collect::<Done<_>>().map_err(Fault::of(Stage::Proc))
}

fn lock(mount: &OwnedFd) -> Done<()> {
    sys::restrict_mount(mount.as_fd(), u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits()))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// A folder that every host has, and that nothing we take from it is below.
fn anchor() -> &'static str {
    const ANYWHERE: [&str; 4] = ["/tmp", "/mnt", "/var", "/run"];
    ANYWHERE.into_iter().find(|path| Path::new(path).is_dir()).unwrap_or("/proc")
}

fn tmpfs(bytes: u64, files: u64, mode: u32, attributes: MountAttrFlags) -> Done<OwnedFd> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [
        ("size", bytes.to_string()),
        ("nr_inodes", files.to_string()),
        ("mode", format!("{mode:o}")),
        ("uid", INSIDE_ID.to_string()),
        ("gid", INSIDE_ID.to_string()),
    ] {
        fsconfig_set_string(&fs, key, value)?;
    }
    fsconfig_create(&fs)?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn procfs() -> Done<OwnedFd> {
    let fs = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&fs, "hidepid", "invisible")?;
    fsconfig_create(&fs)?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, OWN | MountAttrFlags::MOUNT_ATTR_NOEXEC)
}

/// What stands at one name of the new root.
enum Thing {
    Tree { mount: OwnedFd, is_folder: bool },
    Link(Vec<u8>),
}

/// A copy of a place of the host, read-only with all below it.
fn copy_of(path: &str, attributes: MountAttrFlags) -> Done<Option<Thing>> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let mount = match open_tree(CWD, path, flags) {
        Ok(mount) => mount,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => return Ok(None),
        Err(error) => return Err(error),
    };
    sys::restrict_mounts(mount.as_fd(), u64::from(attributes.bits()))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let is_folder = FileType::from_raw_mode(rustix::fs::fstat(&mount)?.st_mode) == FileType::Directory;
    Ok(Some(Thing::Tree { mount, is_folder }))
}

fn gather_programs() -> Done<Vec<(&'static str, Thing)>> {
    let mut things = Vec::new();
    for name in PROGRAMS {
        let path = format!("/{name}");
        if let Ok(target) = readlinkat(CWD, path.as_str(), Vec::new()) {
            things.push((name, Thing::Link(target.into_bytes())));
        } else if let Some(thing) = copy_of(&path, FOREIGN)? {
            things.push((name, thing));
        }
    }
    Ok(things)
}

/// What root did not fetch for us we fetch ourselves, as who we are outside.
fn gather_guests<'a>(order: &'a Order<'_>) -> Result<Vec<(&'a Guest, OwnedFd)>, Fault> {
    let gather = |(which, (guest, fetched)): (usize, &'_ (Guest, Option<OwnedFd>))| match fetched {
        Some(tree) => tree.try_clone().map_err(Fault::at(Stage::Guests)),
        None => bring::fetch(guest).map_err(|errno| Fault::guest(which, errno)),
    };
    let trees = order.guests.iter().enumerate().map(gather);
    order.guests.iter().zip(trees).map(|((guest, _), tree)| Ok((guest, tree?))).collect()
}

/// What cannot be had is left out: a program that needs it says so better than we can.
fn gather_settings(with_network: bool) -> Vec<(&'static str, Thing)> {
    let copy = |name: &'static str| {
        let attributes = FOREIGN | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        copy_of(&format!("/etc/{name}"), attributes).ok().flatten().map(|thing| (name, thing))
    };
    let of_network = with_network.then_some("resolv.conf");
    SETTINGS.into_iter().chain(of_network).filter_map(copy).collect()
}

fn gather_devices() -> Done<Vec<(&'static str, Thing)>> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let copy = |name| Ok((name, copy_of(&format!("/dev/{name}"), attributes)?.ok_or(Errno::NOENT)?));
    DEVICES.into_iter().map(copy).collect()
}

fn attach_to(mount: &OwnedFd, at: impl AsFd, path: &str) -> Done<()> {
    move_mount(mount, "", at, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Makes a folder of this name and puts the mount there.
fn place(root: &OwnedFd, name: &str, mount: &OwnedFd) -> Done<()> {
    folder(root, name)?;
    attach_to(mount, root, name)
}

fn folder(root: &OwnedFd, name: &str) -> Done<()> {
    mkdirat(root, name, Mode::from_raw_mode(0o755))
}

fn file(root: &OwnedFd, name: &str, text: &str) -> Done<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let made = openat(root, name, flags, Mode::from_raw_mode(0o644))?;
    let written = std::fs::File::from(made).write_all(text.as_bytes());
    written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn put(root: &OwnedFd, name: &str, thing: &Thing) -> Done<()> {
    match thing {
        Thing::Link(target) => symlinkat(target.as_slice(), root, name),
        Thing::Tree { mount, is_folder: true } => place(root, name, mount),
        Thing::Tree { mount, is_folder: false } => {
            file(root, name, "")?;
            attach_to(mount, root, name)
        }
    }
}

fn furnish(
    room: &Room,
    hostname: &str,
    root: &OwnedFd,
    [programs, settings, devices]: [&[(&str, Thing)]; 3],
) -> Done<()> {
    for (name, thing) in programs {
        put(root, name, thing)?;
    }
    for name in ["etc", "etc/ssl", "run", "var", "var/lib", "var/log"] {
        folder(root, name)?;
    }
    for (name, thing) in settings {
        put(root, &format!("etc/{name}"), thing)?;
    }
    for (name, text) in synthesised(hostname) {
        file(root, &format!("etc/{name}"), &text)?;
    }
    folder(root, "dev")?;
    for (name, thing) in devices {
        put(root, &format!("dev/{name}"), thing)?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlinkat(target, root, format!("dev/{name}"))?;
    }
    for (name, mode) in [("tmp", 0o1777), ("job", 0o755), ("dev/shm", 0o1777)] {
        place(root, name, &tmpfs(room.scratch_bytes, room.scratch_files, mode, OWN)?)?;
    }
    symlinkat("/tmp", root, "var/tmp")
}

/// Files of `/etc` that tell of the room and of nobody else.
fn synthesised(name: &str) -> [(&'static str, String); 5] {
    let id = INSIDE_ID;
    [
        (
            "passwd",
            format!(
                "job:x:{id}:{id}:job:/job:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
            ),
        ),
        ("group", format!("job:x:{id}:\nnogroup:x:65534:\n")),
        ("hostname", format!("{name}\n")),
        ("hosts", format!("127.0.0.1 localhost {name}\n::1 localhost\n")),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".into()),
    ]
}

/// Covers what tells of the host, and makes the rest that could be written to read-only.
fn hide(root: &OwnedFd) -> Done<()> {
    let here = openat(root, "proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for name in HIDDEN {
        if let Ok(found) = rustix::fs::statat(&here, name, AtFlags::SYMLINK_NOFOLLOW) {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let is_folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
            // Nothing is in `run`, and nothing can be read from `null`.
            let nothing = open_tree(root, if is_folder { "run" } else { "dev/null" }, flags)?;
            lock(&nothing)?;
            attach_to(&nothing, &here, name)?;
        }
    }
    Ok(())
}

/// The new root becomes the root, and the host's goes.
fn enter(root: &OwnedFd) -> Done<()> {
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}
