//! `GET /v1/events`: the last things that happened, and what comes, as JSON lines. A reader reads the feed at its own
//! pace and holds nothing but a number; one that falls behind is told so. Other forms of the same feed would be chosen
//! by `Accept`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_ENCODING};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use callboard_actors::clock::{self, Moment, moment};
use callboard_actors::model::{JobId, Status, time};
use callboard_actors::protocol::PlatformHandle;
use callboard_actors::protocol::feed::{Event, EventFeed, Happening};
use callboard_actors::protocol::notices::{JobChange, JobChangeKind};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::access::{Pass, Visit};
use super::api::EventBody;
use super::door::MAX_FOLLOWERS;
use super::problem::Problem;
use super::{kinds, params};

const NDJSON: &str = "application/x-ndjson";
/// Events that are looked at at a time.
const PIECE: usize = 1024;
/// How long events gather for one write: a busy platform publishes hundreds of times a second.
const GATHER: Duration = Duration::from_millis(25);
/// How often a line is written when nothing happens, in milliseconds: so that both sides notice when the other is gone.
const HEARTBEAT_MS: u64 = 15_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    since: Option<String>,
    follow: Option<String>,
    job: Option<String>,
    topic: Option<String>,
}

/// Which events are wanted.
#[derive(Debug)]
struct Filter {
    job: Option<JobId>,
    jobs: bool,
    runners: bool,
}

impl Filter {
    fn takes(&self, what: &Happening) -> bool {
        match what {
            // How an assignment travels is between a coordinator and its nodes.
            Happening::Job(JobChange { what: JobChangeKind::Dispatched { .. }, .. }) => false,
            Happening::Job(change) => self.jobs && self.job.is_none_or(|job| job == change.id),
            Happening::Runner(_) => self.runners,
        }
    }
}

/// Where to begin, and what has to be said first.
struct Start {
    after: u64,
    restarted: bool,
}

/// The number of an event as it is given to clients.
pub fn cursor(feed: &EventFeed, seq: u64) -> String {
    format!("{}-{seq}", feed.epoch())
}

/// What clients give back: the number of an event, and the life of the platform that it is of, if that was said.
pub fn read_cursor(text: &str) -> Option<(Option<i64>, u64)> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('-') {
        Some((epoch, seq)) if digits(epoch) && digits(seq) => {
            Some((Some(epoch.parse().ok()?), seq.parse().ok()?))
        }
        None if digits(text) => Some((None, text.parse().ok()?)),
        _ => None,
    }
}

