//! A folder of its own on the disk for a job that has no room: made empty, given to the job's user, emptied and removed
//! when nothing of the job lives any more. No link in it is followed, whatever the job has left there.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid, chmodat, fchown, fstat, mkdirat, openat, renameat,
    unlinkat,
};
use rustix::io::Errno;

use super::alarm::Alarm;

/// Where the job starts, and what it calls its home.
const WORK: &str = "work";
/// What it is told to use for what is passing.
const SCRATCH: &str = "tmp";
/// Longest that emptying it may take, in milliseconds; then its slot is given up.
const EMPTY_BUDGET_MS: u64 = 30_000;
/// Names that are read at once: a job may leave any number of files.
const NAMES_AT_ONCE: usize = 4096;

/// The folder of one job.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    work: OwnedFd,
}

impl Home {
    /// Makes it, of this name below `base`, for this user; what a former job left there is removed.
    ///
    /// # Errors
    /// Something is there that is not ours to remove, or the disk does not take it.
    pub(crate) fn make(base: &Path, name: &str, user: Option<(u32, u32)>) -> io::Result<Self> {
        remove(base, name)?;
        let path = base.join(file_name(name));
        // Others may pass through it, to what is theirs in it.
        mkdirat(CWD, &path, Mode::RWXU | Mode::XGRP | Mode::XOTH)?;
        let own = open(&path)?;
        let mut folders = [WORK, SCRATCH].into_iter().map(|name| {
            mkdirat(&own, name, Mode::RWXU)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let folder = openat(&own, name, flags, Mode::empty())?;
            if let Some((user, group)) = user {
                fchown(&folder, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
            }
            Ok(folder)
        });
        let made = folders.next().unwrap_or(Err(Errno::NOENT)).and_then(|work| {
            folders.try_for_each(|folder: Result<OwnedFd, Errno>| folder.map(drop)).map(|()| work)
        });
        match made {
            Ok(work) => Ok(Self { path, work }),
            Err(errno) => {
                let _ = remove(base, name);
                Err(errno.into())
            }
        }
    }

    /// Where the job starts.
    pub(crate) fn work(&self) -> PathBuf {
        self.path.join(WORK)
    }

    /// Where passing things go.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.path.join(SCRATCH)
    }

    /// Removes it with everything in it; why that cannot be.
    pub(crate) fn remove(self) -> Option<String> {
        let failed = remove_at(&self.path).err();
        failed.map(|error| format!("the job's folder {} cannot be removed: {error}", self.path.display()))
    }

    /// The folder that it starts in.
    pub(crate) fn folder(&self) -> io::Result<OwnedFd> {
        self.work.try_clone()
    }
}

/// Removes the folder of this name with everything in it. That there is none is no error.
///
/// # Errors
/// It is not ours, or not empty in time.
pub(crate) fn remove(base: &Path, name: &str) -> io::Result<()> {
    remove_at(&base.join(file_name(name)))
}

fn remove_at(path: &Path) -> io::Result<()> {
    // A job may have closed its folder, and the one around it, which belong to its user where that is ours.
    path.parent().into_iter().for_each(reopen);
    reopen(path);
    let own = match open(path) {
        Ok(own) => own,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if fstat(&own)?.st_uid != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!("{} belongs to somebody else: remove it", path.display())));
    }
    empty(&own, &Alarm::after_ms(EMPTY_BUDGET_MS))?;
    unlinkat(CWD, path, AtFlags::REMOVEDIR).map_err(Into::into)
}

/// Lets us into a folder of ours that is closed to us. Others are left as they are.
fn reopen(path: &Path) {
    let is_shut = |mode: u32| mode & Mode::RWXU.as_raw_mode() != Mode::RWXU.as_raw_mode();
    let ours = rustix::process::geteuid().as_raw();
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Held by a descriptor it is what we have looked at.
    let Ok(held) = openat(CWD, path, flags, Mode::empty()) else { return };
    let Ok(facts) = fstat(&held) else { return };
    let is_folder = FileType::from_raw_mode(facts.st_mode) == FileType::Directory;
    if is_folder && facts.st_uid == ours && is_shut(facts.st_mode) {
        let held = format!("/proc/self/fd/{}", held.as_raw_fd());
        let _ = chmodat(CWD, held, Mode::RWXU, AtFlags::empty());
    }
}

