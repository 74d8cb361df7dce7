//! The folder of the database: who may read it, whether it may hold a database at all, and the lock that makes it ours.
//! It refuses to know what is in the files, and never opens the database file once SQLite has: closing it again would
//! drop SQLite's own locks.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, statfs};
use rustix::io::Errno;

use crate::store::StoreError;

const LOCK_NAME: &str = "store.lock";
const DATABASE_NAME: &str = "callboard.db";
const OWNER_ONLY: u32 = 0o600;
const OWNER_ONLY_DIR: u32 = 0o700;

/// Filesystems on which neither locks nor shared memory can be trusted, by their magic numbers.
const NETWORK_FILE_SYSTEMS: [(u32, &str); 4] =
    [(0x6969, "NFS"), (0x517b, "SMB"), (0xfe53_4d42, "SMB2"), (0xff53_4d42, "CIFS")];

/// The folder is ours as long as this lives. The kernel lets go of it when the process dies.
#[derive(Debug)]
pub(in crate::store) struct StoreLock(#[expect(dead_code, reason = "held, not used")] File);

/// Makes the folder if need be, and locks it.
pub(in crate::store) fn claim(dir: &Path) -> Result<StoreLock, StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(OWNER_ONLY_DIR)
        .create(dir)
        .map_err(|error| failed("cannot make the folder", dir, &error))?;
    refuse_network_file_system(dir)?;
    let path = dir.join(LOCK_NAME);
    let file = open_private(&path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(StoreLock(file)),
        Err(Errno::WOULDBLOCK) => Err(StoreError::Locked { path: path.display().to_string() }),
        Err(error) => Err(failed("cannot lock", &path, &error.into())),
    }
}

/// Whether the folder holds the records of a durable node.
pub(in crate::store) fn holds_database(dir: &Path) -> bool {
    dir.join(DATABASE_NAME).exists()
}

/// Makes the database file if need be, readable by its owner only whatever the umask. SQLite gives its log and its
/// shared memory the same permissions.
pub(super) fn prepare_database(dir: &Path) -> Result<PathBuf, StoreError> {
    let database = dir.join(DATABASE_NAME);
    let is_new = !database.exists();
    drop(open_private(&database)?);
    for companion in [companion(&database, "-wal"), companion(&database, "-shm")] {
        if companion.exists() {
            make_private(&companion)?;
        }
    }
    if is_new {
        sync_folder(dir).map_err(|error| failed("cannot sync the folder", dir, &error))?;
    }
    Ok(database)
}

/// Which file the database is: one that was removed or replaced under us takes commits that nobody will find again.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    device: u64,
    number: u64,
}

impl DatabaseFile {
    /// The file as it is now.
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let is = fs::metadata(path).map_err(|error| failed("cannot look at", path, &error))?;
        Ok(Self { path: path.to_owned(), device: is.dev(), number: is.ino() })
    }

    /// Fails when it is no longer there.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let is = fs::metadata(&self.path).ok();
        if is.is_some_and(|is| (is.dev(), is.ino()) == (self.device, self.number)) {
            return Ok(());
        }
        Err(StoreError::failed(format!(
            "{} was removed or replaced while it was in use, so nothing more is accepted: put it back, or restart the \
             node to begin with what is there",
            self.path.display()
        )))
    }
}

/// Bytes that the database and its log occupy; what cannot be read counts nothing.
pub(super) fn size_on_disk(database: &Path) -> u64 {
    let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    size(database) + size(&companion(database, "-wal"))
}

fn refuse_network_file_system(dir: &Path) -> Result<(), StoreError> {
    let found = statfs(dir).map_err(|error| failed("cannot tell the file system of", dir, &error.into()))?;
    // The width of the field differs between machines; the magic numbers all have 32 bits.
    let magic = found.f_type as u32;
    match NETWORK_FILE_SYSTEMS.iter().find(|(known, _)| *known == magic) {
        None => Ok(()),
        Some((_, name)) => Err(StoreError::failed(format!(
            "{} is on a network file system ({name}), where a database is not safe: choose a local folder with --data-dir",
            dir.display()
        ))),
    }
}

fn open_private(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(OWNER_ONLY)
        .open(path)
        .map_err(|error| failed("cannot open", path, &error))?;
    make_private(path)?;
    Ok(file)
}

fn make_private(path: &Path) -> Result<(), StoreError> {
    fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY))
        .map_err(|error| failed("cannot set the permissions of", path, &error))
}

/// Makes the folder's new entries durable, and its own entry in its parent.
fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()?;
    match dir.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn companion(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn failed(what: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::failed(format!("{what} {}: {error}", path.display()))
}
