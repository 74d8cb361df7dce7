//! Results of finished attempts on the node's own disk, from their end until the coordinator has told what became of
//! them: one log that is only appended to, synced once for everything that waits. It refuses to know of links and
//! actors, and of the output beside it, which is not synced: a power loss may cut output, and loses no stored result.

mod file;
mod frame;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use self::file::LogFile;
use self::writer::{Answer, Request, Writer};
use super::node_state::NodeState;
use crate::model::{AttemptId, AttemptResult, ClusterId, Term};

/// Most bytes of results without a verdict. Beyond it their inline output is dropped, and beyond that no further result
/// is stored: the node should then take no more work. The file holds judged results too and may be twice as long.
pub const MAX_RESULT_LOG_BYTES: u64 = 1 << 30;
/// Most requests that wait for the thread that writes; the next one is refused as busy.
pub const MAX_WAITING_RESULTS: usize = 16_384;

/// Why results, or the state of the node beside them, are not on disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResultLogError {
    /// The file system failed.
    #[error("{path}: {why}: free some space, or see to the disk")]
    Io {
        /// The file or folder.
        path: String,
        /// What the system said.
        why: String,
    },
    /// A later version wrote it.
    #[error(
        "{path} has format {found}, and this callboard knows {known}: start the newer one again, or move the file away"
    )]
    Newer {
        /// The file.
        path: String,
        /// The version in it.
        found: u16,
        /// The version of this program.
        known: u16,
    },
    /// It is something else, or its beginning is damaged.
    #[error("{path} is not what its name says: move it away")]
    Foreign {
        /// The file.
        path: String,
    },
    /// What is in it is whole and not understood.
    #[error(
        "{path} holds results that this callboard cannot read: start the one that wrote them, or move the file away"
    )]
    Unreadable {
        /// The file.
        path: String,
    },
    /// It is longer than any log.
    #[error("{path} has {bytes} bytes, and no log of results has more than {limit_bytes}: move it away")]
    Oversized {
        /// The file.
        path: String,
        /// Its length, in bytes.
        bytes: u64,
        /// The longest that is read, in bytes.
        limit_bytes: u64,
    },
    /// Another process has it.
    #[error("{path} is in use: give each node a data folder of its own")]
    Locked {
        /// The lock.
        path: String,
    },
    /// There are as many results without a verdict as may be stored.
    #[error(
        "results that the coordinator has not recorded occupy {limit_bytes} bytes: see why it cannot be reached, or does \
         not record"
    )]
    Full {
        /// The most that they may occupy, in bytes.
        limit_bytes: u64,
    },
    /// The result is too long for any log, even without its output.
    #[error("the result of {attempt} is too long to be stored: declare fewer artifacts")]
    Unwritable {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// The thread does not keep up.
    #[error("{waiting} requests wait for the disk already: it is too slow for this many jobs")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// It is not known, or could not be noted, to which cluster results belong.
    #[error("results are not stored before the node has joined a cluster and noted that")]
    NotJoined,
    /// The thread is gone.
    #[error("the thread that writes results has ended: restart the node")]
    Closed,
}

impl ResultLogError {
    pub(super) fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), why: error.to_string() }
    }
}

/// What a node finds when it joins a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Results of an earlier life that have no verdict, oldest first. Given out once.
    pub results: Vec<AttemptResult>,
    /// The highest term that is known, in this life or an earlier one.
    pub term: Term,
}

/// What an answer comes through. That it is dropped means [`ResultLogError::Closed`].
pub type Pending<T> = oneshot::Receiver<Result<T, ResultLogError>>;

/// The open log. Its thread writes what was given to it before it ends, and dropping the log waits for that.
#[derive(Debug)]
pub struct ResultLog {
    /// None only while it is dropped.
    door: Option<SyncSender<Request>>,
    thread: Option<JoinHandle<()>>,
    held: Vec<AttemptId>,
    state: Option<NodeState>,
    is_full: Arc<AtomicBool>,
    /// The highest term that was told to the thread.
    told_term: AtomicU64,
}

impl ResultLog {
    /// Opens the log of a folder, which is made if it is not there, and reads it back. An end that was torn by a crash
    /// is cut off; what is damaged elsewhere is passed over and told in the log of the program. Blocks.
    ///
    /// # Errors
    /// [`ResultLogError`]; whatever is there stays there.
    pub fn open(dir: &Path) -> Result<Self, ResultLogError> {
        Self::open_with(dir, MAX_RESULT_LOG_BYTES)
    }

