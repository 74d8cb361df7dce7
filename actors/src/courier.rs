//! Carries the bodies of the node protocol over HTTP: one POST, one answer, each within a time and a size. It knows no
//! message and decides nothing.

use std::time::Duration;

use awc::ClientResponse;
use awc::error::PayloadError;
use awc::http::StatusCode;
use awc::http::header::{AUTHORIZATION, CONTENT_TYPE};
use bytes::Bytes;
use futures_util::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock;
use crate::tls::{self, Trust};
use crate::wire::MAX_NODE_BODY_BYTES;

/// Longest that a peer may take to answer what it does not hold.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of an error that are shown.
const SHOWN_CHARS: usize = 300;
/// First pause after a failure.
const FIRST_PAUSE_MS: u64 = 100;
/// Pause before a peer is asked again that has refused to let us in: nothing changes that but a person.
pub const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// Longest pause between two tries.
pub const MAX_PAUSE_MS: u64 = 10_000;

/// Why a body did not come over, or its answer not back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CourierError {
    /// No answer: nobody knows whether the body came over.
    #[error("no answer from {peer}: {why}")]
    Unreachable {
        /// Where.
        peer: String,
        /// What happened.
        why: String,
    },
    /// An answer that is no success.
    #[error("{peer} answered {status}: {detail}")]
    Refused {
        /// Where.
        peer: String,
        /// The status.
        status: u16,
        /// The kind of problem, when the answer names one.
        kind: Option<String>,
        /// What it says.
        detail: String,
    },
    /// An answer that cannot be read.
    #[error("{peer} does not answer like a callboard: {why}")]
    Garbled {
        /// Where.
        peer: String,
        /// What is wrong.
        why: String,
    },
}

impl CourierError {
    /// Whether the peer refused with this status.
    pub fn is_status(&self, wanted: u16) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == wanted)
    }

    /// Whether the peer does not let us in.
    pub fn is_not_let_in(&self) -> bool {
        self.is_status(401) || self.is_status(403)
    }

    /// Whether the peer named this kind of problem.
    pub fn is_kind(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { kind: Some(kind), .. } if kind == wanted)
    }
}

/// What a problem says, as far as it matters here.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct ProblemText {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    detail: String,
}

/// Where a peer is, and what is said before anything else.
#[derive(Clone, Default)]
pub struct Peer {
    /// Its address; what its API is mounted below is part of it.
    pub url: String,
    /// What it is shown.
    pub token: Option<String>,
    /// How it is known, where its address is one with TLS.
    pub trust: Trust,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A client of HTTP as all of us use it: it counts no connections, for each has few, follows nobody elsewhere, and has no
/// timeout of its own. `keep_alive` is how long a connection is kept for the next request.
pub fn http_client(trust: &Trust, connect: Duration, keep_alive: Option<Duration>) -> awc::Client {
    let mut connector = awc::Connector::new().limit(0).timeout(connect).handshake_timeout(connect);
    if let Some(keep_alive) = keep_alive {
        connector = connector.conn_keep_alive(keep_alive);
    }
    if let Some(config) = trust.config() {
        connector = connector.rustls_0_23(config);
    }
    awc::Client::builder().connector(connector).disable_redirects().disable_timeout().finish()
}

/// A way to one peer.
#[derive(Clone)]
pub struct Courier {
    client: awc::Client,
    base: String,
    token: Option<String>,
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Courier {
    /// A way to the peer.
    pub fn to(peer: &Peer) -> Self {
        // What is kept open longer than its server keeps it would be cut under the next request.
        let client = http_client(&peer.trust, CONNECT_TIMEOUT, Some(Duration::from_secs(4)));
        Self { client, base: peer.url.trim_end_matches('/').to_owned(), token: peer.token.clone() }
    }

    /// The same way, showing another token.
    #[must_use]
    pub fn showing(&self, token: Option<String>) -> Self {
        Self { token, ..self.clone() }
    }

    /// Where it leads.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a body and reads the answer, which the peer may hold for `hold`.
    ///
    /// # Errors
    /// [`CourierError`].
    pub async fn post<B: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        hold: Duration,
    ) -> Result<A, CourierError> {
        let patience = hold + ANSWER_TIMEOUT;
        let begun = clock::moment();
        let bytes = serde_json::to_vec(body).map_err(|error| self.garbled(error))?;
        let request = self.client.post(format!("{}{path}", self.base)).timeout(patience);
        let request = self.shown(request).insert_header((CONTENT_TYPE, "application/json"));
        let sent = request.send_body(bytes).await.map_err(|error| self.unreachable(error))?;
        self.read(sent, patience.saturating_sub(begun.elapsed())).await
    }

