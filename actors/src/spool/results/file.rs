//! The file of a log of results: opened, read back, appended to, emptied, rewritten without what was judged. It refuses
//! to know who waits for it, and believes nothing of a file that failed it until it has been written anew.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::frame::{self, Beginning, Bodies, Entry};
use super::{MAX_RESULT_LOG_BYTES, ResultLogError};
use crate::clock;
use crate::model::{AttemptId, AttemptResult};

/// Size of the log below which it is not rewritten, in bytes.
const REWRITE_FLOOR_BYTES: u64 = 4 << 20;
/// Longest file that is read back, in bytes: a log is rewritten before half of it is judged, and grows by one group.
const MAX_RESULT_FILE_BYTES: u64 = 2 * MAX_RESULT_LOG_BYTES + (256 << 20);

const LOG_NAME: &str = "results.log";
const DRAFT_NAME: &str = "results.new";
const LOCK_NAME: &str = "results.lock";

/// Where in the file a result stands that has no verdict yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: u64,
    pub(super) len: u64,
    /// Bytes of inline output in it.
    pub(super) inline: u64,
}

/// The results without a verdict, and what they occupy.
#[derive(Debug, Default)]
pub(super) struct Index {
    places: BTreeMap<AttemptId, Place>,
    /// Bytes of their frames.
    pub(super) bytes: u64,
    /// Bytes of inline output among those.
    pub(super) inline: u64,
}

impl Index {
    pub(super) fn insert(&mut self, attempt: AttemptId, place: Place) {
        self.remove(attempt);
        self.bytes += place.len;
        self.inline += place.inline;
        self.places.insert(attempt, place);
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, attempt: AttemptId) -> bool {
        let gone = self.places.remove(&attempt);
        let Place { len, inline, .. } = gone.unwrap_or(Place { at: 0, len: 0, inline: 0 });
        self.bytes -= len;
        self.inline -= inline;
        gone.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// In the order in which they stand in the file.
    fn in_order(&self) -> Vec<(AttemptId, Place)> {
        let mut places: Vec<_> = self.places.iter().map(|(attempt, place)| (*attempt, *place)).collect();
        places.sort_by_key(|(_, place)| place.at);
        places
    }
}

/// The open file.
#[derive(Debug)]
pub(super) struct LogFile {
    dir: PathBuf,
    file: File,
    len: u64,
    pub(super) index: Index,
    /// A write or a sync failed: what the file holds beyond what was answered for is not known.
    is_suspect: bool,
    /// Not to be rewritten before it is this long.
    rewrite_at: u64,
    _lock: File,
    #[cfg(test)]
    pub(super) syncs_to_fail: u32,
}

impl LogFile {
    /// Opens the log of a folder, which is made if it is not there, and reads back what has no verdict.
    pub(super) fn open(dir: &Path) -> Result<(Self, Vec<AttemptResult>), ResultLogError> {
        let failed = |error: io::Error| ResultLogError::io(dir, &error);
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let lock = lock(dir)?;
        // What a crash left of a rewrite: the log itself is whole.
        remove_if_there(&dir.join(DRAFT_NAME)).map_err(failed)?;
        let path = dir.join(LOG_NAME);
        let bytes = read(&path)?;
        let file = match frame::beginning(&bytes) {
            Beginning::Ours => open_to_write(&path, false).map_err(failed)?,
            Beginning::Unfinished => fresh(dir).map_err(failed)?,
            Beginning::Version(found) => {
                let path = path.display().to_string();
                return Err(ResultLogError::Newer { path, found, known: frame::VERSION });
            }
            Beginning::Foreign => return Err(ResultLogError::Foreign { path: path.display().to_string() }),
        };
        let mut log = Self {
            dir: dir.to_owned(),
            file,
            len: frame::HEADER_LEN as u64,
            index: Index::default(),
            is_suspect: false,
            rewrite_at: 0,
            _lock: lock,
            #[cfg(test)]
            syncs_to_fail: 0,
        };
        let results = log.read_back(&bytes)?;
        Ok((log, results))
    }

