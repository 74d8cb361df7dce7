//! The audit log: a file that only grows, by whole lines, and is rotated by size. A thread of its own writes it, so that
//! neither a slow nor a full disk holds up whoever has something to note. It refuses to know what a line says.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use self::file::RotatedFile;
use crate::config::AuditSettings;

mod file;

/// Most lines that wait for the disk; one more is lost, and counted.
const MAX_WAITING_LINES: usize = 4096;
/// Size at which lines are written together, in bytes; the last of them may go beyond.
const MAX_WRITE_BYTES: usize = 64 << 10;
/// Pause before a full queue is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(10);
/// Longest time that a stopping node waits for the last lines.
const MAX_FLUSH: Duration = Duration::from_secs(2);

/// The way to the audit log. Dropping it ends the thread, once everything is written.
#[derive(Debug)]
pub struct AuditLog {
    orders: SyncSender<Order>,
    state: Arc<State>,
}

#[derive(Debug)]
enum Order {
    Line(String),
    /// Tells when everything before it was written, or lost.
    Flush(oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct State {
    lost: AtomicU64,
    /// Whether a full queue was logged since lines were last taken.
    overrun: AtomicBool,
    /// Why the last write failed.
    fault: Mutex<Option<String>>,
}

impl AuditLog {
    /// Begins to write `audit.jsonl` in this folder. Whether that works is seen with the first line, and shown by
    /// [`AuditLog::fault`].
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(folder: PathBuf, settings: &AuditSettings) -> std::io::Result<Self> {
        let (orders, received) = sync_channel(MAX_WAITING_LINES);
        let state = Arc::new(State::default());
        let file = RotatedFile::new(folder.join("audit.jsonl"), settings.max_bytes, settings.keep);
        let writer = Writer { file, state: Arc::clone(&state) };
        let thread = std::thread::Builder::new().name("audit".into());
        thread.spawn(move || writer.run(&received))?;
        Ok(Self { orders, state })
    }

    /// Notes a line, without its line break. It never waits: where there is no room the line is lost.
    pub fn note(&self, line: String) {
        match self.orders.try_send(Order::Line(line)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.state.lost.fetch_add(1, Ordering::Relaxed);
                if !self.state.overrun.swap(true, Ordering::AcqRel) {
                    log::warn!("the audit log loses entries: {MAX_WAITING_LINES} wait for the disk already");
                }
            }
        }
    }

    /// Entries that were lost.
    pub fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }

    /// What to warn of while entries cannot be written.
    pub fn fault(&self) -> Option<String> {
        self.state.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what was noted before is written or lost, for two seconds at most.
    pub async fn flush(&self) {
        let flushed = async {
            let (done, written) = oneshot::channel();
            let mut order = Order::Flush(done);
            while let Err(TrySendError::Full(back)) = self.orders.try_send(order) {
                order = back;
                tokio::time::sleep(FULL_PAUSE).await;
            }
            // It fails when the thread is gone, and then there is nothing to wait for.
            let _ = written.await;
        };
        // After that time the disk has stalled, and stopping is worth more.
        let _ = tokio::time::timeout(MAX_FLUSH, flushed).await;
    }
}

struct Writer {
    file: RotatedFile,
    state: Arc<State>,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        while let Ok(first) = orders.recv() {
            let (mut text, mut lines, mut flushes) = (String::new(), 0, Vec::new());
            let mut next = Some(first);
            while let Some(order) = next {
                match order {
                    Order::Line(line) => {
                        text.push_str(&line);
                        text.push('\n');
                        lines += 1;
                    }
                    Order::Flush(done) => flushes.push(done),
                }
                next = if text.len() < MAX_WRITE_BYTES { orders.try_recv().ok() } else { None };
            }
            self.write(&text, lines);
            self.state.overrun.store(false, Ordering::Release);
            // Whoever waited may be gone.
            flushes.into_iter().for_each(|done| _ = done.send(()));
        }
    }

    /// Writes some lines, all or none, and says so once when that begins to fail, and once when it works again.
    fn write(&mut self, text: &str, lines: u64) {
        if text.is_empty() {
            return;
        }
        let written = self.file.append(text.as_bytes());
        let mut fault = self.state.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.file.path().display();
        match written {
            Ok(()) => {
                if fault.take().is_some() {
                    let lost = self.state.lost.load(Ordering::Relaxed);
                    log::info!(lost; "the audit log {path} is written again");
                }
            }
            Err(error) => {
                self.state.lost.fetch_add(lines, Ordering::Relaxed);
                if fault.is_none() {
                    log::warn!("the audit log {path} cannot be written, its entries are lost: {error}");
                }
                *fault =
                    Some(format!("the audit log {path} cannot be written, its entries are lost: {error}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(max_bytes: u64, keep: u32) -> AuditSettings {
        AuditSettings { enabled: true, max_bytes, keep }
    }

    #[actix_rt::test]
    async fn lines_arrive_in_order_and_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..2 {
            let log = AuditLog::start(folder.path().into(), &settings(1 << 20, 2)).unwrap();
            (0..100).for_each(|number| log.note(format!("{{\"round\":{round},\"number\":{number}}}")));
            log.flush().await;
            assert_eq!((log.lost(), log.fault()), (0, None));
        }
        let text = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[199]), (200, "{\"round\":1,\"number\":99}"));
    }

    #[actix_rt::test]
    async fn what_cannot_be_written_is_counted_and_told_until_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::start(folder.path().join("not-yet"), &settings(1 << 20, 2)).unwrap();
        log.note("one".into());
        log.flush().await;
        assert_eq!(log.lost(), 1);
        assert!(log.fault().is_some_and(|fault| fault.contains("audit.jsonl")));
        std::fs::create_dir(folder.path().join("not-yet")).unwrap();
        log.note("two".into());
        log.flush().await;
        assert_eq!((log.lost(), log.fault()), (1, None));
        let text = std::fs::read_to_string(folder.path().join("not-yet/audit.jsonl")).unwrap();
        assert_eq!(text, "two\n");
    }

    #[actix_rt::test]
    async fn a_full_queue_loses_lines_and_stalls_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::start(folder.path().into(), &settings(1 << 20, 2)).unwrap();
        // The writer needs this after each write: so it stalls as if the disk did.
        let held = log.state.fault.lock().unwrap();
        let most = MAX_WAITING_LINES + MAX_WRITE_BYTES;
        (0..most).for_each(|_| log.note("x".into()));
        assert!(log.lost() > 0);
        drop(held);
        log.flush().await;
        let text = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
        assert_eq!(text.lines().count() as u64 + log.lost(), most as u64);
    }
}