    /// Asks for what is there.
    ///
    /// # Errors
    /// [`CourierError`].
    pub async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, CourierError> {
        let request = self.client.get(format!("{}{path}", self.base)).timeout(ANSWER_TIMEOUT);
        let sent = self.shown(request).send().await.map_err(|error| self.unreachable(error))?;
        self.read(sent, ANSWER_TIMEOUT).await
    }

    async fn read<A, S>(&self, mut answer: ClientResponse<S>, patience: Duration) -> Result<A, CourierError>
    where
        A: DeserializeOwned,
        S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    {
        let read = tokio::time::timeout(patience, answer.body().limit(MAX_NODE_BODY_BYTES)).await;
        let body = read.map_err(|error| self.unreachable(error))?.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| self.garbled(error));
        }
        Err(self.refused(status, &body))
    }

    fn shown(&self, request: awc::ClientRequest) -> awc::ClientRequest {
        match &self.token {
            Some(token) => request.insert_header((AUTHORIZATION, format!("Bearer {token}"))),
            None => request,
        }
    }

    fn unreachable(&self, why: impl std::fmt::Display) -> CourierError {
        let why = why.to_string();
        let advice = tls::advice(&why).map(|advice| format!(" ({advice})")).unwrap_or_default();
        CourierError::Unreachable { peer: self.base.clone(), why: why + &advice }
    }

    fn garbled(&self, why: impl std::fmt::Display) -> CourierError {
        CourierError::Garbled { peer: self.base.clone(), why: why.to_string() }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> CourierError {
        let problem: ProblemText = serde_json::from_slice(body).unwrap_or_default();
        let kind = problem.kind.rsplit('/').next().filter(|kind| !kind.is_empty()).map(str::to_owned);
        let words = if problem.detail.is_empty() { problem.title } else { problem.detail };
        let shown: String = words.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect();
        CourierError::Refused { peer: self.base.clone(), status: status.as_u16(), kind, detail: shown }
    }
}

/// Pauses between tries: each may be twice as long as the last one, and is as long as chance says, so that many who lost
/// the same peer do not come back at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pauses {
    failures: u32,
}

impl Pauses {
    /// It went well.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait now.
    pub fn after_failure(&mut self) -> Duration {
        let most = FIRST_PAUSE_MS.saturating_mul(1 << self.failures.min(16)).min(MAX_PAUSE_MS);
        self.failures = self.failures.saturating_add(1);
        let chance = getrandom::u32().unwrap_or(u32::MAX / 2);
        Duration::from_millis(most * u64::from(chance) / u64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_start_over() {
        let mut pauses = Pauses::default();
        for failure in 0..100 {
            let bound = (FIRST_PAUSE_MS << failure.min(16)).min(MAX_PAUSE_MS);
            assert!(pauses.after_failure() <= Duration::from_millis(bound), "{failure}");
        }
        pauses.reset();
        assert!(pauses.after_failure() <= Duration::from_millis(FIRST_PAUSE_MS));
    }

    #[test]
    fn a_refusal_tells_its_kind_and_words() {
        let courier = Courier::to(&Peer { url: "http://127.0.0.1:1/".into(), ..Peer::default() });
        let body = br#"{"type":"http://x/problems/superseded","title":"T","detail":"a later\nlife"}"#;
        let error = courier.refused(StatusCode::CONFLICT, body);
        assert!(error.is_status(409) && error.is_kind("superseded"));
        assert_eq!(error.to_string(), "http://127.0.0.1:1 answered 409: a laterlife");
        assert!(courier.refused(StatusCode::NOT_FOUND, b"<html>").is_status(404));
    }
}
