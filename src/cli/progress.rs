//! One line on a terminal that says what a job waits for, gone once it runs. It writes into nothing but a terminal.

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

use super::client::Client;
use super::style::plain;
use crate::config::Environment;
use crate::http::api::JobBody;

/// Time between two looks at a job that waits.
const LOOK: Duration = Duration::from_millis(500);
/// Longest line: one that is broken in two could not be wiped out again.
const MAX_CHARS: usize = 78;

/// The line, and whether there may be one.
pub struct Progress {
    wanted: Cell<bool>,
    shown: Cell<bool>,
}

impl Progress {
    /// A line if it is wanted and standard error can take one back.
    pub fn new(wanted: bool, environment: &Environment) -> Self {
        let terminal =
            std::io::stderr().is_terminal() && environment.get("TERM").is_some_and(|term| term != "dumb");
        Self { wanted: Cell::new(wanted && terminal), shown: Cell::new(false) }
    }

    /// The outcome of `work`, and as long as it takes and the job is pending, the line.
    pub async fn during<T>(&self, client: &Client, id: &str, work: impl Future<Output = T>) -> T {
        let watch = self.watch(client, id);
        let done = match select(pin!(work), pin!(watch)).await {
            Either::Left((done, _)) => done,
            Either::Right(((), work)) => work.await,
        };
        self.clear();
        done
    }

    /// Wipes the line out for good: something else is to be written.
    pub fn end(&self) {
        self.wanted.set(false);
        self.clear();
    }

    async fn watch(&self, client: &Client, id: &str) {
        while self.wanted.get() {
            actix_rt::time::sleep(LOOK).await;
            match client.job(id, 0).await {
                Ok(job) if job.status == "pending" => self.show(&line(&job)),
                _ => break,
            }
        }
        self.clear();
    }

    fn show(&self, line: &str) {
        if self.wanted.get() {
            self.shown.set(true);
            write(&format!("\r\x1b[K{line}"));
        }
    }

    fn clear(&self) {
        if self.shown.replace(false) {
            write("\r\x1b[K");
        }
    }
}

/// A terminal that is gone needs no line.
fn write(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

fn line(job: &JobBody) -> String {
    let message = job.message.as_deref().map(|message| format!(" ({message})")).unwrap_or_default();
    let reason = job.reason.as_deref().unwrap_or("no reason given");
    plain(&format!("job {}, pending: {reason}{message}", job.id)).chars().take(MAX_CHARS).collect()
}
