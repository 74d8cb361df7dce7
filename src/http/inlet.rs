//! The socket of one connection, with a valve in it: how much of it is read before its caller is known, between two
//! requests, and for how long. It knows no request but by what the gate tells the valve.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use callboard_actors::clock::{self, Moment};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};
use tokio::time::{Sleep, sleep};

use super::meter::HttpMeter;
use super::socket::Socket;

/// Most bytes that are read of a request before its caller has shown a valid token, where one is demanded.
pub const MAX_UNKNOWN_BYTES: usize = 8 << 10;
/// Most bytes that are read, and thrown away, of the body of a refused request of a known caller, so that a client that
/// sends before it listens hears why; where no token is demanded also the most between two requests.
const MAX_DRAINED_BYTES: usize = 8 << 20;
/// Most bytes that are read while a request is answered: the longest body that is read to its end, and what is left over.
const MAX_REQUEST_BYTES: usize = 64 << 20;
/// How long a connection whose request was refused unread stays open, so that its client can read why.
pub const LINGER: Duration = Duration::from_secs(1);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The head of its first request is awaited. The server's own timer watches that.
    First,
    /// A request is being answered.
    Answering,
    /// The next head is awaited.
    Between,
    /// Nothing more is read; the last answer is on its way.
    Closing,
    /// It is as if the client had gone.
    Closed,
}

/// What the gate and the socket share of one connection.
#[derive(Debug)]
pub struct Valve {
    stage: Cell<Stage>,
    /// Bytes that may still be read.
    left: Cell<usize>,
    /// Since when the connection is overdue to go on, and for how long it may be.
    patience: Cell<Option<(Moment, Duration)>>,
    head_timeout: Duration,
    /// Whether the reader was told to look for a whole head in what it has got, as there will be no more.
    looked: Cell<bool>,
    /// Waits until more may be read.
    reader: RefCell<Option<Waker>>,
}

impl Valve {
    fn new(tokens_demanded: bool, head_timeout: Duration) -> Self {
        Self {
            stage: Cell::new(Stage::First),
            left: Cell::new(allowance(tokens_demanded)),
            patience: Cell::new(None),
            head_timeout,
            looked: Cell::new(false),
            reader: RefCell::default(),
        }
    }

    /// The head of a request is there.
    pub fn begin(&self) {
        self.stage.set(Stage::Answering);
        self.patience.set(None);
        self.looked.set(false);
    }

    /// Its caller is known: its body may be read.
    pub fn admit(&self) {
        self.open(MAX_REQUEST_BYTES);
    }

    /// The request is answered and the next one may come. `drain` is for a body that was not read and whose end must be
    /// found first.
    pub fn end(&self, tokens_demanded: bool, drain: bool) {
        self.stage.set(Stage::Between);
        self.open(if drain { MAX_DRAINED_BYTES } else { allowance(tokens_demanded) });
    }

    /// The request is answered and nothing more is read.
    pub fn close(&self) {
        self.stage.set(Stage::Closing);
        self.patience.set(Some((clock::moment(), LINGER)));
        self.open(0);
    }

    /// Sets what may be read, and has the reader look at that.
    fn open(&self, bytes: usize) {
        self.left.set(bytes);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn took(&self, bytes: usize) {
        self.left.set(self.left.get().saturating_sub(bytes));
        if bytes > 0 && self.stage.get() == Stage::Between && self.patience.get().is_none() {
            self.patience.set(Some((clock::moment(), self.head_timeout)));
        }
    }
}

fn allowance(tokens_demanded: bool) -> usize {
    if tokens_demanded { MAX_UNKNOWN_BYTES } else { MAX_DRAINED_BYTES }
}

/// What is the same for every connection of a server.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Longest time for a head.
    pub head_timeout: Duration,
    /// The whole answer to a head that is too large.
    pub too_large: Arc<[u8]>,
    /// Counts those answers.
    pub meter: Arc<HttpMeter>,
}

/// A socket with its valve.
#[derive(Debug)]
pub struct Inlet {
    socket: Take<Socket>,
    valve: Rc<Valve>,
    terms: Terms,
    /// Bytes of the answer to a head that is too large that are written.
    told: usize,
    /// Runs at most once per patience, however many requests come and go meanwhile.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Inlet {
    /// Puts a valve into a fresh connection.
    pub fn new(socket: Socket, terms: Terms, tokens_demanded: bool) -> Self {
        let valve = Rc::new(Valve::new(tokens_demanded, terms.head_timeout));
        Self { socket: socket.take(0), valve, terms, told: 0, alarm: None }
    }

    /// Its valve, for the gate.
    pub fn valve(&self) -> &Rc<Valve> {
        &self.valve
    }

    /// Nothing may be read: what the reader gets instead. Ready is the end of the connection.
    fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.valve.stage.get() {
            Stage::First | Stage::Between if !self.valve.looked.replace(true) => {
                // The reader comes back at once; when it has found a head, the stage is another one.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Stage::First => {
                ready!(self.poll_tell(cx))?;
                self.valve.close();
                self.poll_patience(cx)
            }
            Stage::Answering => {
                self.valve.reader.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
            Stage::Closing => self.poll_patience(cx),
            Stage::Between | Stage::Closed => {
                self.valve.stage.set(Stage::Closed);
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Writes why the head is not read further. Nothing was written to this connection before.
    fn poll_tell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.told == 0 {
            self.terms.meter.count(None, "other", 431, 0);
        }
        while let Some(rest) = self.terms.too_large.get(self.told..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(self.socket.get_mut()).poll_write(cx, rest))? {
                0 => break,
                written => self.told += written,
            }
        }
        Pin::new(self.socket.get_mut()).poll_shutdown(cx)
    }

    /// Ready, as the end of the connection, when it has waited for too long; wakes the reader then.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let Some((since, limit)) = self.valve.patience.get() else {
                // It may ring once more, and then it is seen that nobody waits.
                return self.poll_stale_alarm(cx);
            };
            let left = limit.saturating_sub(since.elapsed());
            if left.is_zero() {
                self.valve.stage.set(Stage::Closed);
                return Poll::Ready(Ok(()));
            }
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(left)));
            ready!(alarm.as_mut().poll(cx));
            self.alarm = None;
        }
    }

    fn poll_stale_alarm(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.alarm.as_mut().is_some_and(|alarm| alarm.as_mut().poll(cx).is_ready()) {
            self.alarm = None;
        }
        Poll::Pending
    }
}

impl AsyncRead for Inlet {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let left = this.valve.left.get();
        if left == 0 || this.valve.stage.get() == Stage::Closed {
            return this.poll_shut(cx);
        }
        let before = into.filled().len();
        this.socket.set_limit(left as u64);
        match Pin::new(&mut this.socket).poll_read(cx, into) {
            Poll::Pending => this.poll_patience(cx),
            done => {
                this.valve.took(into.filled().len() - before);
                done
            }
        }
    }
}

impl AsyncWrite for Inlet {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.get_mut().socket.get_mut()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.get_mut().socket.get_mut()).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.get_ref().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().socket.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().socket.get_mut()).poll_shutdown(cx)
    }
}
