//! The body of an answer, held against the length that was promised: the HTTP client takes an answer that breaks off
//! for one that ends. What the bytes mean is not known here.

use awc::ClientResponse;
use awc::error::PayloadError;
use awc::http::header::{CONTENT_LENGTH, HeaderMap};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

/// Why a body is not there as a whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection ended first.
    #[error("the answer broke off after {read} of {promised} bytes")]
    BrokenOff {
        /// Bytes that came.
        read: u64,
        /// Bytes that were promised.
        promised: u64,
    },
    /// It is longer than what is read.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// It cannot be read on.
    #[error("the answer broke off: {0}")]
    Transport(PayloadError),
}

/// What was promised of a body, and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    promised: Option<u64>,
    read: u64,
}

impl Promise {
    /// What these headers promise. A body without a length ends where it ends: what it carries must say whether it is
    /// whole.
    pub fn of(headers: &HeaderMap) -> Self {
        let length = headers.get(CONTENT_LENGTH);
        Self { promised: length.and_then(|length| length.to_str().ok()?.parse().ok()), read: 0 }
    }

    /// What is promised of an answer that has no body, whatever its length says.
    pub fn nothing() -> Self {
        Self { promised: None, read: 0 }
    }

    /// The next piece, counted; an end that comes too early is an error.
    pub fn keep(&mut self, piece: Option<Result<Bytes, PayloadError>>) -> Option<Result<Bytes, BodyError>> {
        match (piece, self.promised) {
            (Some(Ok(piece)), _) => {
                self.read += piece.len() as u64;
                Some(Ok(piece))
            }
            (Some(Err(error)), _) => Some(Err(BodyError::Transport(error))),
            (None, Some(promised)) if self.read < promised => {
                // It is said once.
                self.promised = None;
                Some(Err(BodyError::BrokenOff { read: self.read, promised }))
            }
            (None, _) => None,
        }
    }
}

/// A body on its way.
pub struct Body<'a, S> {
    answer: &'a mut ClientResponse<S>,
    promise: Promise,
}

impl<'a, S> Body<'a, S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    /// The body of this answer.
    pub fn of(answer: &'a mut ClientResponse<S>) -> Self {
        let promise = Promise::of(answer.headers());
        Self { answer, promise }
    }

    /// Bytes that came so far.
    pub fn read(&self) -> u64 {
        self.promise.read
    }

    /// The next piece; none at the promised end.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        let piece = self.answer.next().await;
        self.promise.keep(piece)
    }

    /// All of it, if it is not longer than `limit` bytes.
    pub async fn whole(mut self, limit: usize) -> Result<Bytes, BodyError> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.next().await {
            all.extend_from_slice(&piece?);
            if all.len() > limit {
                return Err(BodyError::TooLong(limit));
            }
        }
        Ok(all.freeze())
    }
}
