//! The socket of a connection, with TLS or without, and how one with TLS comes about. It knows no request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Longest time for a handshake. Until it is over the connection counts as one of `max_connections`, like every other.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
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

/// Opens a fresh connection; without `tls` there is nothing to open. Whoever speaks plain HTTP where TLS is spoken gets
/// `refusal` for an answer.
///
/// # Errors
/// The connection cannot be used; the other side has been told as far as it can be.
pub async fn open(
    mut socket: TcpStream,
    tls: Option<Arc<ServerConfig>>,
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
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake came about in time");
    timeout(TLS_HANDSHAKE_TIMEOUT, shaking).await.map_err(late)?
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