fn file_name(name: &str) -> String {
    format!("callboard-{name}.home")
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map_err(Into::into)
}

/// Empties a folder that may hold folders of any depth: what is in a folder of its own is moved up first, so that two
/// descriptors are enough and no name grows long.
fn empty(top: &OwnedFd, budget: &Alarm) -> io::Result<()> {
    let mut moved: u64 = 0;
    loop {
        let names = names(top)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            if !remove_file(top, &name)? {
                let folder = open_up(top, &name)?;
                flatten(&folder, top, &mut moved, budget)?;
                unlinkat(top, &name, AtFlags::REMOVEDIR)?;
            }
            if budget.is_due() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// Removes the files of a folder, and moves its folders to `top`.
fn flatten(folder: &OwnedFd, top: &OwnedFd, moved: &mut u64, budget: &Alarm) -> io::Result<()> {
    loop {
        let names = names(folder)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            if !remove_file(folder, &name)? {
                // A folder that may not be written to may not be moved either.
                open_up(folder, &name)?;
                *moved += 1;
                renameat(folder, &name, top, format!(".callboard-moved-{moved}"))?;
            }
        }
        if budget.is_due() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Whether it was a file, or anything but a folder, and is gone.
fn remove_file(folder: &OwnedFd, name: &std::ffi::CStr) -> io::Result<bool> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR | Errno::PERM) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens a folder that its owner may have closed.
fn open_up(folder: &OwnedFd, name: &std::ffi::CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // It is a folder: a link would have been removed as a file.
    chmodat(folder, name, Mode::RWXU, AtFlags::empty())?;
    openat(folder.as_fd(), name, flags, Mode::empty()).map_err(Into::into)
}

fn names(folder: &OwnedFd) -> io::Result<Vec<std::ffi::CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder.as_fd())? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
        if names.len() >= NAMES_AT_ONCE {
            break;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn whatever_a_job_leaves_is_removed_and_nothing_else() {
        let (base, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("kept"), "kept").unwrap();
        let home = Home::make(base.path(), "a.1", None).unwrap();
        let work = home.work();
        assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
        assert!(home.scratch().is_dir());
        symlink(outside.path(), work.join("away")).unwrap();
        for number in 0..NAMES_AT_ONCE + 10 {
            fs::write(work.join(format!("f{number}")), "").unwrap();
        }
        // Deeper than any name may be long, made from within.
        let mut at = open(&work).unwrap();
        for _ in 0..2000 {
            mkdirat(&at, "deeper", Mode::RWXU).unwrap();
            fs::write(format!("/proc/self/fd/{}/f", at.as_raw_fd()), "").unwrap();
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            at = openat(&at, "deeper", flags, Mode::empty()).unwrap();
        }
        fs::create_dir_all(work.join("shut/in")).unwrap();
        for name in ["shut/in", "shut", "", ".."] {
            fs::set_permissions(work.join(name), fs::Permissions::from_mode(0o000)).unwrap();
        }
        drop(home);
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o000)).unwrap();
        // Made anew where another one was left.
        let home = Home::make(base.path(), "a.1", None).unwrap();
        assert_eq!(fs::read_dir(home.work()).unwrap().count(), 0);
        remove(base.path(), "a.1").unwrap();
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
        assert_eq!(fs::read_to_string(outside.path().join("kept")).unwrap(), "kept");
        remove(base.path(), "a.1").unwrap();
    }

    #[test]
    fn what_is_somebody_elses_is_left_alone() {
        let base = tempfile::tempdir().unwrap();
        let there = base.path().join(file_name("b.1"));
        symlink("/etc", &there).unwrap();
        assert!(Home::make(base.path(), "b.1", None).is_err());
        assert!(there.is_symlink());
    }
}