/// Tells what happened to jobs and runners, oldest first, one JSON object a line.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "read_events", tag = "operation",
    params(
        ("since" = Option<String>, Query, description = "The `id` of a line: what came after it. Without it, all that is kept; with `follow`, only what comes."),
        ("Last-Event-ID" = Option<String>, Header, description = "The same as `since`."),
        ("follow" = Option<bool>, Query, description = "Go on with what comes, with a `heartbeat` line when nothing does."),
        ("job" = Option<String>, Query, description = "Only events of this job: its id or a beginning of it."),
        ("topic" = Option<String>, Query, description = "Only these topics, separated by commas: `job`, `runner`."),
    ),
    responses((status = 200, description = "Each line is an EventBody. Where events are missing, because the reader was too slow or the server was started anew, a `gap` says so.", content_type = "application/x-ndjson", body = String)),
)]
pub async fn show(door: Visit, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query: EventsQuery = params::query(&request)?;
    check_accept(&request)?;
    let follow = params::flag("?follow", query.follow.as_deref())?;
    let feed = Arc::clone(door.platform.events());
    let start = start(&feed, &request, query.since.as_deref(), follow)?;
    let filter = filter(&door.platform, &query).await?;
    let permit = match follow {
        true => Some(Arc::clone(&door.followers).try_acquire_owned().map_err(|_| too_many())?),
        false => None,
    };
    let reader = Reader::new(door.platform.clone(), feed, filter, start, permit, door.pass.clone());
    Ok(HttpResponse::Ok()
        .content_type(NDJSON)
        .insert_header((CONTENT_ENCODING, "identity"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(Box::pin(reader.pieces())))
}

/// A client that takes none of our forms should hear so, not wait for another one.
fn check_accept(request: &HttpRequest) -> Result<(), Problem> {
    let accepted = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    let takes = |range: &str| {
        let kind = range.split(';').next().unwrap_or_default().trim();
        matches!(kind, "*/*" | "application/*" | "application/json" | "") || kind == NDJSON
    };
    if accepted.is_none_or(|ranges| ranges.split(',').any(takes)) {
        return Ok(());
    }
    Err(Problem::field("Accept", format!("events come as `{NDJSON}` only")))
}

fn start(
    feed: &EventFeed,
    request: &HttpRequest,
    since: Option<&str>,
    follow: bool,
) -> Result<Start, Problem> {
    let header = request.headers().get("last-event-id");
    let (pointer, text) = match (since, header) {
        (Some(_), Some(_)) => {
            return Err(Problem::field("?since", "since and Last-Event-ID exclude one another"));
        }
        (Some(text), None) => ("?since", text),
        (None, Some(value)) => ("Last-Event-ID", value.to_str().unwrap_or("?")),
        (None, None) => return Ok(Start { after: if follow { feed.newest() } else { 0 }, restarted: false }),
    };
    let Some((epoch, seq)) = read_cursor(text) else {
        return Err(Problem::field(pointer, "this is not the id of an event, such as 1764000000000-42"));
    };
    if epoch.is_some_and(|epoch| epoch != feed.epoch()) {
        return Ok(Start { after: 0, restarted: true });
    }
    let newest = feed.newest();
    if seq > newest {
        return Err(Problem::field(pointer, format!("the last event is {}", cursor(feed, newest))));
    }
    Ok(Start { after: seq, restarted: false })
}

async fn filter(platform: &PlatformHandle, query: &EventsQuery) -> Result<Filter, Problem> {
    let job = match &query.job {
        Some(text) => Some(params::job_named("?job", text, platform).await?),
        None => None,
    };
    let mut filter =
        Filter { job, jobs: query.topic.is_none(), runners: query.topic.is_none() && job.is_none() };
    for topic in query.topic.as_deref().into_iter().flat_map(|topics| topics.split(',')) {
        match topic.trim() {
            "job" => filter.jobs = true,
            "runner" if job.is_none() => filter.runners = true,
            "runner" => return Err(Problem::field("?topic", "runner says nothing about one job")),
            _ => return Err(Problem::field("?topic", "topic is a list of job, runner")),
        }
    }
    Ok(filter)
}

fn too_many() -> Problem {
    let detail = format!("{MAX_FOLLOWERS} requests follow output or events already");
    Problem::new(&kinds::TOO_MANY_REQUESTS, detail)
}

/// One reader of the feed.
struct Reader {
    platform: PlatformHandle,
    feed: Arc<EventFeed>,
    filter: Filter,
    after: u64,
    restarted: bool,
    written: Moment,
    permit: Option<OwnedSemaphorePermit>,
    over: bool,
    pass: Pass,
}

impl Reader {
    fn new(
        platform: PlatformHandle,
        feed: Arc<EventFeed>,
        filter: Filter,
        start: Start,
        permit: Option<OwnedSemaphorePermit>,
        pass: Pass,
    ) -> Self {
        let Start { after, restarted } = start;
        Self { platform, feed, filter, after, restarted, written: moment(), permit, over: false, pass }
    }

    fn pieces(self) -> impl stream::Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, |mut reader| async move {
            let piece = reader.next().await?;
            Some((Ok(piece), reader))
        })
    }

    /// The next lines; none when it is over: all is read, or the platform begins to stop.
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        while !self.over && out.is_empty() && self.pass.check().is_ok() {
            let full = self.advance(&mut out);
            if full {
                continue;
            }
            if self.permit.is_none() {
                self.over = true;
            } else if out.is_empty() {
                self.rest(&mut out).await;
            }
        }
        self.written = moment();
        (!out.is_empty()).then(|| out.into())
    }

    /// Writes what is there; whether there may be more.
    fn advance(&mut self, out: &mut Vec<u8>) -> bool {
        let piece = self.feed.read(self.after, PIECE);
        let why = if self.restarted { Some("restart") } else { (piece.missed > 0).then_some("behind") };
        if let Some(why) = why {
            self.restarted = false;
            let missed = (why == "behind").then_some(piece.missed);
            let gap =
                EventBody { why: Some(why.into()), missed, ..self.of_feed("gap", self.after + piece.missed) };
            write(&gap, out);
        }
        for event in piece.events.iter().filter(|event| self.filter.takes(&event.what)) {
            write(&body(&self.feed, event), out);
        }
        self.after = piece.next.max(self.after + piece.missed);
        piece.events.len() >= PIECE
    }

    /// Waits for more, for the time of a heartbeat, or for the end.
    async fn rest(&mut self, out: &mut Vec<u8>) {
        let left = Duration::from_millis(HEARTBEAT_MS.saturating_sub(self.written.elapsed_ms()));
        tokio::select! {
            () = self.platform.stopping() => self.over = true,
            _ = self.pass.ended() => self.over = true,
            () = self.feed.wait(self.after) => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(left) => write(&self.of_feed("heartbeat", self.after), out),
        }
    }

    fn of_feed(&self, event: &str, seq: u64) -> EventBody {
        EventBody {
            id: cursor(&self.feed, seq),
            at: time::rfc3339(clock::now_ms()),
            topic: "feed".into(),
            event: event.into(),
            ..EventBody::default()
        }
    }
}