    /// Takes in what the file says, cuts off a torn end, and writes anew what was damaged elsewhere.
    fn read_back(&mut self, bytes: &[u8]) -> Result<Vec<AttemptResult>, ResultLogError> {
        let path = self.dir.join(LOG_NAME);
        let unreadable = || ResultLogError::Unreadable { path: path.display().to_string() };
        let mut frames = frame::frames(bytes);
        for frame in frames.by_ref() {
            match frame.entry.ok_or_else(unreadable)? {
                Entry::Judged(attempt) => _ = self.index.remove(attempt),
                Entry::Result(stored) => {
                    let inline = stored.inline_bytes() as u64;
                    let place = Place { at: frame.at as u64, len: frame.len as u64, inline };
                    self.index.insert(stored.attempt, place);
                }
            }
        }
        let mut results = Vec::new();
        for (_, place) in self.index.in_order() {
            if let Some(Entry::Result(stored)) = whole(bytes, place.at as usize) {
                results.push(stored.result(clock::now_ms()).map_err(|_| unreadable())?);
            }
        }
        self.len = frames.end.max(frame::HEADER_LEN) as u64;
        let torn = bytes.len() - frames.end.min(bytes.len());
        if torn > 0 {
            log::warn!("{}: the last {torn} bytes are no whole result and were cut off", path.display());
            let cut = self.file.set_len(self.len).and_then(|()| self.sync());
            cut.map_err(|error| ResultLogError::io(&path, &error))?;
        }
        if frames.passed_over > 0 {
            let damaged = frames.passed_over;
            log::error!("{}: {damaged} bytes between whole results are damaged", path.display());
            self.is_suspect = true;
        }
        Ok(results)
    }

    /// Bytes of the file.
    #[cfg(test)]
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Appends frames and, if asked, waits until they are on the disk. Answers where they begin.
    pub(super) fn append(&mut self, frames: &[u8], durably: bool) -> Result<u64, ResultLogError> {
        if self.is_suspect {
            self.rewrite(Bodies::Kept)?;
        }
        let at = self.len;
        let mut done = self.file.write_all_at(frames, at);
        if done.is_ok() && durably {
            done = self.sync();
            // After a sync that failed, the next one may succeed without having written anything.
            self.is_suspect = done.is_err();
        }
        if let Err(error) = done {
            self.is_suspect |= self.file.set_len(at).is_err();
            return Err(ResultLogError::io(&self.dir.join(LOG_NAME), &error));
        }
        self.len = at + frames.len() as u64;
        Ok(at)
    }

    fn sync(&mut self) -> io::Result<()> {
        #[cfg(test)]
        if self.syncs_to_fail > 0 {
            self.syncs_to_fail -= 1;
            return Err(io::Error::other("a test wants this sync to fail"));
        }
        self.file.sync_data()
    }

    /// Gives back what judged results occupy, when it is all of the file, or much.
    pub(super) fn tidy(&mut self) {
        let header = frame::HEADER_LEN as u64;
        if self.index.is_empty() && self.len > header && !self.is_suspect {
            // Not synced: whatever of it comes back after a crash is judged again.
            match self.file.set_len(header) {
                Ok(()) => self.len = header,
                Err(_) => self.is_suspect = true,
            }
        } else if self.len > self.rewrite_at.max(REWRITE_FLOOR_BYTES) && self.index.bytes < self.len / 2 {
            let done = self.rewrite(Bodies::Kept);
            self.rewrite_at = if done.is_ok() { 0 } else { self.len + REWRITE_FLOOR_BYTES };
            if let Err(error) = done {
                log::warn!("the log of results could not be made smaller: {error}");
            }
        }
    }

