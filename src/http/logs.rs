//! `GET /v1/jobs/{id}/logs`: one stream as bytes with ranges, or one or both as they come. How bytes are read and
//! written is `output`'s and `follow`'s business.

use std::sync::Arc;

use actix_web::http::header::{ACCEPT_RANGES, Accept, CONTENT_ENCODING, Header, Quality, RANGE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use callboard_actors::model::{JobId, Stream};
use callboard_actors::protocol::jobs::OutputChunk;
use serde::Deserialize;

use super::access::Visit;
use super::door::{Door, MAX_FOLLOWERS};
use super::follow::{Follower, Form, Reader};
use super::output::Source;
use super::problem::Problem;
use super::range::{self, Asked};
use super::served::{Served, header};
use super::{kinds, params};

/// Most lines that `tail` takes.
pub const MAX_TAIL_LINES: u64 = 10_000;
const NDJSON: &str = "application/x-ndjson";
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogsQuery {
    stream: Option<String>,
    follow: Option<String>,
    offset: Option<String>,
    tail: Option<String>,
}

struct Wanted {
    streams: Vec<Stream>,
    follow: bool,
    offset: Option<u64>,
    tail: Option<u64>,
    range: Option<Asked>,
    form: Form,
}

impl Wanted {
    fn read(request: &HttpRequest) -> Result<Self, Problem> {
        let query: LogsQuery = params::query(request)?;
        let wanted = Self {
            streams: streams(query.stream.as_deref())?,
            follow: params::flag("?follow", query.follow.as_deref())?,
            offset: params::number("?offset", query.offset.as_deref())?,
            tail: params::number("?tail", query.tail.as_deref())?,
            range: header(request, RANGE).and_then(range::parse),
            form: form(request),
        };
        wanted.check()?;
        Ok(wanted)
    }

    /// Nothing that was asked is ignored: what does not go together is refused.
    fn check(&self) -> Result<(), Problem> {
        let both = self.streams.len() > 1;
        let starts = [self.offset.is_some(), self.tail.is_some(), self.range.is_some()];
        if starts.into_iter().filter(|given| *given).count() > 1 {
            let detail = "offset, tail and the Range header exclude one another";
            return Err(Problem::field("?offset", detail));
        }
        if both && self.offset.is_some() {
            let detail = "offset needs stream=stdout or stream=stderr";
            return Err(Problem::field("?offset", detail));
        }
        if self.range.is_some() && (both || self.follow || self.form == Form::Frames) {
            let detail = "Range needs stream=stdout or stream=stderr, no follow and no NDJSON";
            return Err(Problem::field("Range", detail));
        }
        if self.tail.is_some_and(|lines| lines > MAX_TAIL_LINES) {
            let detail = format!("tail is at most {MAX_TAIL_LINES} lines");
            return Err(Problem::field("?tail", detail));
        }
        Ok(())
    }
}

fn streams(word: Option<&str>) -> Result<Vec<Stream>, Problem> {
    match word {
        None | Some("all") => Ok(Stream::BOTH.into()),
        Some("stdout") => Ok(vec![Stream::Stdout]),
        Some("stderr") => Ok(vec![Stream::Stderr]),
        Some(_) => Err(Problem::field("?stream", "stream is `stdout`, `stderr` or `all`")),
    }
}

/// Frames when they are accepted by name, and text is not accepted by name just as well: generated clients accept
/// everything that the description names, and mean the simplest.
fn form(request: &HttpRequest) -> Form {
    let accepted = Accept::parse(request).unwrap_or_else(|_| Accept(Vec::new()));
    let wish = |names: &[&str]| {
        let named = accepted.iter().filter(|one| names.contains(&one.item.essence_str()));
        named.map(|one| one.quality).max()
    };
    match (wish(&[NDJSON]), wish(&["text/plain", "text/*"])) {
        (Some(frames), text) if frames > text.unwrap_or(Quality::ZERO) => Form::Frames,
        _ => Form::Text,
    }
}

/// Reads a job's output.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/logs", operation_id = "read_logs", tag = "output",
    params(
        ("id" = String, Path, description = "The job's id or a beginning of it."),
        ("stream" = Option<String>, Query, description = "`stdout`, `stderr` or `all` (default): first the one, then the other; mixed as they come when following."),
        ("follow" = Option<bool>, Query, description = "Go on until the job is over."),
        ("offset" = Option<u64>, Query, description = "First kept byte; with one stream only."),
        ("tail" = Option<u64>, Query, description = "Only the last lines, at most 10000."),
        ("Range" = Option<String>, Header, description = "One range of the kept bytes of one stream."),
    ),
    responses(
        (status = 200, description = "The kept bytes. One stream without `follow` is byte for byte, and where something was dropped nothing stands (see the headers); otherwise a line `[... N bytes omitted ...]` does. With `Accept: application/x-ndjson` each line is a LogFrame.",
            content((String = "text/plain"), (String = "application/x-ndjson")),
            headers(
                ("X-Callboard-Total-Bytes" = u64, description = "Bytes that the job wrote."),
                ("X-Callboard-Kept-Bytes" = u64, description = "Bytes that can be read."),
                ("X-Callboard-Truncated" = bool, description = "Whether some were dropped."),
                ("X-Callboard-Gap-At" = u64, description = "Kept byte before which they were dropped."),
            )),
        (status = 206, description = "The range.", content_type = "text/plain", body = String),
    ),
)]
pub async fn show(door: Visit, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let wanted = Wanted::read(&request)?;
    let id = params::job(&request, &door.platform).await?;
    match wanted.streams[..] {
        [stream] if !wanted.follow && wanted.form == Form::Text => {
            one(source(&door, id, stream), &wanted).await
        }
        _ => several(&door, id, wanted).await,
    }
}

