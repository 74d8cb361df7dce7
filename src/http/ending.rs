//! Answers that hold something until they are written: the unread body of a refused request, or the word to the valve
//! that the next request may come. It knows no request.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Payload;
use actix_web::web::Bytes;

use super::inlet::Valve;

/// Largest body of an answer that is taken to be written at once, in bytes.
const SMALL_ANSWER_BYTES: u64 = 16 << 10;

/// Tells the valve, when it is dropped, that the request is answered.
#[derive(Debug)]
pub struct End {
    /// The connection's valve.
    pub valve: Rc<Valve>,
    /// Whether the next caller must show a token.
    pub tokens_demanded: bool,
    /// Whether the body of the request may have been left unread.
    pub drain: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        self.valve.end(self.tokens_demanded, self.drain);
    }
}

/// Tells it once this body is written; at once when that is soon.
pub fn end_with(body: BoxBody, end: End) -> BoxBody {
    match body.size() {
        BodySize::None => body,
        BodySize::Sized(bytes) if bytes <= SMALL_ANSWER_BYTES => body,
        _ => Holding { body, _held: end }.boxed(),
    }
}

/// Keeps the body of a request from being read until this one is written. Were it dropped before, the server would read
/// it to its end to use the connection again, however long it is.
pub fn unread_with(body: BoxBody, request: Payload) -> BoxBody {
    Holding { body, _held: request }.boxed()
}

struct Holding<T> {
    body: BoxBody,
    _held: T,
}

impl<T: Unpin> MessageBody for Holding<T> {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.get_mut().body.as_pin_mut().poll_next(cx)
    }
}
