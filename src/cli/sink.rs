//! Standard output and standard error as places that take bytes without blocking the one thread that also hears Ctrl-C,
//! feeds the input and, in `run` without a server, runs the job: each has a thread of its own that does the writing.

use std::io::{ErrorKind, Write};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::exit::Failure;

/// Pieces that wait for a slow reader; then the stream from the server is no longer read either.
const WAITING_PIECES: usize = 4;

/// One of the two output streams. Bytes are written in order; dropping it does not wait for them, [`Sink::close`] does.
pub struct Sink {
    pieces: mpsc::Sender<Bytes>,
    written: oneshot::Receiver<std::io::Result<()>>,
    name: &'static str,
}

impl Sink {
    /// A sink that writes to standard output.
    pub fn stdout() -> Self {
        Self::over(std::io::stdout(), "standard output")
    }

    /// A sink that writes to standard error.
    pub fn stderr() -> Self {
        Self::over(std::io::stderr(), "standard error")
    }

    fn over(mut target: impl Write + Send + 'static, name: &'static str) -> Self {
        let (pieces, mut waiting) = mpsc::channel::<Bytes>(WAITING_PIECES);
        let (done, written) = oneshot::channel();
        std::thread::spawn(move || {
            let mut outcome = Ok(());
            while let Some(piece) = waiting.blocking_recv() {
                outcome = target.write_all(&piece).and_then(|()| target.flush());
                if outcome.is_err() {
                    break;
                }
            }
            // Nobody waits for it any more when the client leaves in between.
            let _ = done.send(outcome);
        });
        Self { pieces, written, name }
    }

    /// Hands over the next bytes, as soon as there is room; false when no more can be written.
    pub async fn write(&self, bytes: Bytes) -> bool {
        self.pieces.send(bytes).await.is_ok()
    }

    /// Ends once no more can be written: the reader has gone away, or cannot take it.
    pub async fn ended(&self) {
        self.pieces.closed().await;
    }

    /// Whether no more can be written.
    pub fn is_ended(&self) -> bool {
        self.pieces.is_closed()
    }

    /// Waits until everything is written, or the reader has gone away. What cannot be written, a full disk for one, is
    /// a failure.
    pub async fn close(self) -> Result<(), Failure> {
        drop(self.pieces);
        match self.written.await {
            Ok(Err(error)) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::unwritten(self.name, &error))
            }
            // The thread says it however it ends.
            _ => Ok(()),
        }
    }
}