fn write(body: &EventBody, out: &mut Vec<u8>) {
    // A struct of strings and numbers always has a JSON form, and a vector takes every write.
    let _ = serde_json::to_writer(&mut *out, body);
    out.push(b'\n');
}

fn body(feed: &EventFeed, event: &Event) -> EventBody {
    let line = EventBody {
        id: cursor(feed, event.seq),
        at: time::rfc3339(event.at_ms),
        topic: "job".into(),
        ..EventBody::default()
    };
    match &event.what {
        Happening::Job(change) => of_job(change, line),
        Happening::Runner(change) => EventBody {
            topic: "runner".into(),
            event: "changed".into(),
            runner: Some(change.node.to_string()),
            state: Some(change.state.into()),
            slots: Some(change.usable_slots),
            ..line
        },
    }
}

fn of_job(change: &JobChange, line: EventBody) -> EventBody {
    let mut line = EventBody { job: Some(change.id.to_string()), ..line };
    let (event, status) = match &change.what {
        JobChangeKind::Accepted => ("accepted", Some(Status::Pending)),
        JobChangeKind::Restored { status } => ("restored", Some(*status)),
        JobChangeKind::Leased { waited_ms } => {
            line.waited_ms = Some(*waited_ms);
            ("leased", Some(Status::Pending))
        }
        JobChangeKind::Dispatched { .. } => ("dispatched", None),
        JobChangeKind::Started => ("started", Some(Status::Running)),
        JobChangeKind::Requeued { .. } => ("requeued", Some(Status::Pending)),
        JobChangeKind::Ended { reason, runtime_ms, .. } => {
            line.reason = Some(reason.as_str().into());
            line.runtime_ms = *runtime_ms;
            ("ended", Some(reason.status()))
        }
        JobChangeKind::Deleted => ("deleted", None),
    };
    line.event = event.into();
    line.status = status.map(|status| status.as_str().into());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_the_round_trip_and_nonsense_is_refused() {
        let feed = EventFeed::new(1_764_000_000_000);
        assert_eq!(read_cursor(&cursor(&feed, 42)), Some((Some(1_764_000_000_000), 42)));
        assert_eq!(read_cursor("7"), Some((None, 7)));
        for text in ["", "-", "1-", "-1", "1-2-3", "+1", "a-1", "1-0x1", "99999999999999999999", " 1"] {
            assert_eq!(read_cursor(text), None, "{text}");
        }
    }
}
