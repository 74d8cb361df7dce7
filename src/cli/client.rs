//! Requests to a server, and what its problems mean. It knows routes, not commands.

use std::time::Duration;

use awc::ClientResponse;
use awc::error::PayloadError;
use awc::http::header::{AUTHORIZATION, CONTENT_TYPE};
use awc::http::{Method, StatusCode};
use bytes::Bytes;
use callboard_actors::clock;
use callboard_actors::courier::http_client;
use callboard_actors::model::access::{TOKEN_ID_DIGITS, TOKEN_PREFIX};
use callboard_actors::tls::{self, Trust};
use futures_util::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::exit::{Failure, NO_ANSWER};
use crate::config::Role;
use crate::http::api::{
    HealthBody, JobBody, JobListBody, NoBody, ProblemBody, QueueBody, StdinAnswer, SubmitBody, VersionBody,
};

mod body;
mod nodes;
mod output;
mod raw;
mod records;
mod tokens;

use body::{Body, BodyError};
pub use output::{Sizes, Start, bytes_of};
pub use raw::Raw;
pub use records::EventsEnd;

/// Longest silence of a server that is not asked to wait, when nobody says otherwise.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait that one request asks for, in milliseconds; longer ones are repeated.
const WAIT_STEP_MS: u64 = 20_000;
/// Pause after an answer that came earlier than asked: a server that is told to stop holds no request any more.
const EARLY_PAUSE: Duration = Duration::from_millis(250);
/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A server to talk to.
pub struct Client {
    http: awc::Client,
    base: String,
    token: Option<String>,
    patience: Duration,
    trust: Trust,
}

impl Client {
    /// A client of the server at `base`, by plain HTTP.
    pub fn new(base: &str, token: Option<String>) -> Self {
        Self::believing(base, token, Trust::default())
    }