    /// Writes what has no verdict into a new file, which then takes the place of the old one.
    pub(super) fn rewrite(&mut self, bodies: Bodies) -> Result<(), ResultLogError> {
        let draft = self.dir.join(DRAFT_NAME);
        let failed = |error: io::Error| ResultLogError::io(&draft, &error);
        let (file, index, len) = self.copy_to(&draft, bodies).map_err(|error| {
            // It takes room on a disk that may be full.
            let _ = remove_if_there(&draft);
            failed(error)
        })?;
        std::fs::rename(&draft, self.dir.join(LOG_NAME)).map_err(failed)?;
        (self.file, self.index, self.len) = (file, index, len);
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        self.is_suspect = synced.is_err();
        synced.map_err(failed)
    }

    fn copy_to(&self, draft: &Path, bodies: Bodies) -> io::Result<(File, Index, u64)> {
        let mut to = BufWriter::new(open_to_write(draft, true)?);
        let mut index = Index::default();
        let mut at = frame::HEADER_LEN as u64;
        to.write_all(&frame::header())?;
        for (attempt, place) in self.index.in_order() {
            let mut bytes = vec![0; place.len as usize];
            let read = self.file.read_exact_at(&mut bytes, place.at);
            let Some(Entry::Result(stored)) = read.ok().and_then(|()| whole(&bytes, 0)) else {
                log::error!(attempt:% = attempt; "a result can no longer be read from the disk and is kept in memory only");
                continue;
            };
            let (mut inline, mut bare) = (place.inline, None);
            if bodies == Bodies::Dropped && inline > 0 {
                (inline, bare) = (0, frame::without_bodies(&stored));
            }
            let bytes = bare.as_deref().unwrap_or(&bytes);
            to.write_all(bytes)?;
            index.insert(attempt, Place { at, len: bytes.len() as u64, inline });
            at += bytes.len() as u64;
        }
        let file = to.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok((file, index, at))
    }

    /// Puts the log under another name, if there is a result in it, and begins a new one. Answers the name.
    pub(super) fn set_aside(&mut self, whose: &str) -> Result<Option<PathBuf>, ResultLogError> {
        if self.index.is_empty() {
            return Ok(None);
        }
        let aside = self.dir.join(format!("results.{whose}.{}", clock::now_ms()));
        let renamed = std::fs::rename(self.dir.join(LOG_NAME), &aside);
        renamed.map_err(|error| ResultLogError::io(&self.dir, &error))?;
        // If the new file cannot be made now, whatever is appended next makes it.
        (self.index, self.is_suspect, self.rewrite_at) = (Index::default(), true, 0);
        self.rewrite(Bodies::Kept)?;
        Ok(Some(aside))
    }
}

/// What the frame at `at` says, if it is whole and understood.
fn whole(bytes: &[u8], at: usize) -> Option<Entry<'_>> {
    frame::frame_at(bytes, at)?.entry
}

/// A log without results in the place of whatever is there.
fn fresh(dir: &Path) -> io::Result<File> {
    let draft = dir.join(DRAFT_NAME);
    let mut file = open_to_write(&draft, true)?;
    file.write_all(&frame::header())?;
    file.sync_all()?;
    std::fs::rename(draft, dir.join(LOG_NAME))?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

fn lock(dir: &Path) -> Result<File, ResultLogError> {
    let path = dir.join(LOCK_NAME);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(|error| ResultLogError::io(&path, &error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(ResultLogError::Locked { path: path.display().to_string() }),
        Err(error) => Err(ResultLogError::io(&path, &error.into())),
    }
}

fn open_to_write(path: &Path, anew: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(anew).truncate(anew).mode(0o600).open(path)
}

/// The whole file; nothing if there is none.
fn read(path: &Path) -> Result<Vec<u8>, ResultLogError> {
    let failed = |error: io::Error| ResultLogError::io(path, &error);
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let len = file.metadata().map_err(failed)?.len();
    if len > MAX_RESULT_FILE_BYTES {
        let path = path.display().to_string();
        return Err(ResultLogError::Oversized { path, bytes: len, limit_bytes: MAX_RESULT_FILE_BYTES });
    }
    let mut bytes = Vec::with_capacity(len as usize);
    file.take(len).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
