//! Brings in a job's artifacts: from the folder of its room, when nothing of the job lives any more, into the spool. No
//! symbolic link is followed, nothing but files is read, and there is a bound to how many and how much. It knows no room
//! and no conversation.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use rustix::io::Errno;

use crate::exec::spooling::SpoolFolder;
use crate::model::artifacts::{MAX_ARTIFACT_FILES, MAX_ARTIFACT_NAMES, MAX_ARTIFACT_PROBLEMS};
use crate::model::files::is_below;
use crate::model::{Artifact, Artifacts, Kept, Unkept};

/// Nothing leads out of the folder, and nothing within it leads elsewhere.
const WITHIN: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// The folder of a room, held open beyond the room's end, and what of it is wanted.
#[derive(Debug)]
pub(crate) struct Harvest {
    folder: OwnedFd,
    wanted: Vec<String>,
    most_bytes: u64,
}

impl Harvest {
    /// None where nothing is wanted, or there is no folder.
    pub(crate) fn of(folder: Option<OwnedFd>, wanted: Vec<String>, most_bytes: u64) -> Option<Self> {
        let folder = folder.filter(|_| !wanted.is_empty())?;
        Some(Self { folder, wanted, most_bytes })
    }

    /// Copies what is there. Only to be called when nobody is left who could change it meanwhile.
    pub(crate) fn bring_in(&self, spool: &mut SpoolFolder) -> Artifacts {
        let (seen, artifacts) = (BTreeSet::new(), Artifacts::default());
        let mut barn = Barn { harvest: self, spool, seen, names: 0, artifacts };
        for path in &self.wanted {
            barn.take(path);
        }
        barn.artifacts
    }
}

/// Why something is not kept.
enum Refusal {
    /// It cannot be opened.
    Open(Errno),
    /// It is a device, a pipe, a socket.
    Strange,
    /// It is a symbolic link.
    Link,
    /// It goes beyond the limit.
    TooLarge { bytes: u64, left: u64 },
    /// It is one more than there may be.
    TooMany,
    /// It holds more names than are looked at.
    TooManyNames,
    /// Its name is no text, or too long a path.
    Name,
    /// It cannot be read, or not be written down.
    Copy(io::Error),
}

impl Refusal {
    fn in_words(&self) -> String {
        match self {
            Self::Open(Errno::NOENT | Errno::NOTDIR) => "it is not there".into(),
            Self::Open(Errno::LOOP) | Self::Link => "a symbolic link is not followed".into(),
            Self::Open(Errno::ACCESS) => "the job left it so that it cannot be read".into(),
            Self::Open(errno) => format!("it cannot be opened: {errno}"),
            Self::Strange => "it is neither a file nor a folder".into(),
            Self::TooLarge { bytes, left } => format!(
                "it has {bytes} bytes, and of what is kept of a job {left} are left (setting limits.max_artifacts)"
            ),
            Self::TooMany => {
                format!("at most {MAX_ARTIFACT_FILES} files are kept of a job: put them into one")
            }
            Self::TooManyNames => {
                format!("at most {MAX_ARTIFACT_NAMES} names are looked at: put the files into one")
            }
            Self::Name => "its name is not text, or its path is too long".into(),
            Self::Copy(error) => format!("it could not be kept: {error}"),
        }
    }
}

/// What was brought in so far, and where it goes.
struct Barn<'a> {
    harvest: &'a Harvest,
    spool: &'a mut SpoolFolder,
    seen: BTreeSet<String>,
    /// Names that were read in folders.
    names: usize,
    artifacts: Artifacts,
}

impl Barn<'_> {
    /// A file, or all files below a folder, from the top downwards and in the order of their names.
    fn take(&mut self, path: &str) {
        let mut waiting = vec![path.to_owned()];
        while let Some(path) = waiting.pop() {
            match self.take_one(&path) {
                // The last one is the next: so in the order of names.
                Ok(below) => waiting.extend(below.into_iter().rev()),
                Err(refusal @ (Refusal::TooMany | Refusal::TooManyNames)) => {
                    self.refuse(path, &refusal);
                    return;
                }
                Err(refusal) => self.refuse(path, &refusal),
            }
        }
    }

    /// Keeps a file; of a folder, says what is in it.
    fn take_one(&mut self, path: &str) -> Result<Vec<String>, Refusal> {
        if !self.seen.insert(path.to_owned()) {
            return Ok(Vec::new()); // It was declared itself, and so was a folder around it.
        }
        // A pipe would wait for somebody who writes.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found =
            openat2(&self.harvest.folder, path, flags, Mode::empty(), WITHIN).map_err(
                |errno| match errno {
                    // What opening a socket says.
                    Errno::NXIO => Refusal::Strange,
                    errno => Refusal::Open(errno),
                },
            )?;
        let facts = fstat(&found).map_err(Refusal::Open)?;
        match FileType::from_raw_mode(facts.st_mode) {
            FileType::RegularFile => self.keep(path, found, &facts).map(|()| Vec::new()),
            FileType::Directory => self.open_up(path, &found),
            FileType::Symlink => Err(Refusal::Link),
            _ => Err(Refusal::Strange),
        }
    }

    fn keep(&mut self, path: &str, file: OwnedFd, facts: &Stat) -> Result<(), Refusal> {
        let number = self.artifacts.kept.len();
        if number >= MAX_ARTIFACT_FILES {
            return Err(Refusal::TooMany);
        }
        let left = self.harvest.most_bytes.saturating_sub(self.artifacts.kept_bytes());
        let bytes = u64::try_from(facts.st_size).unwrap_or(u64::MAX);
        if bytes > left {
            return Err(Refusal::TooLarge { bytes, left });
        }
        let name = Kept::Artifact(u32::try_from(number).unwrap_or(u32::MAX)).file_name();
        self.copy(&name, File::from(file).take(bytes), bytes).map_err(Refusal::Copy)?;
        let executable = Mode::from_raw_mode(facts.st_mode).contains(Mode::XUSR);
        self.artifacts.kept.push(Artifact { path: path.into(), bytes, executable });
        Ok(())
    }

    fn copy(&mut self, name: &str, mut from: impl Read, bytes: u64) -> io::Result<()> {
        let mut to = self.spool.create(name)?;
        let copied = io::copy(&mut from, &mut to).and_then(|copied| match copied == bytes {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        });
        if copied.is_err() {
            self.spool.remove(name);
        }
        copied
    }

    /// The paths in a folder, as many as can be of use.
    fn open_up(&mut self, path: &str, folder: &OwnedFd) -> Result<Vec<String>, Refusal> {
        let mut below = Vec::new();
        for entry in Dir::read_from(folder.as_fd()).map_err(Refusal::Open)? {
            let entry = entry.map_err(Refusal::Open)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.names += 1;
            if self.names > MAX_ARTIFACT_NAMES {
                return Err(Refusal::TooManyNames);
            }
            match name.to_str().map(|name| format!("{path}/{name}")) {
                Ok(inner) if is_below(&inner) => below.push(inner),
                _ => self.refuse(format!("{path}/{}", name.to_string_lossy()), &Refusal::Name),
            }
        }
        below.sort_unstable();
        Ok(below)
    }

    fn refuse(&mut self, path: String, refusal: &Refusal) {
        let unkept = &mut self.artifacts.unkept;
        if unkept.len() < MAX_ARTIFACT_PROBLEMS {
            unkept.push(Unkept { path, why: refusal.in_words() });
        }
    }
}

#[cfg(test)]
#[path = "harvest/tests.rs"]
mod tests;
