//! The one thread that writes. It takes every batch that waits into one transaction, commits, and only then answers.
//! When nothing waits behind a batch it commits at once: grouping comes from load, never from waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::apply::Applier;
use super::checkpoint::Checkpoints;
use super::codec;
use super::files::DatabaseFile;
use super::forget::Sums;
use crate::clock;
use crate::model::Term;
use crate::model::meter::Meter;
use crate::store::{OpResult, StoreError, StoreOp};

/// Most batches that wait for the writer; the next one is refused as busy.
pub(super) const MAX_WAITING_BATCHES: usize = 16_384;

/// Operations after which no further batch joins a transaction.
const MAX_OPS_PER_COMMIT: usize = 4096;

/// How long nothing must come in before the log is copied back.
const IDLE_BEFORE_CHECKPOINT: Duration = Duration::from_millis(500);

/// A batch and who waits for it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) batch: Vec<StoreOp>,
    pub(super) answer: oneshot::Sender<Answer>,
}

type Answer = Result<Vec<OpResult>, StoreError>;

/// Totals of what is committed: written by the writer, read by anyone.
#[derive(Debug, Default)]
pub(super) struct Counters {
    live: AtomicU64,
    by_end: [AtomicU64; 3],
    bytes: AtomicU64,
}

impl Counters {
    /// Counts once, at the opening.
    pub(super) fn count(connection: &Connection) -> Result<Self, StoreError> {
        let counters = Self::default();
        counters.set(Sums::count(connection)?);
        Ok(counters)
    }

    /// What is counted.
    pub(super) fn read(&self) -> Sums {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Sums {
            live: read(&self.live),
            by_end: std::array::from_fn(|at| read(&self.by_end[at])),
            bytes: read(&self.bytes),
        }
    }

    fn set(&self, sums: Sums) {
        self.live.store(sums.live, Ordering::Relaxed);
        self.by_end.iter().zip(sums.by_end).for_each(|(counter, count)| {
            counter.store(count, Ordering::Relaxed);
        });
        self.bytes.store(sums.bytes, Ordering::Relaxed);
    }
}

/// Everything the thread owns.
pub(super) struct Writer {
    connection: Connection,
    file: DatabaseFile,
    term: Term,
    counters: Arc<Counters>,
    meter: Arc<Meter>,
    checkpoints: Checkpoints,
    /// Whether the last transaction failed: a row of failures is told once, lest the log fill a full disk.
    failing: bool,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        file: DatabaseFile,
        term: Term,
        counters: Arc<Counters>,
        meter: Arc<Meter>,
        checkpoints: Checkpoints,
    ) -> Self {
        Self { connection, file, term, counters, meter, checkpoints, failing: false }
    }

    /// Works until the door is shut and nothing waits, then lets the readers leave first and closes the database.
    pub(super) fn run(
        mut self,
        inbox: &Receiver<Request>,
        readers: Vec<JoinHandle<()>>,
    ) -> Result<(), StoreError> {
        while let Some(requests) = self.gather(inbox) {
            self.serve(requests);
            let done = self.checkpoints.after_commit(&self.connection);
            self.complain(done);
        }
        for reader in readers {
            if reader.join().is_err() {
                log::error!("a reader of the job database panicked");
            }
        }
        let emptied = self.checkpoints.empty(&self.connection);
        self.connection.close().map_err(|(_, error)| error)?;
        emptied
    }

    /// Waits for a batch and takes those that wait with it. None when no more will come.
    fn gather(&mut self, inbox: &Receiver<Request>) -> Option<Vec<Request>> {
        let first = loop {
            if !self.checkpoints.is_pending() {
                break inbox.recv().ok()?;
            }
            match inbox.recv_timeout(IDLE_BEFORE_CHECKPOINT) {
                Ok(request) => break request,
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    let done = self.checkpoints.copy(&self.connection);
                    self.complain(done);
                }
            }
        };
        let mut ops = first.batch.len();
        let mut requests = vec![first];
        while ops < MAX_OPS_PER_COMMIT
            && let Ok(request) = inbox.try_recv()
        {
            ops += request.batch.len();
            requests.push(request);
        }
        Some(requests)
    }

    fn serve(&mut self, requests: Vec<Request>) {
        let results = match self.transact(requests.iter().map(|request| &*request.batch)) {
            Ok(results) => results.into_iter().map(Ok).collect(),
            Err(error) => self.after_failure(&requests, error),
        };
        for (request, result) in requests.into_iter().zip(results) {
            // Whoever asked may have stopped waiting; what was committed stays committed.
            let _ = request.answer.send(result);
        }
    }

    /// Nothing of the group was kept. A full disk fails them all, after a try to make room; any other failure may be
    /// one batch's own, so each is tried alone.
    fn after_failure(&mut self, requests: &[Request], error: StoreError) -> Vec<Answer> {
        if matches!(error, StoreError::Full) {
            let done = self.checkpoints.empty(&self.connection);
            self.complain(done);
        } else if requests.len() > 1 {
            return requests
                .iter()
                .map(|request| {
                    let alone = self.transact(std::iter::once(&*request.batch));
                    alone.map(|results| results.into_iter().flatten().collect())
                })
                .collect();
        }
        requests.iter().map(|_| Err(error.clone())).collect()
    }

    /// Commits these batches as one transaction, or none of them.
    fn transact<'ops>(
        &mut self,
        batches: impl Iterator<Item = &'ops [StoreOp]>,
    ) -> Result<Vec<Vec<OpResult>>, StoreError> {
        let began = clock::moment();
        let done = self.try_transact(batches);
        match &done {
            Ok(results) => {
                if std::mem::take(&mut self.failing) {
                    log::info!("the job database works again");
                }
                let ops: usize = results.iter().map(Vec::len).sum();
                self.meter.store_commit.observe_us(began.elapsed_us());
                self.meter.store_operations.add(ops as u64);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    log::warn!("a transaction of the job database failed: {error}");
                }
                self.meter.store_errors.add(1);
            }
        }
        done
    }

    fn try_transact<'ops>(
        &mut self,
        batches: impl Iterator<Item = &'ops [StoreOp]>,
    ) -> Result<Vec<Vec<OpResult>>, StoreError> {
        self.file.check()?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        check_term(&transaction, self.term)?;
        let mut applier = Applier::new(&transaction, self.counters.read());
        let results = batches
            .map(|batch| batch.iter().map(|op| applier.apply(op)).collect())
            .collect::<Result<_, _>>()?;
        let sums = applier.sums;
        let term = read_term(&transaction)?;
        transaction.commit()?;
        self.term = term;
        self.counters.set(sums);
        Ok(results)
    }

    fn complain(&self, done: Result<(), StoreError>) {
        if let Err(error) = done {
            self.meter.store_errors.add(1);
            if self.failing {
                return;
            }
            log::warn!("the log of the job database could not be copied back: {error}");
        }
    }
}

/// The fence: whoever opened the database after us has a higher term, and we write no more.
fn check_term(connection: &Connection, ours: Term) -> Result<(), StoreError> {
    let current = read_term(connection)?;
    if current == ours {
        return Ok(());
    }
    Err(StoreError::failed(format!(
        "another callboard took the database over in term {current}, ours was {ours}"
    )))
}

fn read_term(connection: &Connection) -> Result<Term, StoreError> {
    let term = connection.prepare_cached("SELECT term FROM meta")?.query_row([], |row| row.get(0))?;
    Ok(Term(codec::unsigned(term)))
}
