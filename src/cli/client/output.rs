//! Reading a job's output: its bytes as they are, or frames that say where they stand and whether more will come.

use std::time::Duration;

use awc::ClientResponse;
use awc::http::Method;
use awc::http::header::ACCEPT;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use super::{Body, Client, EARLY_PAUSE, Failure, NO_ANSWER, encode, failure_of, path_safe};
use crate::http::api::LogFrame;
use crate::http::gap_marker;

/// Longest line of a frame: a piece of the server's, escaped.
const MAX_FRAME_BYTES: usize = 8 << 20;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this kept byte.
    Offset(u64),
    /// So many lines before the end.
    Tail(u64),
}

/// What a server says about the size of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes that the job wrote.
    pub total: u64,
    /// Bytes that can be read.
    pub kept: u64,
    /// Bytes of this answer.
    pub read: u64,
    /// The kept byte before which bytes were dropped.
    pub gap_at: Option<u64>,
}

impl Sizes {
    /// How many bytes are missing in what was read, and before which kept byte.
    pub fn missing(&self) -> Option<(u64, u64)> {
        let dropped = self.total.saturating_sub(self.kept);
        let first = self.kept.saturating_sub(self.read);
        self.gap_at.filter(|at| dropped > 0 && *at >= first).map(|at| (dropped, at))
    }
}

/// How a reading ended.
enum End {
    /// The reader wants no more.
    Left,
    /// All is read.
    Over(LogFrame),
    /// The server stops to follow; the job does not.
    Cut { offset: u64 },
}

impl Client {
    /// Reads what is there of a stream, as it is, into `sink`; false from it ends the reading.
    pub async fn bytes(
        &self,
        id: &str,
        stream: &str,
        start: Start,
        mut sink: impl AsyncFnMut(Bytes) -> bool,
    ) -> Result<Sizes, Failure> {
        let mut answer = self.output(id, stream, start, "text/plain", false).await?;
        let number = |name| answer.headers().get(name)?.to_str().ok()?.parse().ok();
        let mut sizes = Sizes {
            total: number("x-callboard-total-bytes").unwrap_or_default(),
            kept: number("x-callboard-kept-bytes").unwrap_or_default(),
            gap_at: number("x-callboard-gap-at"),
            read: 0,
        };
        let mut body = Body::of(&mut answer);
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| self.broken(&error))?;
            sizes.read = body.read();
            if !sink(piece).await {
                break;
            }
        }
        Ok(sizes)
    }

    /// Reads a stream frame by frame into `sink`, the last one included; false from it ends the reading. Followed, it
    /// goes on until the job is over: a server that is told to stop cuts its answers short, and is asked again.
    pub async fn frames(
        &self,
        id: &str,
        stream: &str,
        mut start: Start,
        follow: bool,
        mut sink: impl AsyncFnMut(LogFrame) -> bool,
    ) -> Result<(), Failure> {
        let mut answer = self.output(id, stream, start, "application/x-ndjson", follow).await?;
        loop {
            match read(&mut answer, &mut sink).await.ok_or_else(|| went_away(id))? {
                End::Left => return Ok(()),
                End::Over(last) => {
                    sink(last).await;
                    return Ok(());
                }
                End::Cut { offset } => start = Start::Offset(offset),
            }
            actix_rt::time::sleep(EARLY_PAUSE).await;
            let again = self.output(id, stream, start, "application/x-ndjson", follow).await;
            answer =
                again.map_err(|failure| if failure.code == NO_ANSWER { went_away(id) } else { failure })?;
        }
    }

    /// Reads a file that a job left into `sink`; false from it ends the reading.
    pub async fn artifact(
        &self,
        id: &str,
        path: &str,
        mut sink: impl AsyncFnMut(Bytes) -> bool,
    ) -> Result<(), Failure> {
        let path = format!("/v1/jobs/{}/artifacts?path={}", path_safe(id)?, encode(path));
        let mut answer = self.bytes_of(&path, "application/octet-stream").await?;
        let mut body = Body::of(&mut answer);
        while let Some(piece) = body.next().await {
            if !sink(piece.map_err(|error| self.broken(&error))?).await {
                break;
            }
        }
        Ok(())
    }

    async fn output(
        &self,
        id: &str,
        stream: &str,
        start: Start,
        kind: &'static str,
        follow: bool,
    ) -> Result<
        ClientResponse<impl Stream<Item = Result<Bytes, awc::error::PayloadError>> + Unpin + use<>>,
        Failure,
    > {
        let start = match start {
            Start::Offset(offset) => format!("offset={offset}"),
            Start::Tail(lines) => format!("tail={lines}"),
        };
        let path = format!("/v1/jobs/{}/logs?stream={stream}&{start}&follow={follow}", path_safe(id)?);
        self.bytes_of(&path, kind).await
    }

    /// An answer that is a success, its body not yet read.
    async fn bytes_of(
        &self,
        path: &str,
        kind: &'static str,
    ) -> Result<
        ClientResponse<impl Stream<Item = Result<Bytes, awc::error::PayloadError>> + Unpin + use<>>,
        Failure,
    > {
        let request = self.request(Method::GET, path, Duration::ZERO).insert_header((ACCEPT, kind));
        let mut answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = self.whole(&mut answer).await?;
        Err(failure_of(status.as_u16(), &body))
    }
}

/// Reads one answer; none when it breaks off.
async fn read<S>(answer: &mut ClientResponse<S>, sink: &mut impl AsyncFnMut(LogFrame) -> bool) -> Option<End>
where
    S: Stream<Item = Result<Bytes, awc::error::PayloadError>> + Unpin,
{
    let mut waiting = BytesMut::new();
    // Where the search for the end of the line goes on: a long line comes in many pieces.
    let mut searched = 0;
    while let Some(Ok(piece)) = answer.next().await {
        waiting.extend_from_slice(&piece);
        while let Some(length) = waiting[searched..].iter().position(|byte| *byte == b'\n') {
            let line = waiting.split_to(searched + length + 1);
            searched = 0;
            let frame: LogFrame = serde_json::from_slice(&line).ok()?;
            match frame.more {
                Some(true) => return Some(End::Cut { offset: frame.offset }),
                Some(false) => return Some(End::Over(frame)),
                None if !sink(frame).await => return Some(End::Left),
                None => {}
            }
        }
        searched = waiting.len();
        if searched > MAX_FRAME_BYTES {
            return None;
        }
    }
    None
}

fn went_away(id: &str) -> Failure {
    let message = format!(
        "the server is stopping or went away; the job goes on: `callboard logs -f {id}` shows it once the server is back"
    );
    Failure::new(NO_ANSWER, message)
}

/// What a frame stands for in the output; where bytes were dropped a line that says so.
pub fn bytes_of(frame: &LogFrame) -> Bytes {
    match (&frame.text, &frame.base64, frame.omitted_bytes) {
        (Some(text), ..) => Bytes::copy_from_slice(text.as_bytes()),
        (_, Some(text), _) => STANDARD.decode(text).unwrap_or_default().into(),
        (.., Some(omitted)) => gap_marker(omitted).into(),
        _ => Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_missing_only_where_they_were_asked_for() {
        let sizes = |read, gap_at| Sizes { total: 100, kept: 30, read, gap_at };
        assert_eq!(sizes(30, Some(20)).missing(), Some((70, 20)));
        assert_eq!(sizes(10, Some(20)).missing(), Some((70, 20)), "from the gap on");
        assert_eq!(sizes(9, Some(20)).missing(), None, "after it");
        assert_eq!(Sizes { total: 30, ..sizes(30, None) }.missing(), None);
    }
}