fn source(door: &Door, id: JobId, stream: Stream) -> Source {
    Source { platform: door.platform.clone(), id, kept: stream.into() }
}

/// One stream, byte for byte.
async fn one(source: Source, wanted: &Wanted) -> Result<HttpResponse, Problem> {
    let tail = match wanted.tail {
        Some(lines) => Some(source.tail(lines).await?),
        None => None,
    };
    let start = wanted.offset.or(tail).unwrap_or(0);
    let mut served = Served::begin(source, start, wanted.range).await?;
    served.answer.content_type(PLAIN_TEXT);
    add_sizes(&mut served.answer, std::slice::from_ref(&served.first));
    Ok(served.finish())
}

fn add_sizes(answer: &mut HttpResponseBuilder, chunks: &[OutputChunk]) {
    let total: u64 = chunks.iter().map(|chunk| chunk.total_bytes).sum();
    let kept: u64 = chunks.iter().map(|chunk| chunk.kept_bytes).sum();
    answer
        .insert_header(("x-callboard-total-bytes", total))
        .insert_header(("x-callboard-kept-bytes", kept))
        .insert_header(("x-callboard-truncated", if kept < total { "true" } else { "false" }));
    if let [OutputChunk { gap_at: Some(gap_at), .. }] = chunks {
        answer.insert_header(("x-callboard-gap-at", *gap_at));
    }
}

/// One stream or both, in text with markers or in frames, to their end or as they come.
async fn several(door: &Door, id: JobId, wanted: Wanted) -> Result<HttpResponse, Problem> {
    let permit = match wanted.follow {
        true => Some(Arc::clone(&door.followers).try_acquire_owned().map_err(|_| too_many())?),
        false => None,
    };
    let mut readers = Vec::new();
    let mut sizes = Vec::new();
    for stream in &wanted.streams {
        let source = source(door, id, *stream);
        sizes.push(source.sizes().await?);
        let start = match (wanted.offset, wanted.tail) {
            (Some(offset), _) => offset,
            (None, Some(lines)) => source.tail(lines).await?,
            (None, None) => 0,
        };
        readers.push(Reader::new(source, start));
    }
    let mut answer = HttpResponse::Ok();
    answer
        .content_type(if wanted.form == Form::Frames { NDJSON } else { PLAIN_TEXT })
        .insert_header((ACCEPT_RANGES, "none"))
        .insert_header((CONTENT_ENCODING, "identity"))
        .insert_header(("x-accel-buffering", "no"));
    if !wanted.follow {
        add_sizes(&mut answer, &sizes);
    }
    let follower = Follower::new(readers, wanted.form, permit, door.pass.clone());
    Ok(answer.streaming(Box::pin(follower.pieces())))
}

fn too_many() -> Problem {
    let detail = format!("{MAX_FOLLOWERS} requests follow output or events already");
    Problem::new(&kinds::TOO_MANY_REQUESTS, detail)
}
