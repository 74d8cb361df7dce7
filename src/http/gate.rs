//! What every request passes: a request id, the Host and Origin rules, the token, the counting, and the form of every
//! error. It reads no body and knows no route's business.

use std::rc::Rc;

use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};
use callboard_actors::clock;

use super::access::{Peer, Stop};
use super::audit::{self, Witness};
use super::door::Door;
use super::ending::{self, End};
use super::inlet::Valve;
use super::kinds::{self, ProblemKind};
use super::mount;
use super::problem::{PROBLEM_JSON, Problem, Whence};
use super::routes::Route;

/// The header that names a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Paths that a health checker without a token may ask; they tell it the status and nothing else.
const OPEN_PATHS: [&str; 3] = ["/livez", "/readyz", "/health"];

/// Mark of a request without a token at an open path: it gets the status only.
#[derive(Clone, Copy, Debug)]
pub struct Stranger;

/// Passes a request on or refuses it, and finishes the answer.
pub async fn pass(
    door: &Door,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = clock::moment();
    let in_flight = door.meter.begin();
    let id = request_id(request.headers());
    mount::note(&request);
    let valve = request.conn_data::<Rc<Valve>>().cloned();
    let entry = enter(door, &mut request, valve.as_deref(), id.to_str().unwrap_or_default());
    let had_body = !matches!(request.parts_mut().1, Payload::None);
    let witness = Witness::of(door, &request, id.to_str().unwrap_or_default());
    let answered = match entry.admitted {
        Ok(()) => next.call(request).await,
        Err(problem) => Ok(request.error_response(problem)),
    };
    drop(in_flight);
    let response = answered.map(|answered| finish(answered, id)).inspect_err(|_| {
        // Not even an answer: nothing can follow on this connection.
        valve.as_deref().into_iter().for_each(Valve::close);
    })?;
    let took_us = begun.elapsed_us();
    let route = response.request().app_data::<Route>().copied();
    let (method, status) = (response.request().method().as_str(), response.status());
    door.meter.count(route, method, status.as_u16(), took_us);
    log_request(&response, took_us);
    match witness {
        Some(witness) => witness.answered(status),
        None if status == StatusCode::FORBIDDEN => {
            audit::denied(door, response.request(), request_id_of(&response))
        }
        None => {}
    }
    if let Some(unread) = entry.unread {
        valve.as_deref().into_iter().for_each(Valve::close);
        return Ok(response.map_body(|_, body| ending::unread_with(body, unread)));
    }
    let Some(valve) = valve else {
        return Ok(response);
    };
    let drain = had_body && (status.is_client_error() || status.is_server_error());
    let end = End { valve, tokens_demanded: door.access.is_demanded(), drain };
    Ok(response.map_body(|_, body| ending::end_with(body, end)))
}

/// How a request came in.
struct Entry {
    admitted: Result<(), Problem>,
    /// The body of somebody who is not known. As long as it is kept and not asked for, it is not read.
    unread: Option<Payload>,
}

/// Judges who comes, and lets the body be read of those who are known.
fn enter(door: &Door, request: &mut ServiceRequest, valve: Option<&Valve>, id: &str) -> Entry {
    valve.into_iter().for_each(Valve::begin);
    let admitted = admit(door, request, id);
    if admitted.is_ok() && request.extensions().get::<Stranger>().is_none() {
        valve.into_iter().for_each(Valve::admit);
        return Entry { admitted, unread: None };
    }
    let body = request.take_payload();
    Entry { admitted, unread: Some(body).filter(|body| !matches!(body, Payload::None)) }
}

fn request_id_of(response: &ServiceResponse<BoxBody>) -> &str {
    response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default()
}

fn log_request(response: &ServiceResponse<BoxBody>, took_us: u64) {
    let status = response.status();
    let level = level(status);
    if !log::log_enabled!(level) {
        return;
    }
    let request = response.request();
    let path = audit::shown_path(request.path());
    log::log!(
        level,
        method = request.method().as_str(), path = path.as_str(), status = status.as_u16(),
        took_us, request_id = request_id_of(response);
        "request answered"
    );
}

/// A failure of ours is worth a warning. A 503 only asks to be tried again, and a client that sends input before its
/// job has started gets one as a rule.
fn level(status: StatusCode) -> log::Level {
    let failed = status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE;
    if failed { log::Level::Warn } else { log::Level::Debug }
}

fn admit(door: &Door, request: &ServiceRequest, id: &str) -> Result<(), Problem> {
    check_host(door, request)?;
    check_origin(request.headers())?;
    if !door.access.is_demanded() {
        return Ok(());
    }
    let shown = bearer(request.headers());
    // A probe that claims nothing is answered whatever others at its address have done.
    if shown.is_none() && OPEN_PATHS.contains(&mount::below(request)) {
        request.extensions_mut().insert(Stranger);
        return Ok(());
    }
    let peer = Peer::of(request.peer_addr().map(|peer| peer.ip()));
    let turned = match door.access.admit(peer, shown) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            return Ok(());
        }
        Err(turned) => turned,
    };
    door.meter.auth_failures[turned.stop.index()].add(1);
    audit::turned_away(door, request, turned, shown, id);
    if turned.now_blocked {
        let peer = peer.to_string();
        log::warn!(peer = peer.as_str(); "too many requests without a valid token: this address is not heard for a while");
    }
    Err(refusal(turned.stop))
}

