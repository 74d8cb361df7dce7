//! The spool folder of one attempt, as its keeper writes it. Made when the first byte needs it, and never for small
//! output. It follows no symbolic link and knows nothing of reading back (that is the room `spool`).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, unlinkat};

use crate::model::{AttemptId, Stream};

/// The folder that holds the folders of all attempts, opened once.
pub(crate) fn open_root(path: &std::path::Path) -> io::Result<Arc<OwnedFd>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::PATH | OFlags::CLOEXEC;
    Ok(Arc::new(openat(CWD, path, flags, Mode::empty())?))
}

/// The folder of one attempt.
#[derive(Debug)]
pub(crate) struct SpoolFolder {
    root: Option<Arc<OwnedFd>>,
    attempt: AttemptId,
    opened: Option<OwnedFd>,
}

impl SpoolFolder {
    /// Without a root, every write fails.
    pub(crate) fn new(root: Option<Arc<OwnedFd>>, attempt: AttemptId) -> Self {
        Self { root, attempt, opened: None }
    }

    /// Creates a file that must not exist yet.
    pub(crate) fn create(&mut self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(File::from(openat(self.folder()?, name, flags, mode)?))
    }

    /// Writes a stream's last bytes. Returns how many.
    pub(crate) fn write_tail(&mut self, stream: Stream, tail: &[u8]) -> io::Result<u64> {
        let name = stream.tail_as_str();
        if let Err(error) = self.create(name)?.write_all(tail) {
            self.remove(name);
            return Err(error);
        }
        Ok(tail.len() as u64)
    }

    /// Removes a file that could not be written to its end.
    pub(crate) fn remove(&mut self, name: &str) {
        if let Ok(folder) = self.folder() {
            let _ = unlinkat(folder, name, AtFlags::empty());
        }
    }

    /// Removes the folder, if it was made and holds nothing but output. For output that was handed over in full.
    pub(crate) fn discard(self) {
        let (Some(root), Some(opened)) = (self.root, self.opened) else {
            return;
        };
        for stream in Stream::BOTH {
            for name in [stream.as_str(), stream.tail_as_str()] {
                let _ = unlinkat(&opened, name, AtFlags::empty());
            }
        }
        let _ = unlinkat(&root, self.attempt.to_string(), AtFlags::REMOVEDIR);
    }

    fn folder(&mut self) -> io::Result<&OwnedFd> {
        if self.opened.is_none() {
            let root = self.root.as_ref().ok_or(io::ErrorKind::NotFound)?;
            let name = self.attempt.to_string();
            match mkdirat(root.as_fd(), &name, Mode::RWXU) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::PATH | OFlags::CLOEXEC;
            self.opened = Some(openat(root.as_fd(), &name, flags, Mode::empty())?);
        }
        self.opened.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
