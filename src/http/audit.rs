//! What the audit log says: who did what to which jobs, tokens and runners, and who was not let in. It never has a secret, a
//! command or a variable in its hands. How lines reach the disk is `telemetry`'s business.

use std::cell::RefCell;
use std::fmt::Display;
use std::net::IpAddr;
use std::rc::Rc;

use actix_web::HttpRequest;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::{HttpMessage, http::StatusCode};
use callboard_actors::clock;
use callboard_actors::model::access::token_parts;
use callboard_actors::model::time::rfc3339;
use serde::Serialize;

use self::quota::Refused;
use super::access::{Caller, Peer, STOP_REASONS, Stop, Turned};
use super::door::Door;
use super::routes::Route;

mod quota;
mod shown;

pub use quota::Quota;
pub use shown::{names_token, path as shown_path};

/// Most ids that one entry names; `count` says how many there were.
const MAX_TARGETS: usize = 50;

/// One line. Members that say nothing are left out.
#[derive(Debug, Default, Serialize)]
struct Entry<'a> {
    time: String,
    action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    targets: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// Refusals of the same caller that were not noted since its entry before.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl Entry<'_> {
    fn note(self, door: &Door) {
        if let Some(audit) = &door.audit
            // A struct of strings and numbers always has a JSON form.
            && let Ok(line) = serde_json::to_string(&Entry { time: rfc3339(clock::now_ms()), ..self })
        {
            audit.note(line);
        }
    }
}

/// What a request does, by its name; none when it changes nothing. A new route does not compile without its line.
fn action(route: Route, method: &Method) -> Option<&'static str> {
    Some(match route {
        Route::Jobs | Route::V1Batch => "job.submit",
        Route::V1Jobs if method == Method::POST => "job.submit",
        Route::Execute => "job.execute",
        Route::V1Job if method == Method::DELETE => "job.delete",
        Route::V1Cancel => "job.cancel",
        Route::V1Retry => "job.retry",
        Route::V1Stdin => "job.input",
        Route::V1Prune => "prune",
        Route::V1Pause => "queue.pause",
        Route::V1Resume => "queue.resume",
        Route::V1Runner if method == Method::DELETE => "runner.remove",
        Route::V1RunnerCordon => "runner.cordon",
        Route::V1RunnerDrain => "runner.drain",
        Route::V1RunnerResume => "runner.resume",
        Route::V1Tokens if method == Method::POST => "token.create",
        Route::V1Token => "token.revoke",
        Route::NodeRegister => "runner.register",
        Route::NodeBegin => "runner.begin",
        Route::NodeOrders
        | Route::NodeAnswers
        | Route::NodeReport
        | Route::NodeBye
        | Route::NodeHello
        | Route::NodeGive
        | Route::NodeWatch
        | Route::Job
        | Route::V1Jobs
        | Route::V1Job
        | Route::V1Logs
        | Route::V1Artifacts
        | Route::V1Events
        | Route::V1Stats
        | Route::V1Runners
        | Route::V1Runner
        | Route::V1Tokens
        | Route::Metrics
        | Route::Health
        | Route::V1Version
        | Route::Livez
        | Route::Readyz
        | Route::OpenApi
        | Route::ProblemPage => return None,
    })
}

/// Whether it is noted even where nobody needs a token: what makes and feeds jobs there is left out, as there is nobody to
/// name and much to write.
fn is_noted_of_anyone(action: &str) -> bool {
    !["job.submit", "job.execute", "job.input", "job.retry"].contains(&action)
}

/// What a request turns out to do, told by whoever learns it.
#[derive(Debug, Default)]
pub struct Deed(RefCell<Told>);

#[derive(Debug, Default)]
struct Told {
    action: Option<&'static str>,
    targets: Vec<String>,
    count: u64,
}

/// The route is found.
pub fn routed(request: &HttpRequest, route: Route) {
    if let Some(deed) = request.extensions().get::<Rc<Deed>>() {
        deed.0.borrow_mut().action = action(route, request.method());
    }
}

/// The request concerns this job, token or runner.
pub fn touched(request: &HttpRequest, id: impl Display) {
    if let Some(deed) = request.extensions().get::<Rc<Deed>>() {
        let mut told = deed.0.borrow_mut();
        told.count += 1;
        if told.targets.len() < MAX_TARGETS {
            told.targets.push(id.to_string());
        }
    }
}

/// The request concerns so many jobs that nobody names.
pub fn touched_many(request: &HttpRequest, count: u64) {
    if let Some(deed) = request.extensions().get::<Rc<Deed>>() {
        deed.0.borrow_mut().count += count;
    }
}