    /// A client of the server at `base`.
    pub fn believing(base: &str, token: Option<String>, trust: Trust) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self { http: http(&trust, ANSWER_TIMEOUT), base, token, patience: ANSWER_TIMEOUT, trust }
    }

    /// The same with another longest silence.
    pub fn patient_for(self, patience: Duration) -> Self {
        Self { http: http(&self.trust, patience), patience, ..self }
    }

    fn request(&self, method: Method, path: &str, wait: Duration) -> awc::ClientRequest {
        let request = self.bare_request(method, path, wait);
        match &self.token {
            Some(token) => request.insert_header((AUTHORIZATION, format!("Bearer {token}"))),
            None => request,
        }
    }

    /// A question that everybody may ask.
    fn open_request(&self, path: &str) -> awc::ClientRequest {
        self.bare_request(Method::GET, path, Duration::ZERO)
    }

    fn bare_request(&self, method: Method, path: &str, wait: Duration) -> awc::ClientRequest {
        log::info!("{method} {}{path}", self.base);
        let timeout = self.patience.saturating_add(wait);
        self.http.request(method, format!("{}{path}", self.base)).timeout(timeout)
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> Failure {
        let error = error.to_string();
        let advice = match tls::advice(&error) {
            Some(advice) => format!("{advice} (--ca-cert, --client-cert)"),
            None => "start one with `callboard serve`, or name it with --server".into(),
        };
        let message = format!("no answer from {}: {error}: {advice}", self.base);
        Failure::new(NO_ANSWER, message)
    }

    fn broken(&self, error: &BodyError) -> Failure {
        Failure::new(NO_ANSWER, format!("{}: {error}: ask again", self.base))
    }

    /// All of an answer that is waited for no longer than is usual.
    async fn whole<S>(&self, answer: &mut ClientResponse<S>) -> Result<Bytes, Failure>
    where
        S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    {
        let body = actix_rt::time::timeout(self.patience, Body::of(answer).whole(MAX_ANSWER_BYTES)).await;
        body.map_err(|error| self.unreachable(&error))?.map_err(|error| self.broken(&error))
    }

    /// Sends a request and reads its answer; an answer that is no success is a failure with the server's own words.
    async fn answer(
        &self,
        request: awc::ClientRequest,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Bytes, Failure> {
        self.answered(request, body).await.map(|(_, body)| body)
    }

    /// The same with the status of the success.
    async fn answered(
        &self,
        mut request: awc::ClientRequest,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let mut bytes = Bytes::new();
        if let Some((kind, body)) = body {
            request = request.insert_header((CONTENT_TYPE, kind));
            bytes = body;
        }
        let mut answer = request.send_body(bytes).await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let body = self.whole(&mut answer).await?;
        if status.is_success() { Ok((status, body)) } else { Err(failure_of(status.as_u16(), &body)) }
    }

    fn decode<T: DeserializeOwned>(&self, body: &Bytes) -> Result<T, Failure> {
        serde_json::from_slice(body).map_err(|error| self.stranger(error))
    }

    /// What answers is no callboard.
    fn stranger(&self, why: impl std::fmt::Display) -> Failure {
        Failure::new(NO_ANSWER, format!("{} does not answer like a callboard: {why}", self.base))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, wait: Duration) -> Result<T, Failure> {
        let body = self.answer(self.request(Method::GET, path, wait), None).await?;
        self.decode(&body)
    }

    /// Who answers.
    pub async fn version(&self) -> Result<VersionBody, Failure> {
        self.get("/v1/version", Duration::ZERO).await
    }

    /// Submits a job; with `wait_ms` the answer may be held until it is over.
    pub async fn submit(
        &self,
        body: &SubmitBody,
        wait_ms: u64,
        key: Option<&str>,
    ) -> Result<JobBody, Failure> {
        let path = format!("/v1/jobs?wait={wait_ms}ms");
        let mut request = self.request(Method::POST, &path, Duration::from_millis(wait_ms.max(WAIT_STEP_MS)));
        if let Some(key) = key {
            request = request.insert_header(("Idempotency-Key", key));
        }
        let sent = if body.secret_env.is_empty() { json(body)? } else { json(&exposed(body)?)? };
        let body = self.answer(request, Some(sent)).await?;
        self.decode(&body)
    }

    /// Sends a body where only the acceptance matters; the answer is read, not understood.
    pub async fn post_only(&self, path: &str, body: &impl Serialize) -> Result<(), Failure> {
        let request = self.request(Method::POST, path, Duration::ZERO);
        self.answer(request, Some(json(body)?)).await.map(drop)
    }

    /// Stops (`pause`) or resumes (`resume`) the starting of jobs. A failure when the answer does not say that it is so.
    pub async fn queue(&self, verb: &str) -> Result<(), Failure> {
        let request = self.request(Method::POST, &format!("/v1/queue/{verb}"), Duration::ZERO);
        let body = self.answer(request, Some(json(&NoBody {})?)).await?;
        match self.decode::<QueueBody>(&body)? {
            answer if answer.paused == (verb == "pause") => Ok(()),
            answer => Err(self.stranger(format!("it says paused: {}", answer.paused))),
        }
    }

    /// Whether it is one of ours that answers. It needs no token, and so is shown none.
    pub async fn known(&self) -> Result<(), Failure> {
        let body = self.answer(self.open_request("/health"), None).await?;
        let health: HealthBody = self.decode(&body)?;
        match Role::named(&health.service) {
            Some(_) if health.status == "healthy" => Ok(()),
            _ => Err(self.stranger(format!("`{}` is {}", health.service, health.status))),
        }
    }

    /// Whether the server says that it is ready; a failure when it says why not. It needs no token, and so is shown none:
    /// one that does not do must not make it look unready.
    pub async fn ready(&self) -> Result<(), Failure> {
        self.answer(self.open_request("/readyz"), None).await.map(drop)
    }

    /// One job, perhaps after its end.
    pub async fn job(&self, id: &str, wait_ms: u64) -> Result<JobBody, Failure> {
        let path = format!("/v1/jobs/{}?wait={wait_ms}ms", path_safe(id)?);
        self.get(&path, Duration::from_millis(wait_ms)).await
    }

    /// One job, over.
    pub async fn ended(&self, id: &str) -> Result<JobBody, Failure> {
        self.until_over(id, None).await
    }

    /// One job, over, or as it is when the time is up.
    pub async fn until_over(&self, id: &str, limit_ms: Option<u64>) -> Result<JobBody, Failure> {
        let began = clock::moment();
        let left = || limit_ms.map_or(u64::MAX, |limit| limit.saturating_sub(began.elapsed_ms()));
        loop {
            let (asked, wait_ms) = (clock::moment(), left().min(WAIT_STEP_MS));
            let job = self.job(id, wait_ms).await?;
            let left = Duration::from_millis(left());
            if is_over(&job) || left.is_zero() {
                return Ok(job);
            }
            if asked.elapsed_ms() < wait_ms {
                actix_rt::time::sleep(EARLY_PAUSE.min(left)).await;
            }
        }
    }

    /// A page of jobs.
    pub async fn list(&self, query: &str) -> Result<JobListBody, Failure> {
        self.get(&format!("/v1/jobs?{query}"), Duration::ZERO).await
    }

    /// Does something to a job.
    pub async fn act(&self, id: &str, verb: &str, body: &impl Serialize) -> Result<JobBody, Failure> {
        let path = format!("/v1/jobs/{}/{verb}", path_safe(id)?);
        let request = self.request(Method::POST, &path, Duration::from_millis(WAIT_STEP_MS));
        let body = self.answer(request, Some(json(body)?)).await?;
        self.decode(&body)
    }

    /// Forgets a job.
    pub async fn delete(&self, id: &str) -> Result<(), Failure> {
        self.gone(&format!("/v1/jobs/{}", path_safe(id)?)).await
    }

    /// Deletes what is at a path. Only the answer that a callboard gives says that it is gone.
    async fn gone(&self, path: &str) -> Result<(), Failure> {
        match self.answered(self.request(Method::DELETE, path, Duration::ZERO), None).await? {
            (StatusCode::NO_CONTENT, _) => Ok(()),
            (status, _) => Err(self.stranger(format!("it says {status}, not that it is deleted"))),
        }
    }

    /// Hands over a piece of input.
    pub async fn input(
        &self,
        id: &str,
        offset: u64,
        bytes: Bytes,
        end: bool,
    ) -> Result<StdinAnswer, Failure> {
        let path = format!("/v1/jobs/{id}/stdin?offset={offset}&end={end}");
        let request = self.request(Method::PUT, &path, Duration::ZERO);
        let body = self.answer(request, Some(("application/octet-stream", bytes))).await?;
        self.decode(&body)
    }
}

/// Longest time to be connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

fn http(trust: &Trust, patience: Duration) -> awc::Client {
    http_client(trust, patience.min(CONNECT_TIMEOUT), None)
}

/// Percent-encodes everything but what is plain.
pub fn encode(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.,".contains(&byte);
    let one = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    value.bytes().map(one).collect()
}

/// A JSON body and its type.
fn json(body: &impl Serialize) -> Result<(&'static str, Bytes), Failure> {
    let bytes = serde_json::to_vec(body).map_err(|error| Failure::new(1, error.to_string()))?;
    Ok(("application/json", bytes.into()))
}

/// A body as it goes to the server: by itself it writes no secret value.
fn exposed(body: &SubmitBody) -> Result<serde_json::Value, Failure> {
    let mut sent = serde_json::to_value(body).map_err(|error| Failure::new(1, error.to_string()))?;
    sent["secret_env"] = body.secret_env.exposed();
    Ok(sent)
}

/// Whether a job is over.
pub fn is_over(job: &JobBody) -> bool {
    matches!(job.status.as_str(), "completed" | "failed" | "cancelled")
}

/// What a status means, in the server's own words.
pub fn failure_of(status: u16, body: &Bytes) -> Failure {
    let detail = serde_json::from_slice::<ProblemBody>(body).map(|problem| problem.detail);
    Failure::of_status(status, detail.unwrap_or_else(|_| format!("the server answered with status {status}")))
}

/// An id as a user wrote it, if it can stand in a path.
pub fn path_safe(id: &str) -> Result<&str, Failure> {
    let fine = !id.is_empty() && id.len() <= 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if fine { Ok(id) } else { Err(Failure::new(3, format!("{} is no job id", quoted(id)))) }
}

/// Longest part of what should be an id that is repeated: as long as the id of a job.
const QUOTED_CHARS: usize = 36;

/// What somebody wrote for an id, as a message may repeat it: of a token that stands where an id should, no secret, because
/// messages are kept and passed on.
pub fn named(id: &str) -> String {
    match (id.strip_prefix(TOKEN_PREFIX), token_id(id)) {
        (Some(_), Some(id)) => format!("{TOKEN_PREFIX}{id}_…"),
        (Some(_), None) => format!("{TOKEN_PREFIX}…"),
        (None, _) => match id.char_indices().nth(QUOTED_CHARS) {
            Some((end, _)) => format!("{}…", &id[..end]),
            None => id.to_owned(),
        },
    }
}

/// The same in a sentence.
pub fn quoted(id: &str) -> String {
    let hint = token_id(id).map(|id| format!(" (a token; its id is {id})")).unwrap_or_default();
    format!("`{}`{hint}", named(id))
}

/// The id in what looks like a token.
fn token_id(text: &str) -> Option<&str> {
    let (id, _) = text.strip_prefix(TOKEN_PREFIX)?.split_once('_')?;
    (id.len() == TOKEN_ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}
