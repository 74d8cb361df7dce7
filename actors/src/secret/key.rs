//! Where the key comes from: 32 bytes in a file, made on first need, or bytes that end with this process. It knows no
//! secret but the key.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::model::secret::SecretError;

/// Length of the key, in bytes.
pub const KEY_BYTES: usize = 32;
/// Name of the key file in the data folder.
pub const KEY_FILE: &str = "secret.key";

/// The key itself.
pub(super) type Key = Zeroizing<[u8; KEY_BYTES]>;

/// Where the key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In memory: made on first need, gone with the process. For records that are gone then, too.
    Ephemeral,
    /// In the file `secret.key` of this folder, which belongs to one node at a time. Made on first need.
    InFolder(PathBuf),
    /// In this file, which the operator keeps. Never made.
    File(PathBuf),
}

impl KeySource {
    /// Where it is, for people.
    pub(super) fn shown(&self) -> String {
        self.path().map_or("memory".into(), |path| path.display().to_string())
    }

    /// Whether a key should be there already.
    pub(super) fn is_expected(&self) -> bool {
        match self {
            Self::Ephemeral => false,
            Self::InFolder(_) => self.path().is_some_and(|path| path.exists()),
            Self::File(_) => true,
        }
    }

    /// The key that is there.
    pub(super) fn read(&self) -> Result<Key, SecretError> {
        match self.path() {
            Some(path) => read(&path).map_err(|fault| fault.at(&path)),
            // An ephemeral key that was never made has sealed nothing.
            None => Err(SecretError::OtherKey { path: self.shown() }),
        }
    }

    /// The key that is there, or a new one.
    pub(super) fn read_or_make(&self) -> Result<Key, SecretError> {
        match self {
            Self::Ephemeral => random_key(),
            Self::File(_) => self.read(),
            Self::InFolder(folder) => match read(&folder.join(KEY_FILE)) {
                Err(Fault::Io(error)) if error.kind() == ErrorKind::NotFound => make(folder),
                found => found.map_err(|fault| fault.at(&folder.join(KEY_FILE))),
            },
        }
    }

    fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Ephemeral => None,
            Self::InFolder(folder) => Some(folder.join(KEY_FILE)),
            Self::File(path) => Some(path.clone()),
        }
    }
}

/// Fills bytes from the system's generator.
pub(super) fn random(bytes: &mut [u8]) -> Result<(), SecretError> {
    getrandom::fill(bytes).map_err(|error| SecretError::NoRandomness { why: error.to_string() })
}

fn random_key() -> Result<Key, SecretError> {
    let mut key = Key::default();
    random(&mut *key)?;
    Ok(key)
}

enum Fault {
    Io(Error),
    Wrong(String),
}

impl Fault {
    fn at(self, path: &Path) -> SecretError {
        let path = path.display().to_string();
        match self {
            Self::Io(error) => SecretError::Unreadable { path, why: error.to_string() },
            Self::Wrong(why) => SecretError::NotAKey { path, why },
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Io(error)
    }
}

fn read(path: &Path) -> Result<Key, Fault> {
    // Looked at before it is opened: opening a pipe would wait for its other end.
    let about = std::fs::metadata(path)?;
    if !about.is_file() {
        return Err(Fault::Wrong("is no regular file: name one of 32 bytes with --secret-key-file".into()));
    }
    if about.mode() & 0o007 != 0 {
        return Err(Fault::Wrong("is open to every user of this machine: chmod 600 it".into()));
    }
    if about.len() != KEY_BYTES as u64 {
        let found = about.len();
        return Err(Fault::Wrong(format!("has {found} bytes, a key has 32: put the right file there")));
    }
    let mut key = Key::default();
    File::open(path)?.read_exact(&mut *key)?;
    Ok(key)
}

/// Makes the key file as a whole or not at all: a crash leaves no half key behind.
fn make(folder: &Path) -> Result<Key, SecretError> {
    let (path, draft) = (folder.join(KEY_FILE), folder.join("secret.key.new"));
    let key = random_key()?;
    let written = || -> Result<(), Error> {
        match std::fs::remove_file(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(&*key)?;
        file.sync_all()?;
        std::fs::rename(&draft, &path)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(|error| SecretError::Unwritable {
        path: path.display().to_string(),
        why: error.to_string(),
    })?;
    Ok(key)
}