    /// The same with less room: so many bytes of results without a verdict, and never more than
    /// [`MAX_RESULT_LOG_BYTES`].
    ///
    /// # Errors
    /// As of [`ResultLog::open`].
    pub fn open_with(dir: &Path, limit_bytes: u64) -> Result<Self, ResultLogError> {
        let limit_bytes = limit_bytes.min(MAX_RESULT_LOG_BYTES);
        let (file, found) = LogFile::open(dir)?;
        let state = NodeState::read(dir)?;
        let held = found.iter().map(|result| result.attempt).collect();
        let is_full = Arc::new(AtomicBool::new(false));
        let dir: PathBuf = dir.to_owned();
        let flag = Arc::clone(&is_full);
        let (wanted, is_joined) = (None, false);
        let writer = Writer { dir, file, found, state, wanted, is_joined, is_full: flag, limit_bytes };
        let (door, inbox) = sync_channel(MAX_WAITING_RESULTS);
        let thread = std::thread::Builder::new().name("results".into()).spawn(move || writer.run(&inbox));
        let thread =
            thread.map_err(|error| ResultLogError::Io { path: "a thread".into(), why: error.to_string() })?;
        Ok(Self { door: Some(door), thread: Some(thread), held, state, is_full, told_term: 0.into() })
    }

    /// Attempts of an earlier life whose results were found: their output is wanted as long as they have no verdict.
    pub fn held(&self) -> &[AttemptId] {
        &self.held
    }

    /// What the node knew of its cluster when the log was opened: a node that registers may tell it.
    pub fn state(&self) -> Option<NodeState> {
        self.state
    }

    /// Whether a result was refused for want of room, and there is none yet. The node should take no more work.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// The node belongs to this cluster now, whose coordinator has this term; answered when that is on disk. Results of
    /// another cluster are set aside in a file of their own, and told in the log of the program.
    pub fn join(&self, cluster: ClusterId, term: Term) -> Pending<Joined> {
        self.told_term.store(term.0, Ordering::Relaxed);
        self.ask(|answer| Request::Join { cluster, term, answer })
    }

    /// Stores results, all of them or none; answered when they are on disk. They are stored in the order of the calls.
    pub fn append(&self, results: Arc<Vec<AttemptResult>>) -> Pending<()> {
        self.ask(|answer| Request::Append { results, answer })
    }

    /// These have their verdict: they need not be kept. What is not in the log is passed over.
    pub fn judged(&self, attempts: Vec<AttemptId>) {
        if !attempts.is_empty() {
            self.tell(Request::Judged(attempts));
        }
    }

    /// A coordinator of this term was obeyed. Noted soon if it is the highest so far.
    pub fn see_term(&self, term: Term) {
        if self.told_term.fetch_max(term.0, Ordering::Relaxed) < term.0 {
            self.tell(Request::SeeTerm(term));
        }
    }

    fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Pending<T> {
        let (answer, pending) = oneshot::channel();
        match self.push(request(answer)) {
            Ok(()) => pending,
            Err(error) => {
                let (answer, pending) = oneshot::channel();
                let _ = answer.send(Err(error));
                pending
            }
        }
    }

    /// What is lost here is asked for again after the next start.
    fn tell(&self, request: Request) {
        if let Err(error) = self.push(request) {
            log::warn!("{error}");
        }
    }

    fn push(&self, request: Request) -> Result<(), ResultLogError> {
        let door = self.door.as_ref().ok_or(ResultLogError::Closed)?;
        door.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => ResultLogError::Busy { waiting: MAX_WAITING_RESULTS },
            TrySendError::Disconnected(_) => ResultLogError::Closed,
        })
    }
}

impl Drop for ResultLog {
    fn drop(&mut self) {
        drop(self.door.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread that writes results panicked");
        }
    }
}

/// How many whole frames stand in these bytes, a log with its header or not. For tests that give it any.
#[cfg(feature = "testing")]
pub fn count_results(bytes: &[u8]) -> usize {
    match frame::beginning(bytes) {
        frame::Beginning::Ours => {
            let read = |it: &frame::Frame<'_>| match &it.entry {
                Some(frame::Entry::Result(stored)) => stored.result(0).is_ok(),
                Some(frame::Entry::Judged(_)) => true,
                None => false,
            };
            frame::frames(bytes).filter(read).count()
        }
        _ => 0,
    }
}
