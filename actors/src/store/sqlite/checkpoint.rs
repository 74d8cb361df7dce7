//! When the write-ahead log is copied back into the database: soon when idle, at a size under load, by force when it has
//! grown too far. It refuses to know what is in the log.

use rusqlite::Connection;

use super::SqliteOptions;
use crate::store::StoreError;

/// Bytes of one page in the log, header included.
const FRAME_BYTES: u64 = 4096 + 24;

/// The rule, and what it must remember.
#[derive(Debug)]
pub(super) struct Checkpoints {
    copy_frames: u64,
    truncate_frames: u64,
    /// Frames at which emptying is tried next: more than `truncate_frames` after a reader was in the way.
    next_truncate_frames: u64,
    /// Whether the log may hold frames that are not copied yet.
    pending: bool,
}

/// How the log stands: frames in it, how many of them are copied, and whether someone was in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Log {
    busy: bool,
    frames: u64,
    copied: u64,
}

impl Checkpoints {
    pub(super) fn new(options: &SqliteOptions) -> Self {
        let truncate_frames = options.truncate_bytes / FRAME_BYTES;
        Self {
            copy_frames: options.checkpoint_bytes / FRAME_BYTES,
            truncate_frames,
            next_truncate_frames: truncate_frames,
            pending: true,
        }
    }

    /// Whether an idle moment should be used.
    pub(super) fn is_pending(&self) -> bool {
        self.pending
    }

    /// After a commit, while others may wait: copies only a log that has grown.
    pub(super) fn after_commit(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.pending = true;
        let log = run(connection, "PRAGMA wal_checkpoint(NOOP)")?;
        if log.frames >= self.next_truncate_frames {
            self.empty(connection)
        } else if log.frames.saturating_sub(log.copied) >= self.copy_frames {
            self.copy(connection)
        } else {
            Ok(())
        }
    }

    /// Copies what no reader needs, without waiting for anyone.
    pub(super) fn copy(&mut self, connection: &Connection) -> Result<(), StoreError> {
        // Whatever a reader holds back is tried again after the next commit, not at once.
        self.pending = false;
        run(connection, "PRAGMA wal_checkpoint(PASSIVE)").map(drop)
    }

    /// Copies everything and starts the log over. Waits for readers, at most as long as the connection is told to;
    /// they read in short transactions. When one is in the way all the same, the log must grow before the next try.
    pub(super) fn empty(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.pending = false;
        let log = run(connection, "PRAGMA wal_checkpoint(TRUNCATE)")?;
        self.next_truncate_frames =
            if log.busy { log.frames + self.copy_frames } else { self.truncate_frames };
        Ok(())
    }
}

fn run(connection: &Connection, pragma: &str) -> Result<Log, StoreError> {
    let mut statement = connection.prepare_cached(pragma)?;
    let log = statement.query_row([], |row| {
        let number = |at| row.get(at).map(|number: i64| number.max(0).unsigned_abs());
        Ok(Log { busy: row.get(0)?, frames: number(1)?, copied: number(2)? })
    })?;
    Ok(log)
}
