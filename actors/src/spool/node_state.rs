//! What a node must not forget when it starts anew: which cluster it belongs to, and the highest term of a coordinator
//! that it has obeyed. One small file, replaced as a whole. It decides nothing by them.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::results::ResultLogError;
use crate::model::{ClusterId, Term};

/// Longest file of a node's state, in bytes; no more is read.
pub const MAX_NODE_STATE_BYTES: u64 = 4096;

const NAME: &str = "node_state";
const DRAFT_NAME: &str = "node_state.new";
const VERSION: u16 = 1;

/// What the file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// The database of jobs that the node's results belong to.
    pub cluster: ClusterId,
    /// The highest term of a coordinator that the node has seen.
    pub term: Term,
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u16,
    cluster: ClusterId,
    term: Term,
}

impl NodeState {
    /// What the folder's file says; none when there is no file.
    ///
    /// # Errors
    /// [`ResultLogError`] when it cannot be read, or says what this program does not understand.
    pub fn read(dir: &Path) -> Result<Option<Self>, ResultLogError> {
        let path = dir.join(NAME);
        let failed = |error: io::Error| ResultLogError::io(&path, &error);
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_NODE_STATE_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        let path = || path.display().to_string();
        #[derive(Deserialize)]
        struct Version {
            version: u16,
        }
        match serde_json::from_slice(&bytes) {
            Ok(Version { version: VERSION }) => {}
            Ok(Version { version: found }) => {
                return Err(ResultLogError::Newer { path: path(), found, known: VERSION });
            }
            Err(_) => return Err(ResultLogError::Foreign { path: path() }),
        }
        let Written { cluster, term, .. } =
            serde_json::from_slice(&bytes).map_err(|_| ResultLogError::Foreign { path: path() })?;
        Ok(Some(Self { cluster, term }))
    }

    /// Puts it in the place of what the folder holds. When this returns, it is on disk.
    ///
    /// # Errors
    /// [`ResultLogError::Io`]; the former state is then still there, or the new one is.
    pub fn write(self, dir: &Path) -> Result<(), ResultLogError> {
        let draft = dir.join(DRAFT_NAME);
        let Self { cluster, term } = self;
        let written = || -> io::Result<()> {
            let mut text = serde_json::to_vec(&Written { version: VERSION, cluster, term })?;
            text.push(b'\n');
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&draft, dir.join(NAME))?;
            File::open(dir)?.sync_all()
        };
        written().map_err(|error| ResultLogError::io(&dir.join(NAME), &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_replaced_as_a_whole_and_a_draft_of_before_does_not_matter() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(NodeState::read(dir.path()), Ok(None));
        std::fs::write(dir.path().join(DRAFT_NAME), "half a dra").unwrap();
        for term in [1, 9] {
            let state = NodeState { cluster: ClusterId::from_bytes([7; 16]), term: Term(term) };
            state.write(dir.path()).unwrap();
            assert_eq!(NodeState::read(dir.path()), Ok(Some(state)));
        }
        assert!(!dir.path().join(DRAFT_NAME).exists());
    }

    #[test]
    fn what_is_not_understood_is_refused_and_left_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        std::fs::write(&path, r#"{"version":2,"cluster":{"new":"form"}}"#).unwrap();
        assert!(matches!(NodeState::read(dir.path()), Err(ResultLogError::Newer { found: 2, known: 1, .. })));
        for text in ["", "{}", r#"{"version":1}"#, r#"{"version":1,"cluster":"x","term":1}"#] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(NodeState::read(dir.path()), Err(ResultLogError::Foreign { .. })), "{text}");
        }
        assert!(path.exists());
    }
}
