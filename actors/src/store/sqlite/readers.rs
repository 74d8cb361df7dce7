//! The threads that read, each with a connection of its own that cannot write. A question is a closure: this file
//! refuses to know what is asked.

use std::fmt;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::door::{self, Door};
use super::{SqliteOptions, schema, spawn};
use crate::clock;
use crate::model::meter::Meter;
use crate::store::StoreError;

/// Most questions that wait for a reader; the next one is refused as busy.
const MAX_WAITING_READS: usize = 4096;

/// Something to ask the database; it answers its caller by itself, and says whether it failed.
pub(super) struct Question(Box<dyn FnOnce(&Connection) -> bool + Send>);

impl Question {
    pub(super) fn new<T: Send + 'static>(
        ask: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        answer: oneshot::Sender<Result<T, StoreError>>,
    ) -> Self {
        Self(Box::new(move |connection| {
            if answer.is_closed() {
                return true;
            }
            let result = ask(connection);
            let fine = result.is_ok();
            // Whoever asked may have stopped waiting.
            let _ = answer.send(result);
            fine
        }))
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question")
    }
}

/// Starts the readers. They leave when the door is shut and nothing waits.
pub(super) fn start(
    database: &Path,
    options: &SqliteOptions,
    meter: &Arc<Meter>,
) -> Result<(Door<Question>, Vec<JoinHandle<()>>), StoreError> {
    let (door, inbox) = door::open(MAX_WAITING_READS);
    let inbox = Arc::new(Mutex::new(inbox));
    let mut threads = Vec::new();
    for number in 0..options.readers.max(1) {
        let connection = schema::open_reader(database, options)?;
        let (inbox, meter) = (Arc::clone(&inbox), Arc::clone(meter));
        let work = move || answer_all(&connection, &inbox, &meter);
        threads.push(spawn(&format!("callboard-read{number}"), work)?);
    }
    Ok((door, threads))
}

fn answer_all(connection: &Connection, inbox: &Mutex<Receiver<Question>>, meter: &Meter) {
    // The lock is held while waiting: one reader waits for the queue, the others for that reader.
    let next = || {
        let inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.recv()
    };
    while let Ok(question) = next() {
        let began = clock::moment();
        let fine = (question.0)(connection);
        meter.store_read.observe_us(began.elapsed_us());
        if !fine {
            meter.store_errors.add(1);
        }
    }
}
