//! The socket of a connection, with TLS or without, and how one with TLS comes about. It knows no request.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Longest time for a handshake. Until it is over the connection counts as one of `max_connections`, like every other.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most handshakes of a thread and an address that are under way at once; at most half of its connections. One more ends the
/// oldest: an honest one takes milliseconds, and so whoever begins many and ends none cuts off only himself.
pub const MAX_TLS_HANDSHAKES: usize = 512;
/// The first byte of every handshake.
const HANDSHAKE: u8 = 22;

/// A connection as its bytes are read and written.
#[derive(Debug)]
pub enum Socket {
    /// As they cross the network.
    Plain(TcpStream),
    /// Within TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// The handshakes of one thread and one address.
#[derive(Clone, Debug)]
pub struct Handshakes {
    most: usize,
    under_way: Rc<RefCell<UnderWay>>,
}

/// By number, the oldest first. What is taken out is ended.
#[derive(Debug, Default)]
struct UnderWay {
    next: u64,
    begun: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Handshakes {
    /// None yet, where there may be so many connections.
    pub fn among(connections: usize) -> Self {
        Self { most: (connections / 2).clamp(1, MAX_TLS_HANDSHAKES), under_way: Rc::default() }
    }

    /// One more, and how it hears that a later one has taken its place.
    fn begin(&self) -> (Begun, oneshot::Receiver<()>) {
        let (sender, ended) = oneshot::channel();
        let mut under_way = self.under_way.borrow_mut();
        while under_way.begun.len() >= self.most {
            under_way.begun.pop_first();
        }
        let number = under_way.next;
        under_way.next += 1;
        under_way.begun.insert(number, sender);
        (Begun { number, all: self.clone() }, ended)
    }
}

/// A handshake under way, until it is dropped.
struct Begun {
    number: u64,
    all: Handshakes,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.all.under_way.borrow_mut().begun.remove(&self.number);
    }
}

/// Opens a fresh connection; without `tls` there is nothing to open. Whoever speaks plain HTTP where TLS is spoken gets
/// `refusal` for an answer.
///
/// # Errors
/// The connection cannot be used; the other side has been told as far as it can be.
pub async fn open(
    mut socket: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    handshakes: &Handshakes,
    refusal: &[u8],
) -> Result<Socket, io::Error> {
    let Some(tls) = tls else { return Ok(Socket::Plain(socket)) };
    let shaking = async move {
        let mut first = [0];
        if socket.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
            socket.write_all(refusal).await?;
            socket.shutdown().await?;
            // What is not read would reset the connection before the answer is read there.
            let _ = socket.read(&mut [0; 4096]).await;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP where TLS is spoken"));
        }
        Ok(Socket::Tls(Box::new(TlsAcceptor::from(tls).accept(socket).await?)))
    };
    let late = |why| io::Error::new(io::ErrorKind::TimedOut, why);
    let (_begun, ended) = handshakes.begin();
    tokio::select! {
        shaken = timeout(TLS_HANDSHAKE_TIMEOUT, shaking) => {
            shaken.map_err(|_| late("no TLS handshake came about in time"))?
        }
        _ = ended => Err(late("too many TLS handshakes at once, and this was the oldest")),
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, into),
            Self::Tls(socket) => Pin::new(socket).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(socket) => Pin::new(socket).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, pieces),
            Self::Tls(socket) => Pin::new(socket).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Tls(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_handshake_too_many_ends_the_oldest_and_no_other() {
        let all = Handshakes::among(4);
        let (first, mut first_ended) = all.begin();
        let (second, mut second_ended) = all.begin();
        assert!(first_ended.try_recv().is_err_and(|why| why == oneshot::error::TryRecvError::Empty));
        let (_third, mut third_ended) = all.begin();
        let closed = |ended: &mut oneshot::Receiver<()>| {
            ended.try_recv().is_err_and(|why| why == oneshot::error::TryRecvError::Closed)
        };
        assert!(closed(&mut first_ended) && !closed(&mut second_ended) && !closed(&mut third_ended));
        // One that has come about leaves room.
        drop((first, second));
        let (_fourth, _ended) = all.begin();
        assert!(!closed(&mut third_ended));
    }

    #[test]
    fn handshakes_have_a_bound_however_many_connections_there_are() {
        let most = |connections| Handshakes::among(connections).most;
        assert_eq!((most(0), most(1), most(9), most(1 << 20)), (1, 1, 4, MAX_TLS_HANDSHAKES));
    }
}
