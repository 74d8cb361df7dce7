//! Reading back what keepers spooled: by attempt, stream or artifact, and offset, and removing it when it is no longer wanted.
//! It follows no symbolic link, reads a bounded piece at a time, and knows no jobs: which folders are wanted it is told.

mod age;
pub mod node_state;
pub mod results;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, unlinkat};
use rustix::io::Errno;

use crate::model::limits::MAX_READ_BYTES;
use crate::model::{AttemptId, Kept};

/// A folder of spooled output, one sub-folder an attempt.
#[derive(Clone, Debug)]
pub struct Spool {
    dir: PathBuf,
}

/// A piece of kept output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where the next piece begins.
    pub next_offset: u64,
    /// Kept bytes there are now.
    pub kept_bytes: u64,
    /// Whether nothing more is there now. While the job runs, more may come.
    pub at_end: bool,
}

impl Spool {
    /// Names the folder. It need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Reads up to `max` bytes (and never more than [`MAX_READ_BYTES`]). Offsets count kept bytes: the head, then the
    /// tail. An attempt without spooled output reads as empty.
    ///
    /// # Errors
    /// Whatever the file system says, but that something is absent.
    pub fn read(
        &self,
        attempt: AttemptId,
        kept: impl Into<Kept>,
        offset: u64,
        max: usize,
    ) -> io::Result<Chunk> {
        let kept = kept.into();
        let nothing = Chunk { bytes: Vec::new(), next_offset: offset, kept_bytes: 0, at_end: true };
        let Some(folder) = self.open(attempt)? else {
            return Ok(nothing);
        };
        // The tail is written only when the head is complete, so it is opened first: then the head's size is final.
        let tail = kept.tail_name().map(|name| open_file(&folder, name)).transpose()?.flatten();
        let head = open_file(&folder, &kept.file_name())?;
        let head_len = head.as_ref().map_or(0, |(_, len)| *len);
        let tail_len = tail.as_ref().map_or(0, |(_, len)| *len);
        let mut bytes = Vec::new();
        let max = max.min(MAX_READ_BYTES);
        if let Some((file, _)) = head.filter(|_| offset < head_len) {
            read_at(&file, offset, max, &mut bytes)?;
        }
        let at = offset + bytes.len() as u64;
        if let Some((file, _)) = tail.filter(|_| at >= head_len) {
            read_at(&file, at - head_len, max - bytes.len(), &mut bytes)?;
        }
        let next_offset = offset + bytes.len() as u64;
        // The job may have written between the look at the sizes and the reading; a read of nothing proves nothing.
        let kept_bytes = (head_len + tail_len).max(if bytes.is_empty() { 0 } else { next_offset });
        Ok(Chunk { bytes, next_offset, kept_bytes, at_end: next_offset >= kept_bytes })
    }

    /// Removes an attempt's output and artifacts. That there is none is no error.
    ///
    /// # Errors
    /// Whatever else the file system says.
    pub fn remove(&self, attempt: AttemptId) -> io::Result<()> {
        let Some(folder) = self.open(attempt)? else {
            return Ok(());
        };
        for name in names(&folder)? {
            ignore_absence(unlinkat(&folder, &name, AtFlags::empty()))?;
        }
        let path = self.dir.join(attempt.to_string());
        ignore_absence(unlinkat(CWD, path, AtFlags::REMOVEDIR))
    }

    /// Every attempt with spooled output, in no order. What is not named like an attempt is passed over.
    ///
    /// # Errors
    /// Whatever the file system says, but that the folder is absent.
    pub fn list(&self) -> io::Result<Vec<AttemptId>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = match openat(CWD, &self.dir, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            other => other?,
        };
        let mut found = Vec::new();
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_str().ok();
            found.extend(name.and_then(|name| name.parse::<AttemptId>().ok()));
        }
        Ok(found)
    }

    /// Removes the output of every attempt that is not to be kept. Returns how many were removed.
    ///
    /// # Errors
    /// Whatever the file system says about the folder itself; what cannot be removed is left for the next sweep.
    pub fn sweep(&self, keep: impl Fn(AttemptId) -> bool) -> io::Result<usize> {
        let unwanted = self.list()?.into_iter().filter(|attempt| !keep(*attempt));
        Ok(unwanted.filter(|attempt| self.remove(*attempt).is_ok()).count())
    }

    fn open(&self, attempt: AttemptId) -> io::Result<Option<OwnedFd>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.dir.join(attempt.to_string());
        absent_as_none(openat(CWD, path, flags, Mode::empty()))
    }
}

/// What is in an attempt's folder, which only its keeper writes to: a bounded number of files.
fn names(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = openat(folder.as_fd(), ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&dir)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}

/// Opens a regular file and tells its length.
fn open_file(folder: &OwnedFd, name: &str) -> io::Result<Option<(OwnedFd, u64)>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Some(file) = absent_as_none(openat(folder.as_fd(), name, flags, Mode::empty()))? else {
        return Ok(None);
    };
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let len = u64::try_from(stat.st_size).unwrap_or(0);
    Ok(Some((file, len)))
}

fn read_at(file: &OwnedFd, mut offset: u64, max: usize, into: &mut Vec<u8>) -> io::Result<()> {
    const STEP: usize = 64 * 1024;
    let end = into.len() + max;
    while into.len() < end {
        let start = into.len();
        into.resize(start + STEP.min(end - start), 0);
        let got = loop {
            match rustix::io::pread(file, &mut into[start..], offset) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        into.truncate(start + got.unwrap_or(0));
        match got? {
            0 => break,
            n => offset += n as u64,
        }
    }
    Ok(())
}

fn absent_as_none<T>(result: Result<T, Errno>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn ignore_absence(result: Result<(), Errno>) -> io::Result<()> {
    absent_as_none(result).map(|_| ())
}

#[cfg(test)]
#[path = "spool/tests.rs"]
mod tests;
