//! Reading a job's output in bounded pieces: whole ranges, the last lines, and the text that the original's clients
//! expect. It knows no header and no query.

use std::ops::Range;

use actix_web::web::Bytes;
use callboard_actors::model::limits::MAX_READ_BYTES;
use callboard_actors::model::{Captured, JobId, Kept, Stream};
use callboard_actors::protocol::jobs::{OutputChunk, ReadJobOutput};
use callboard_actors::protocol::{OutputError, PlatformHandle};
use futures_util::stream;

use super::door::Door;

/// Bytes of one read.
pub const PIECE_BYTES: usize = 256 << 10;
const _: () = assert!(PIECE_BYTES <= MAX_READ_BYTES);

/// One stream, or one artifact, of one job.
#[derive(Clone, Debug)]
pub struct Source {
    /// Who is asked.
    pub platform: PlatformHandle,
    /// Which job.
    pub id: JobId,
    /// Which stream or artifact.
    pub kept: Kept,
}

impl Source {
    /// What is there now from `offset` on, at most `max_bytes`.
    pub async fn read(&self, offset: u64, max_bytes: usize) -> Result<OutputChunk, OutputError> {
        let request = ReadJobOutput { id: self.id, kept: self.kept, offset, max_bytes };
        self.platform.read_output(request).await
    }

    /// The sizes, at the price of one byte.
    pub async fn sizes(&self) -> Result<OutputChunk, OutputError> {
        self.read(0, 1).await
    }

    /// A piece of a range that is known to be there.
    async fn piece(&self, range: &Range<u64>) -> Result<Bytes, OutputError> {
        let left = usize::try_from(range.end - range.start).unwrap_or(PIECE_BYTES);
        let bytes = self.read(range.start, left.min(PIECE_BYTES)).await?.bytes;
        if bytes.is_empty() { Err(OutputError::Gone(self.id)) } else { Ok(bytes) }
    }

    /// All of a range that is known to be there.
    pub async fn exactly(&self, mut range: Range<u64>) -> Result<Vec<u8>, OutputError> {
        let mut all = Vec::new();
        while range.start < range.end {
            let bytes = self.piece(&range).await?;
            range.start += bytes.len() as u64;
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }

    /// A range that is known to be there, `first` being its first bytes, piece by piece.
    pub fn pieces(
        self,
        first: Bytes,
        range: Range<u64>,
    ) -> impl stream::Stream<Item = Result<Bytes, OutputError>> {
        let rest = range.start + first.len() as u64..range.end;
        stream::try_unfold((self, Some(first), rest), |(source, first, mut rest)| async move {
            let bytes = match first.filter(|first| !first.is_empty()) {
                Some(first) => first,
                None if rest.start >= rest.end => return Ok(None),
                None => {
                    let bytes = source.piece(&rest).await?;
                    rest.start += bytes.len() as u64;
                    bytes
                }
            };
            Ok(Some((bytes, (source, None, rest))))
        })
    }

    /// Where the last `lines` lines begin.
    pub async fn tail(&self, lines: u64) -> Result<u64, OutputError> {
        let kept = self.sizes().await?.kept_bytes;
        let (mut end, mut seen) = (kept, 0);
        while end > 0 && lines > 0 {
            let start = end.saturating_sub(PIECE_BYTES as u64);
            let bytes = self.exactly(start..end).await?;
            for (at, _) in bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
                let after = start + at as u64 + 1;
                // The final newline ends the last line and begins none.
                seen += u64::from(after != kept);
                if seen == lines {
                    return Ok(after);
                }
            }
            end = start;
        }
        Ok(if lines == 0 { kept } else { 0 })
    }
}

/// What stands where bytes were dropped, in text.
pub fn gap_marker(omitted_bytes: u64) -> String {
    format!("\n[... {omitted_bytes} bytes omitted ...]\n")
}

/// All that was kept of a finished job's stream as text, with a marker where something was dropped.
pub async fn text(door: &Door, id: JobId, stream: Stream, captured: &Captured) -> String {
    let summary = &captured.summary;
    let kept = summary.kept_bytes();
    if let Some(bytes) = &captured.inline {
        return lossy(bytes, captured);
    }
    if kept == 0 {
        return lossy(&[], captured);
    }
    // The semaphore is never closed, so the permit is always there in the end.
    let _permit = door.composers.acquire().await;
    let source = Source { platform: door.platform.clone(), id, kept: stream.into() };
    match source.exactly(0..kept).await {
        Ok(bytes) => lossy(&bytes, captured),
        Err(error) => format!("[... {kept} bytes cannot be shown: {error} ...]\n"),
    }
}

fn lossy(kept: &[u8], captured: &Captured) -> String {
    let summary = &captured.summary;
    if !summary.is_truncated() {
        return String::from_utf8_lossy(kept).into_owned();
    }
    let head_bytes = usize::try_from(summary.head_bytes).unwrap_or(usize::MAX);
    let (head, tail) = kept.split_at(head_bytes.min(kept.len()));
    let marker = gap_marker(summary.total_bytes - summary.kept_bytes());
    String::from_utf8_lossy(head).into_owned() + &marker + &String::from_utf8_lossy(tail)
}
