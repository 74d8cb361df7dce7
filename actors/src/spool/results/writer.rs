//! The one thread that writes results. It takes everything that waits into one group, writes it, syncs once, and only
//! then answers: grouping comes from load, never from waiting. It knows no jobs and no links.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;

use super::file::{LogFile, Place};
use super::frame::{self, Bodies};
use super::{Joined, MAX_RESULT_LOG_BYTES, ResultLogError};
use crate::clock;
use crate::model::{AttemptId, AttemptResult, ClusterId, Term};
use crate::spool::node_state::NodeState;

/// Bytes of a group after which nothing more joins it.
const MAX_GROUP_BYTES: usize = 8 << 20;

/// What the thread is asked.
pub(super) enum Request {
    Append { results: Arc<Vec<AttemptResult>>, answer: Answer<()> },
    Judged(Vec<AttemptId>),
    Join { cluster: ClusterId, term: Term, answer: Answer<Joined> },
    SeeTerm(Term),
}

pub(super) type Answer<T> = oneshot::Sender<Result<T, ResultLogError>>;

/// Everything the thread owns.
pub(super) struct Writer {
    pub(super) dir: std::path::PathBuf,
    pub(super) file: LogFile,
    /// Read back at the start and not given out yet.
    pub(super) found: Vec<AttemptResult>,
    pub(super) state: Option<NodeState>,
    /// The cluster that was joined last, and its term.
    pub(super) wanted: Option<(ClusterId, Term)>,
    /// Whether results may be stored: it is known whose they are, and that is on disk.
    pub(super) is_joined: bool,
    pub(super) is_full: Arc<AtomicBool>,
    pub(super) limit_bytes: u64,
}

/// Frames that are written together, and who waits for them.
#[derive(Default)]
struct Group {
    frames: Vec<u8>,
    changes: Vec<Change>,
    /// Bytes of the results in it, and of their inline output.
    bytes: u64,
    inline: u64,
    waiting: Vec<Answer<()>>,
}

enum Change {
    /// Its place counts from the beginning of the group.
    Stored(AttemptId, Place),
    Judged(AttemptId),
}

impl Writer {
    /// Works until nobody can ask any more and nothing waits.
    pub(super) fn run(mut self, inbox: &Receiver<Request>) {
        while let Ok(first) = inbox.recv() {
            let mut group = Group::default();
            let mut next = Some(first);
            while let Some(request) = next.take() {
                self.take(request, &mut group);
                if group.frames.len() < MAX_GROUP_BYTES {
                    next = inbox.try_recv().ok();
                }
            }
            self.commit(group);
            self.file.tidy();
            // Some room again, and not just for one.
            if self.file.index.bytes < self.limit_bytes - self.limit_bytes / 8 {
                self.is_full.store(false, Ordering::Relaxed);
            }
        }
    }

    fn take(&mut self, request: Request, group: &mut Group) {
        match request {
            Request::Append { results, answer } => match self.stage(&results, group) {
                Ok(()) => {
                    // Whoever waits is then the only one to hold them.
                    drop(results);
                    group.waiting.push(answer);
                }
                Err(error) => {
                    drop(results);
                    if matches!(error, ResultLogError::Full { .. }) {
                        self.is_full.store(true, Ordering::Relaxed);
                    }
                    // Whoever asked may be gone.
                    let _ = answer.send(Err(error));
                }
            },
            Request::Judged(attempts) => attempts.into_iter().for_each(|it| self.judged(it, group)),
            Request::Join { cluster, term, answer } => {
                // What was told before belongs to what was there before.
                self.commit(std::mem::take(group));
                let _ = answer.send(self.join(cluster, term));
            }
            Request::SeeTerm(term) => {
                if let Err(error) = self.see_term(term) {
                    log::warn!("the coordinator's term could not be noted: {error}");
                }
            }
        }
    }

    /// Puts these results into the group, all or none.
    fn stage(&mut self, results: &[AttemptResult], group: &mut Group) -> Result<(), ResultLogError> {
        if !self.is_joined {
            let (cluster, term) = self.wanted.ok_or(ResultLogError::NotJoined)?;
            self.join(cluster, term)?;
        }
        let mut frames = encode(results, Bodies::Kept)?;
        let size =
            |frames: &[(Vec<u8>, u64)]| frames.iter().map(|(frame, _)| frame.len() as u64).sum::<u64>();
        if !self.has_room(size(&frames), group) && self.file.index.inline >= self.limit_bytes / 4 {
            log::warn!("the log of results is full: the output in it is dropped");
            self.file.rewrite(Bodies::Dropped)?;
        }
        if !self.has_room(size(&frames), group) {
            frames = encode(results, Bodies::Dropped)?;
        }
        if !self.has_room(size(&frames), group) {
            return Err(ResultLogError::Full { limit_bytes: self.limit_bytes });
        }
        for (result, (frame, inline)) in results.iter().zip(frames) {
            let (at, len) = (group.frames.len() as u64, frame.len() as u64);
            group.changes.push(Change::Stored(result.attempt, Place { at, len, inline }));
            group.frames.extend(frame);
            group.bytes += len;
            group.inline += inline;
        }
        Ok(())
    }