/// Looks on while a request that may change something is answered, and notes it in the end: also when its client goes
/// away before there is an answer, since it may be done all the same.
#[derive(Debug)]
pub struct Witness<'a> {
    door: &'a Door,
    deed: Rc<Deed>,
    caller: Option<Caller>,
    peer: Option<IpAddr>,
    request_id: String,
    result: Option<u16>,
}

impl<'a> Witness<'a> {
    /// Begins to look on; none where nothing is to be noted.
    pub fn of(door: &'a Door, request: &ServiceRequest, request_id: &str) -> Option<Self> {
        let changes = ![Method::GET, Method::HEAD].contains(request.method());
        if door.audit.is_none() || !changes {
            return None;
        }
        let deed = Rc::new(Deed::default());
        let caller = request.extensions().get::<Caller>().cloned();
        request.extensions_mut().insert(Rc::clone(&deed));
        let peer = request.peer_addr().map(|peer| peer.ip());
        Some(Self { door, deed, caller, peer, request_id: request_id.into(), result: None })
    }

    /// There is an answer.
    pub fn answered(mut self, status: StatusCode) {
        self.result = Some(status.as_u16());
    }
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        let told = self.deed.0.borrow();
        let identity = self.caller.as_ref().and_then(Caller::identity);
        let noted = |action: &&str| identity.is_some() || is_noted_of_anyone(action);
        let Some(action) = told.action.filter(|action| noted(action)) else {
            return;
        };
        let refused = self.result.is_some_and(|status| [401, 403].contains(&status));
        let left_out = match (refused, identity) {
            (false, _) => Some(0),
            (true, Some(identity)) => self.door.refusals.take(Refused::Token(identity.token_id.to_owned())),
            (true, None) => self.door.refusals.take(Refused::Peer(Peer::of(self.peer))),
        };
        let Some(left_out) = left_out else {
            return;
        };
        Entry {
            action,
            result: self.result,
            left_out: said(left_out),
            reason: self.result.is_none().then_some("client_gone"),
            peer: self.peer,
            token_id: identity.map(|identity| identity.token_id),
            token_name: identity.and_then(|identity| identity.token_name),
            tenant: identity.map(|identity| identity.tenant.as_str()),
            targets: &told.targets,
            count: (told.count > 0).then_some(told.count),
            request_id: Some(&self.request_id),
            ..Entry::default()
        }
        .note(self.door);
    }
}

/// Somebody was not let in. Of an address that is not heard only the first time is noted.
pub fn turned_away(
    door: &Door,
    request: &ServiceRequest,
    turned: Turned,
    shown: Option<&str>,
    request_id: &str,
) {
    if door.audit.is_none() || matches!(turned.stop, Stop::Blocked { .. }) {
        return;
    }
    // The id of a token that once was valid is no secret; whatever else was shown may be one.
    let known = matches!(turned.stop, Stop::Revoked | Stop::Expired);
    let token_id = shown.filter(|_| known).and_then(token_parts).map(|(id, _)| id);
    let peer = request.peer_addr().map(|peer| peer.ip());
    let entry = |action| Entry {
        action,
        result: Some(StatusCode::UNAUTHORIZED.as_u16()),
        reason: STOP_REASONS.get(turned.stop.index()).copied(),
        peer,
        token_id,
        path: Some(shown::path(request.path())),
        request_id: Some(request_id),
        ..Entry::default()
    };
    if let Some(left_out) = door.refusals.take(Refused::Peer(Peer::of(peer))) {
        Entry { left_out: said(left_out), ..entry("auth.fail") }.note(door);
    }
    if turned.now_blocked {
        Entry { result: Some(StatusCode::TOO_MANY_REQUESTS.as_u16()), ..entry("auth.block") }.note(door);
    }
}

/// A token was valid and did not allow what its holder wanted to read.
pub fn denied(door: &Door, request: &HttpRequest, request_id: &str) {
    if door.audit.is_none() || ![Method::GET, Method::HEAD].contains(request.method()) {
        return;
    }
    let caller = request.extensions().get::<Caller>().cloned();
    let Some(identity) = caller.as_ref().and_then(Caller::identity) else {
        return;
    };
    let Some(left_out) = door.refusals.take(Refused::Token(identity.token_id.to_owned())) else {
        return;
    };
    Entry {
        action: "auth.deny",
        left_out: said(left_out),
        result: Some(StatusCode::FORBIDDEN.as_u16()),
        peer: request.peer_addr().map(|peer| peer.ip()),
        token_id: Some(identity.token_id),
        token_name: identity.token_name,
        tenant: Some(identity.tenant.as_str()),
        path: Some(shown::path(request.path())),
        request_id: Some(request_id),
        ..Entry::default()
    }
    .note(door);
}

fn said(left_out: u64) -> Option<u64> {
    Some(left_out).filter(|left_out| *left_out > 0)
}