/// What is wrong with a token is not told: a guess learns nothing but that it is wrong.
fn refusal(stop: Stop) -> Problem {
    match stop {
        Stop::Missing => unauthorized("send `Authorization: Bearer TOKEN`", "Bearer realm=\"callboard\""),
        Stop::Unknown | Stop::Revoked | Stop::Expired => {
            unauthorized("the token is not valid", "Bearer realm=\"callboard\", error=\"invalid_token\"")
        }
        Stop::Blocked { left_ms } => {
            let seconds = left_ms.div_ceil(1000);
            let detail = format!(
                "too many requests without a valid token came from this address: it is not heard for {seconds} s, \
                 whatever token it shows"
            );
            Problem::new(&kinds::TOO_MANY_FAILURES, detail).with_header(header::RETRY_AFTER, seconds.into())
        }
    }
}

/// Judges a request again that was let in: its token may have been revoked, or have expired, while its body came.
///
/// # Errors
/// The refusal of a request that comes too late.
pub(super) fn still(door: &Door) -> Result<(), Problem> {
    door.pass.check().map_err(|stop| ended(door, stop))
}

/// Counts and refuses a request that was let in by what holds no longer.
pub(super) fn ended(door: &Door, stop: Stop) -> Problem {
    door.meter.auth_failures[stop.index()].add(1);
    refusal(stop)
}

fn check_host(door: &Door, request: &ServiceRequest) -> Result<(), Problem> {
    let hosts = &door.hosts;
    let mut named = request.headers().get_all(header::HOST).peekable();
    let missing = named.peek().is_none();
    // HTTP/1.0 knows no Host header; no browser speaks it, so it cannot be the victim of a foreign page.
    let excused = request.version() < actix_web::http::Version::HTTP_11;
    if missing && !excused && !hosts.allows("") {
        return Err(Problem::new(&kinds::FORBIDDEN, "the Host header is missing"));
    }
    let in_target = request.uri().authority().map(|authority| authority.as_str());
    let in_headers = named.map(|host| host.to_str().unwrap_or("?"));
    match in_headers.chain(in_target).find(|host| !hosts.allows(host)) {
        None => Ok(()),
        Some(host) => {
            let shown: String = host.chars().take(100).collect();
            let detail = format!(
                "this server does not answer to the Host `{shown}`: use localhost, 127.0.0.1, [::1], or set allowed_hosts"
            );
            Err(Problem::new(&kinds::FORBIDDEN, detail))
        }
    }
}

/// A browser adds `Origin` to whatever a page sends elsewhere. Only pages of this very host and port may.
fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let own = |origin: &HeaderValue| {
        let origin = origin.to_str().ok()?;
        let authority = origin.split_once("://")?.1;
        Some(authority.eq_ignore_ascii_case(host?))
    };
    let foreign = |origin: &HeaderValue| !own(origin).unwrap_or(false);
    if headers.get_all(header::ORIGIN).any(foreign) {
        return Err(Problem::new(&kinds::FORBIDDEN, "requests of pages of another origin are refused"));
    }
    Ok(())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorized(detail: &str, challenge: &'static str) -> Problem {
    Problem::new(&kinds::UNAUTHORIZED, detail)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// The client's own id if it is harmless, a new one otherwise.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let harmless = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
        let secret = id.to_str().is_ok_and(audit::names_token);
        (1..=128).contains(&bytes.len()) && bytes.iter().all(plain) && !secret
    };
    if let Some(id) = headers.get(REQUEST_ID).filter(harmless) {
        return id.clone();
    }
    let mut text = [0; 36];
    let minted = clock::new_request_id();
    HeaderValue::from_str(minted.hyphenated().encode_lower(&mut text))
        .unwrap_or_else(|_| HeaderValue::from_static("none"))
}

/// Stamps an answer, and writes every error as a problem.
fn finish(response: ServiceResponse<BoxBody>, id: HeaderValue) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let mut response = if status.is_client_error() || status.is_server_error() {
        as_problem(response, status, &id)
    } else {
        response
    };
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn as_problem(
    response: ServiceResponse<BoxBody>,
    status: StatusCode,
    id: &HeaderValue,
) -> ServiceResponse<BoxBody> {
    let known = response.response().error().and_then(|error| error.as_error::<Problem>());
    let written = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON);
    let problem = match known {
        Some(problem) => problem.clone(),
        None if written => return response,
        None => Problem::new(ProblemKind::of_status(status), status.canonical_reason().unwrap_or("refused")),
    };
    let request = response.request();
    let whence =
        Whence { base: mount::base(request), instance: Some(request.path()), request_id: id.to_str().ok() };
    let answer = problem.respond(whence);
    response.into_response(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_of_ours_is_a_warning() {
        for (status, expected) in [
            (StatusCode::OK, log::Level::Debug),
            (StatusCode::UNPROCESSABLE_ENTITY, log::Level::Debug),
            (StatusCode::SERVICE_UNAVAILABLE, log::Level::Debug),
            (StatusCode::INTERNAL_SERVER_ERROR, log::Level::Warn),
        ] {
            assert_eq!(level(status), expected, "{status}");
        }
    }
}