    fn has_room(&self, bytes: u64, group: &Group) -> bool {
        self.file.index.bytes + group.bytes + bytes <= self.limit_bytes
    }

    fn judged(&mut self, attempt: AttemptId, group: &mut Group) {
        let staged = |change: &Change| matches!(change, Change::Stored(it, _) if *it == attempt);
        let in_file = self.file.index.remove(attempt);
        if (in_file || group.changes.iter().any(staged))
            && let Some(frame) = frame::of_judged(attempt)
        {
            group.frames.extend(frame);
            group.changes.push(Change::Judged(attempt));
        }
    }

    /// Verdicts need no sync: one that is lost with the power is asked for again. A file without anything else is
    /// emptied anyway.
    fn commit(&mut self, group: Group) {
        let durably = !group.waiting.is_empty();
        if group.frames.is_empty() || (!durably && self.file.index.is_empty()) {
            return;
        }
        let done = self.file.append(&group.frames, durably);
        if let Ok(base) = done {
            for change in group.changes {
                match change {
                    Change::Stored(attempt, place) => {
                        self.file.index.insert(attempt, Place { at: base + place.at, ..place });
                    }
                    Change::Judged(attempt) => _ = self.file.index.remove(attempt),
                }
            }
        }
        for answer in group.waiting {
            // Whoever asked may be gone; what is on disk stays there.
            let _ = answer.send(done.clone().map(|_| ()));
        }
    }

    fn join(&mut self, cluster: ClusterId, term: Term) -> Result<Joined, ResultLogError> {
        self.wanted = Some((cluster, term));
        let former = self.state.filter(|state| state.cluster == cluster);
        if former.is_none() {
            self.is_joined = false;
            let whose = self.state.map_or_else(|| "unknown".into(), |state| state.cluster.to_string());
            if let Some(aside) = self.file.set_aside(&whose)? {
                let count = self.found.len();
                log::error!("{count} results of another cluster were set aside: {}", aside.display());
            }
            self.found.clear();
        }
        let state = NodeState { cluster, term: former.map_or(term, |state| state.term.max(term)) };
        if former != Some(state) {
            match state.write(&self.dir) {
                Ok(()) => self.state = Some(state),
                Err(error) if former.is_none() => return Err(error),
                Err(error) => log::warn!("the coordinator's term could not be noted: {error}"),
            }
        }
        self.is_joined = true;
        Ok(Joined { results: std::mem::take(&mut self.found), term: state.term })
    }

    fn see_term(&mut self, term: Term) -> Result<(), ResultLogError> {
        match self.state {
            Some(state) if state.term < term => {
                let state = NodeState { term, ..state };
                state.write(&self.dir)?;
                self.state = Some(state);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The frames of results, each with its bytes of inline output.
fn encode(results: &[AttemptResult], bodies: Bodies) -> Result<Vec<(Vec<u8>, u64)>, ResultLogError> {
    let now_ms = clock::now_ms();
    let inline = |result: &AttemptResult| -> u64 {
        let streams = [&result.stdout, &result.stderr];
        streams.iter().filter_map(|captured| captured.inline.as_ref()).map(|bytes| bytes.len() as u64).sum()
    };
    let one = |result: &AttemptResult| match bodies {
        Bodies::Kept => frame::of_result(result, bodies, now_ms)
            .map(|frame| (frame, inline(result)))
            .or_else(|| Some((frame::of_result(result, Bodies::Dropped, now_ms)?, 0))),
        Bodies::Dropped => Some((frame::of_result(result, bodies, now_ms)?, 0)),
    };
    results
        .iter()
        .map(|result| one(result).ok_or(ResultLogError::Unwritable { attempt: result.attempt }))
        .collect()
}

const _: () =
    assert!(MAX_GROUP_BYTES as u64 + frame::MAX_RESULT_FRAME_BYTES as u64 * 4 < MAX_RESULT_LOG_BYTES);
