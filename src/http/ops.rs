//! Probes, the version, and stopping the queue. What health means is the platform's word.

use std::fmt::Write;

use actix_web::web::Payload;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use callboard_actors::model::limits::MAX_BODY_BYTES;
use callboard_actors::protocol::{Health, RunnerSummary};
use serde::Deserialize;

use super::access::Visit;
use super::api::{NoBody, QueueBody, VersionBody};
use super::door::Door;
use super::gate::Stranger;
use super::kinds;
use super::problem::Problem;
use super::{body, params};
use crate::config::Role;

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// Whether the actors answer.
#[utoipa::path(
    get, path = "/livez", operation_id = "livez", tag = "operation",
    responses((status = 200, body = String, content_type = "text/plain", description = "They do.")),
)]
pub async fn livez(door: Visit) -> Result<HttpResponse, Problem> {
    if door.platform.health().await.alive {
        Ok(HttpResponse::Ok().content_type(PLAIN_TEXT).body("ok\n"))
    } else {
        Err(Problem::new(&kinds::UNAVAILABLE, "the actors do not answer"))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadyQuery {
    verbose: Option<String>,
}

/// Whether new jobs would be accepted, and started as soon as there is room. A paused queue is an operator's will and
/// leaves this at 200: new jobs are accepted and wait.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "operation",
    params(("verbose" = Option<String>, Query, description = "One line per check, and whether the queue is paused.")),
    responses((status = 200, body = String, content_type = "text/plain", description = "They would, once the queue is not paused.")),
)]
pub async fn readyz(door: Visit, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query: ReadyQuery = params::query(&request)?;
    let stranger = request.extensions().get::<Stranger>().is_some();
    let verbose = query.verbose.is_some_and(|word| word != "false") && !stranger;
    let health = door.platform.health().await;
    let lines = checks(&health);
    if !health.is_ready() {
        let detail = if stranger { "new jobs would not start".into() } else { lines };
        return Err(Problem::new(&kinds::NOT_READY, detail));
    }
    let text = if verbose { lines + "ready\n" } else { "ok\n".into() };
    Ok(HttpResponse::Ok().content_type(PLAIN_TEXT).body(text))
}

/// One line per check, as Kubernetes writes them. That the queue is paused is told and is no failure.
fn checks(health: &Health) -> String {
    let usable = health.runners.iter().any(RunnerSummary::is_usable);
    let lines = [
        (health.alive, "actors", "they do not answer"),
        (health.store_ok, "store", "the last commit failed"),
        (!health.draining, "intake", "the node is stopping"),
        (usable, "runners", "none is ready with a usable slot"),
        (
            !health.lacks_isolation,
            "isolation",
            "rooms are less than runner.min_isolation: see `callboard doctor`",
        ),
    ];
    let mut text = String::new();
    for (fine, what, why) in lines {
        // A string takes every write.
        let _ = if fine { writeln!(text, "[+]{what} ok") } else { writeln!(text, "[-]{what} failed: {why}") };
    }
    let _ = writeln!(text, "[+]queue {}", if health.paused { "paused" } else { "running" });
    text
}

/// Who answers on this port.
#[utoipa::path(
    get, path = "/v1/version", operation_id = "version", tag = "operation",
    responses((status = 200, body = VersionBody, description = "Name and versions.")),
)]
pub async fn version(door: Visit, request: HttpRequest) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    Ok(HttpResponse::Ok().json(VersionBody {
        service: "callboard".into(),
        version: door.version.as_ref().into(),
        role: door.role.as_str().into(),
        api: if door.role == Role::Coordinator { vec!["v1".into()] } else { Vec::new() },
        host_id: door.host_id.as_ref().into(),
        job_uid: door.platform.facts().job_uid,
    }))
}

/// Starts no jobs until the queue is resumed. Jobs are accepted all the same, and running ones go on.
#[utoipa::path(
    post, path = "/v1/queue/pause", operation_id = "pause_queue", tag = "operation",
    responses((status = 200, body = QueueBody, description = "No job is started any more.")),
)]
pub async fn pause(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    set_paused(&door, &request, payload, true).await
}

/// Starts jobs again.
#[utoipa::path(
    post, path = "/v1/queue/resume", operation_id = "resume_queue", tag = "operation",
    responses((status = 200, body = QueueBody, description = "Jobs are started.")),
)]
pub async fn resume(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    set_paused(&door, &request, payload, false).await
}

async fn set_paused(
    door: &Door,
    request: &HttpRequest,
    payload: Payload,
    paused: bool,
) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(request)?;
    body::json_or_default::<NoBody>(door, request, payload, MAX_BODY_BYTES).await?;
    door.platform.pause_queue(paused).await;
    Ok(HttpResponse::Ok().json(QueueBody { paused }))
}
