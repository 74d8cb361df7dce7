//! Records in one SQLite file: the default store. One thread writes and groups what waits into one transaction, a few
//! threads read. It refuses to know who calls: calls come in through two bounded queues and are answered by futures.

mod apply;
mod checkpoint;
mod codec;
mod door;
pub(super) mod files;
mod forget;
mod query;
mod readers;
mod schema;
mod tokens;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::model::access::{TokenOp, TokenRecord};
use crate::model::meter::Meter;
use crate::model::{JobId, JobRecord, Tenant};

use super::{
    FinishedQuery, FinishedRow, JobStore, ListQuery, LiveRow, OpResult, StoreError, StoreFuture,
    StoreIdentity, StoreOp, StoreTotals, TokenStore, check_batch,
};
use door::Door;
use readers::Question;
use writer::{Counters, Request, Writer};

/// What a commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Power loss: an fsync before every answer.
    #[default]
    Full,
    /// The death of the process; power loss may undo the last commits that were answered.
    Normal,
}

/// How the SQLite store works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// What a commit survives.
    pub durability: Durability,
    /// How long a connection waits for another's lock, in milliseconds.
    pub busy_timeout_ms: u64,
    /// Threads that read.
    pub readers: usize,
    /// Page cache of the writer, in KiB; each reader has a quarter of it.
    pub cache_kib: u32,
    /// Size of the log at which it is copied back even under load, in bytes.
    pub checkpoint_bytes: u64,
    /// Size of the log at which writing waits until it is emptied, in bytes.
    pub truncate_bytes: u64,
    /// Largest size of the database file, in bytes; what would exceed it fails as if the disk were full.
    pub max_bytes: Option<u64>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            busy_timeout_ms: 5_000,
            readers: 2,
            cache_kib: 32 << 10,
            checkpoint_bytes: 16 << 20,
            truncate_bytes: 256 << 20,
            max_bytes: None,
        }
    }
}

/// A store in one folder. The folder is this process's alone from `open` until the store is closed or dropped.
#[derive(Debug)]
pub struct SqliteStore {
    identity: StoreIdentity,
    database: PathBuf,
    counters: Arc<Counters>,
    requests: Door<Request>,
    questions: Door<Question>,
    closing: Arc<Closing>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Who wants to know how closing went: the writer, the last to leave, answers.
type Closing = Mutex<Option<oneshot::Sender<Result<(), StoreError>>>>;

impl SqliteStore {
    /// Opens the store in `dir`, made if it is not there, and begins a new term. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it, [`StoreError::Newer`] when a newer version made it,
    /// [`StoreError::Corrupt`] when the file is damaged or not ours, [`StoreError::Failed`] otherwise.
    pub fn open(dir: &Path, options: SqliteOptions, meter: Arc<Meter>) -> Result<Self, StoreError> {
        let lock = files::claim(dir)?;
        let database = files::prepare_database(dir)?;
        let (connection, identity) = schema::open_writer(&database, &options)?;
        let counters = Arc::new(Counters::count(&connection)?);
        let (questions, readers) = readers::start(&database, &options, &meter)?;
        let (requests, inbox) = door::open(writer::MAX_WAITING_BATCHES);
        let closing = Arc::new(Closing::default());
        let writer = Writer::new(
            connection,
            files::DatabaseFile::of(&database)?,
            identity.term,
            Arc::clone(&counters),
            meter,
            checkpoint::Checkpoints::new(&options),
        );
        let last_out = Arc::clone(&closing);
        let work = move || {
            let result = writer.run(&inbox, readers);
            drop(lock);
            let waiting = last_out.lock().unwrap_or_else(PoisonError::into_inner).take();
            waiting.map(|answer| answer.send(result));
        };
        Ok(Self {
            identity,
            database,
            counters,
            requests,
            questions,
            closing,
            writer: Mutex::new(Some(spawn("callboard-store", work)?)),
        })
    }

    fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<T> {
        let (answer, later) = oneshot::channel();
        match self.questions.push(Question::new(ask, answer)) {
            Ok(()) => answered(later),
            Err(error) => refused(error),
        }
    }

    /// Lets nothing more in. The threads finish what waits, and leave.
    fn shut(&self) {
        self.questions.shut();
        self.requests.shut();
    }
}

impl JobStore for SqliteStore {
    /// The file lock is held for as long as the store is open.
    fn is_exclusive(&self) -> bool {
        true
    }

    fn identity(&self) -> StoreIdentity {
        self.identity
    }

    fn commit(&self, batch: Vec<StoreOp>) -> StoreFuture<Vec<OpResult>> {
        let (answer, later) = oneshot::channel();
        let pushed = check_batch(&batch).and_then(|()| self.requests.push(Request { batch, answer }));
        match pushed {
            Ok(()) => answered(later),
            Err(error) => refused(error),
        }
    }

    fn load_live(&self, after: Option<JobId>, limit: usize) -> StoreFuture<Vec<LiveRow>> {
        self.read(move |connection| query::load_live(connection, after, limit))
    }

    fn get(&self, id: JobId) -> StoreFuture<Option<JobRecord>> {
        self.read(move |connection| query::get(connection, id))
    }

    fn tenant_of(&self, id: JobId) -> StoreFuture<Option<Tenant>> {
        self.read(move |connection| query::tenant_of(connection, id))
    }

    fn find(&self, prefix: String, tenant: Option<Tenant>, limit: usize) -> StoreFuture<Vec<JobId>> {
        self.read(move |connection| query::find(connection, &prefix, tenant, limit))
    }

    fn list(&self, query: ListQuery) -> StoreFuture<Vec<JobRecord>> {
        self.read(move |connection| query::list(connection, &query))
    }

    fn finished(&self, query: FinishedQuery) -> StoreFuture<Vec<FinishedRow>> {
        self.read(move |connection| forget::finished(connection, &query))
    }

    fn totals(&self) -> StoreFuture<StoreTotals> {
        if self.requests.is_shut() {
            return refused(StoreError::Closed);
        }
        let totals = self.counters.read().totals(files::size_on_disk(&self.database));
        Box::pin(std::future::ready(Ok(totals)))
    }

    fn close(&self) -> StoreFuture<()> {
        if self.requests.is_shut() {
            return refused(StoreError::Closed);
        }
        let (answer, later) = oneshot::channel();
        *self.closing.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.shut();
        answered(later)
    }
}

impl TokenStore for SqliteStore {
    fn tokens(&self) -> StoreFuture<Vec<TokenRecord>> {
        self.read(tokens::all)
    }

    fn change_tokens(&self, ops: Vec<TokenOp>) -> StoreFuture<()> {
        let changed = self.commit(ops.into_iter().map(StoreOp::Token).collect());
        Box::pin(async move { changed.await.map(drop) })
    }
}

impl Drop for SqliteStore {
    /// Waits for the writer, so that the folder is free again when the store is gone.
    fn drop(&mut self) {
        self.shut();
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = writer.take()
            && writer.join().is_err()
        {
            log::error!("the writer of the job database panicked");
        }
    }
}

fn answered<T: Send + 'static>(later: oneshot::Receiver<Result<T, StoreError>>) -> StoreFuture<T> {
    Box::pin(async move { later.await.unwrap_or(Err(StoreError::Closed)) })
}

fn refused<T: Send + 'static>(error: StoreError) -> StoreFuture<T> {
    Box::pin(std::future::ready(Err(error)))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| StoreError::failed(format!("no thread for {name}: {error}")))
}

/// What the engine says, in our words.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::{Error, ErrorCode, ffi};
        let detail = error.to_string();
        match &error {
            Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => Self::Full,
                ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt => Self::Corrupt { detail },
                _ if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => Self::Full,
                _ => Self::Failed { detail },
            },
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..) => Self::Corrupt { detail },
            _ => Self::Failed { detail },
        }
    }
}
