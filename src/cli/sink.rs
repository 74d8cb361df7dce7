//! Standard output and standard error as places that take bytes without blocking the one thread that also hears Ctrl-C,
//! feeds the input and, in `run` without a server, runs the job: each has a thread of its own that does the writing.

use std::io::Write;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

/// Pieces that wait for a slow reader; then the stream from the server is no longer read either.
const WAITING_PIECES: usize = 4;

/// One of the two output streams. Bytes are written in order; dropping it does not wait for them, [`Sink::close`] does.
pub struct Sink {
    pieces: mpsc::Sender<Bytes>,
    written: oneshot::Receiver<()>,
}

impl Sink {
    /// A sink that writes to standard output.
    pub fn stdout() -> Self {
        Self::over(std::io::stdout())
    }

    /// A sink that writes to standard error.
    pub fn stderr() -> Self {
        Self::over(std::io::stderr())
    }

    fn over(mut target: impl Write + Send + 'static) -> Self {
        let (pieces, mut waiting) = mpsc::channel::<Bytes>(WAITING_PIECES);
        let (done, written) = oneshot::channel();
        std::thread::spawn(move || {
            while let Some(piece) = waiting.blocking_recv() {
                if target.write_all(&piece).and_then(|()| target.flush()).is_err() {
                    break;
                }
            }
            // Nobody waits for it any more when the client leaves in between.
            let _ = done.send(());
        });
        Self { pieces, written }
    }

    /// Hands over the next bytes, as soon as there is room; false when the reader has gone away.
    pub async fn write(&self, bytes: Bytes) -> bool {
        self.pieces.send(bytes).await.is_ok()
    }

    /// Ends once the reader has gone away.
    pub async fn reader_gone(&self) {
        self.pieces.closed().await;
    }

    /// Whether the reader has gone away.
    pub fn is_gone(&self) -> bool {
        self.pieces.is_closed()
    }

    /// Waits until everything is written, or the reader has gone away.
    pub async fn close(self) {
        drop(self.pieces);
        // The thread says it however it ends.
        let _ = self.written.await;
    }
}
