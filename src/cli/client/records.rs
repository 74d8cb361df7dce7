//! Requests about many jobs: counts, what happens, what is forgotten.

use std::time::Duration;

use awc::http::Method;
use awc::http::header::{ACCEPT, CONTENT_TYPE};
use bytes::BytesMut;
use futures_util::StreamExt;

use super::{Client, Failure, NO_ANSWER, failure_of, json};
use crate::http::api::{EventBody, PruneAnswer, PruneBody, StatsBody};

/// The form in which events are read.
const EVENTS: &str = "application/x-ndjson";
/// Longest line of an event.
const MAX_EVENT_BYTES: usize = 64 << 10;
/// Longest silence of a server that is followed: it writes a line at least every 15 s.
const SILENCE: Duration = Duration::from_secs(60);

/// How a reading of events ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventsEnd {
    /// The reader wants no more.
    Left,
    /// The server wrote no more, or went away.
    Over,
}

impl Client {
    /// How it goes.
    pub async fn stats(&self) -> Result<StatsBody, Failure> {
        self.get("/v1/stats", Duration::ZERO).await
    }

    /// Forgets finished jobs, as many as one request may.
    pub async fn prune(&self, body: &PruneBody) -> Result<PruneAnswer, Failure> {
        let request = self.request(Method::POST, "/v1/jobs/prune", Duration::ZERO);
        let answer = self.answer(request, Some(json(body)?)).await?;
        self.decode(&answer)
    }

    /// Reads events line by line into `sink`; false from it ends the reading.
    pub async fn events(
        &self,
        query: &str,
        mut sink: impl AsyncFnMut(EventBody) -> bool,
    ) -> Result<EventsEnd, Failure> {
        let request = self.request(Method::GET, &format!("/v1/events?{query}"), Duration::ZERO);
        let request = request.insert_header((ACCEPT, EVENTS));
        let mut answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        if !status.is_success() {
            let body = self.whole(&mut answer).await?;
            return Err(failure_of(status.as_u16(), &body));
        }
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with(EVENTS) {
            return Err(self.stranger(format!("it has no events but `{kind}`")));
        }
        let mut waiting = BytesMut::new();
        while let Ok(Some(Ok(piece))) = actix_rt::time::timeout(SILENCE, answer.next()).await {
            waiting.extend_from_slice(&piece);
            while let Some(length) = waiting.iter().position(|byte| *byte == b'\n') {
                let line = waiting.split_to(length + 1);
                let event = serde_json::from_slice(&line).map_err(|error| {
                    Failure::new(NO_ANSWER, format!("{} does not tell events: {error}", self.base))
                })?;
                if !sink(event).await {
                    return Ok(EventsEnd::Left);
                }
            }
            if waiting.len() > MAX_EVENT_BYTES {
                return Err(Failure::new(NO_ANSWER, format!("{} writes lines without end", self.base)));
            }
        }
        Ok(EventsEnd::Over)
    }
}
