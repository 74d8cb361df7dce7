//! Something kept of a job as an answer: whole, from a byte on, or a range. What it is, and what else is told of it, is
//! the caller's business.

use std::ops::Range;

use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_RANGES, CONTENT_RANGE, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use callboard_actors::protocol::jobs::OutputChunk;

use super::kinds;
use super::output::{PIECE_BYTES, Source};
use super::problem::Problem;
use super::range::Asked;

/// An answer whose first bytes are read.
pub struct Served {
    /// Its head so far: status and ranges.
    pub answer: HttpResponseBuilder,
    /// What was read first, with the sizes.
    pub first: OutputChunk,
    source: Source,
    range: Range<u64>,
}

impl Served {
    /// Reads the beginning of what was asked for: a range, or everything from `start` on.
    pub async fn begin(source: Source, start: u64, asked: Option<Asked>) -> Result<Self, Problem> {
        let start = asked.map_or(start, Asked::start);
        let mut first = source.read(start, PIECE_BYTES).await?;
        let kept = first.kept_bytes;
        let range = match asked {
            Some(asked) => asked.of(kept),
            None => (start <= kept).then_some(start..kept),
        };
        let range = range.ok_or_else(|| outside(kept))?;
        if range.start != start {
            first = source.read(range.start, PIECE_BYTES).await?;
        }
        let mut answer = HttpResponse::build(StatusCode::OK);
        if asked.is_some() {
            let shown = format!("bytes {}-{}/{kept}", range.start, range.end - 1);
            answer.status(StatusCode::PARTIAL_CONTENT).insert_header((CONTENT_RANGE, shown));
        }
        answer.insert_header((ACCEPT_RANGES, "bytes"));
        Ok(Self { answer, first, source, range })
    }

    /// The whole answer.
    pub fn finish(mut self) -> HttpResponse {
        let length = self.range.end - self.range.start;
        let available = usize::try_from(length).unwrap_or(usize::MAX).min(self.first.bytes.len());
        let first = self.first.bytes.slice(..available);
        if first.len() as u64 == length {
            return self.answer.body(first);
        }
        self.answer.body(SizedStream::new(length, Box::pin(self.source.pieces(first, self.range))))
    }
}

fn outside(kept: u64) -> Problem {
    let detail = format!("there are {kept} bytes");
    let shown = HeaderValue::from_str(&format!("bytes */{kept}"));
    let shown = shown.unwrap_or_else(|_| HeaderValue::from_static("bytes */0"));
    Problem::new(&kinds::RANGE_NOT_SATISFIABLE, detail).with_header(CONTENT_RANGE, shown)
}

/// A header's value, if it is text.
pub fn header(request: &HttpRequest, name: HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}
