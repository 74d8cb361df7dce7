//! Output as it comes: polls one stream or both until the job is over or the platform begins to stop, and writes
//! text or NDJSON. It ends by itself in every case, so that it never delays a stop.

use std::time::Duration;

use actix_web::web::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callboard_actors::protocol::jobs::OutputChunk;
use callboard_actors::protocol::{LookupError, OutputError};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::access::Pass;
use super::api::LogFrame;
use super::output::{PIECE_BYTES, Source, gap_marker};

/// Pause after the first read that brought nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(40);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// How pieces are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The bytes as they are, with a marker where some were dropped.
    Text,
    /// One [`LogFrame`] a line.
    Frames,
}

/// One stream and how far it was read.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    offset: u64,
    gap_told: bool,
    over: bool,
}

impl Reader {
    /// Reads from `offset` on.
    pub fn new(source: Source, offset: u64) -> Self {
        Self { source, offset, gap_told: false, over: false }
    }

    /// Writes what is there now into `out`; whether more is expected is noted.
    async fn advance(&mut self, form: Form, follow: bool, out: &mut Vec<u8>) -> Result<(), OutputError> {
        let chunk = match self.source.read(self.offset, PIECE_BYTES).await {
            Ok(chunk) => chunk,
            Err(error) if follow && is_passing(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let gap = chunk.gap_at.filter(|_| chunk.total_bytes > chunk.kept_bytes);
        if gap == Some(self.offset) && !self.gap_told {
            self.gap_told = true;
            self.write_gap(form, chunk.total_bytes - chunk.kept_bytes, out);
        }
        let until_gap = gap.filter(|gap| *gap > self.offset).map(|gap| gap - self.offset);
        let cut = usize::try_from(until_gap.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let bytes = chunk.bytes.slice(..chunk.bytes.len().min(cut));
        let end = self.offset + bytes.len() as u64;
        let last = end >= chunk.kept_bytes && !(follow && chunk.more);
        let ends_here = last || gap == Some(end);
        self.offset += self.write(form, &bytes, ends_here, out);
        let gap_ahead = gap == Some(self.offset) && !self.gap_told;
        self.over = is_over(&chunk, &bytes, follow, last) && !gap_ahead;
        Ok(())
    }

    fn write_gap(&self, form: Form, omitted: u64, out: &mut Vec<u8>) {
        match form {
            Form::Text => out.extend_from_slice(gap_marker(omitted).as_bytes()),
            Form::Frames => {
                let frame = LogFrame { omitted_bytes: Some(omitted), ..self.frame() };
                write_frame(&frame, out);
            }
        }
    }

    /// Writes a piece; returns how much of it was used. A character that has not come completely is left for later.
    fn write(&self, form: Form, bytes: &[u8], ends_here: bool, out: &mut Vec<u8>) -> u64 {
        if bytes.is_empty() {
            return 0;
        }
        if form == Form::Text {
            out.extend_from_slice(bytes);
            return bytes.len() as u64;
        }
        let mut frame = self.frame();
        let used = match std::str::from_utf8(bytes) {
            Ok(text) => {
                frame.text = Some(text.into());
                bytes.len()
            }
            Err(error) if error.error_len().is_none() && !ends_here => {
                let whole = error.valid_up_to();
                frame.text = Some(String::from_utf8_lossy(&bytes[..whole]).into_owned());
                whole
            }
            Err(_) => {
                frame.base64 = Some(STANDARD.encode(bytes));
                bytes.len()
            }
        };
        if used > 0 {
            write_frame(&frame, out);
        }
        used as u64
    }

    fn frame(&self) -> LogFrame {
        LogFrame {
            stream: self.source.kept.file_name().into_owned(),
            offset: self.offset,
            text: None,
            base64: None,
            omitted_bytes: None,
            more: None,
        }
    }
}

/// Whether an error may be gone at the next try.
fn is_passing(error: &OutputError) -> bool {
    matches!(error, OutputError::Lookup(LookupError::Busy) | OutputError::Node(_))
}

fn is_over(chunk: &OutputChunk, bytes: &[u8], follow: bool, last: bool) -> bool {
    last || (bytes.is_empty() && !(follow && chunk.more))
}

fn write_frame(frame: &LogFrame, out: &mut Vec<u8>) {
    // A struct of strings and numbers always has a JSON form, and a vector takes every write.
    let _ = serde_json::to_writer(&mut *out, frame);
    out.push(b'\n');
}

/// Several streams read in turn.
#[derive(Debug)]
pub struct Follower {
    readers: Vec<Reader>,
    form: Form,
    follow: bool,
    pause: Duration,
    ended: bool,
    pass: Pass,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Follower {
    /// Reads `readers` to their end; with a permit it follows them until the job is over, or `pass` is.
    pub fn new(readers: Vec<Reader>, form: Form, permit: Option<OwnedSemaphorePermit>, pass: Pass) -> Self {
        let follow = permit.is_some();
        Self { readers, form, follow, pause: FIRST_PAUSE, ended: false, pass, _permit: permit }
    }

    /// The pieces.
    pub fn pieces(self) -> impl stream::Stream<Item = Result<Bytes, OutputError>> {
        stream::try_unfold(self, |mut follower| async move {
            let piece = follower.next().await?;
            Ok(piece.map(|bytes| (bytes, follower)))
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, OutputError> {
        while !self.ended {
            let mut out = Vec::new();
            if self.pass.check().is_err() {
                self.ended = true;
                self.write_end(true, &mut out);
                return Ok(Some(out.into()).filter(|out: &Bytes| !out.is_empty()));
            }
            for reader in self.readers.iter_mut().filter(|reader| !reader.over) {
                reader.advance(self.form, self.follow, &mut out).await?;
                // Without following, one stream is written to its end before the next one begins.
                if !self.follow && !reader.over {
                    break;
                }
            }
            let over = self.readers.iter().all(|reader| reader.over);
            if !out.is_empty() {
                self.pause = FIRST_PAUSE;
            }
            let stopped = !over && out.is_empty() && self.rest().await;
            if over || stopped {
                self.ended = true;
                self.write_end(stopped, &mut out);
            }
            if !out.is_empty() {
                return Ok(Some(out.into()));
            }
        }
        Ok(None)
    }

    /// Waits a little; whether the platform began to stop meanwhile.
    async fn rest(&mut self) -> bool {
        let Some(reader) = self.readers.first() else {
            return true;
        };
        let pause = self.pause;
        self.pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        tokio::select! {
            () = tokio::time::sleep(pause) => false,
            () = reader.source.platform.stopping() => true,
            _ = self.pass.ended() => true,
        }
    }

    fn write_end(&self, more: bool, out: &mut Vec<u8>) {
        let offsets = self.readers.iter().map(|reader| reader.offset);
        if self.form == Form::Frames {
            let frame = LogFrame {
                stream: "end".into(),
                offset: offsets.sum(),
                text: None,
                base64: None,
                omitted_bytes: None,
                more: Some(more),
            };
            write_frame(&frame, out);
        }
    }
}
