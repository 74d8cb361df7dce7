//! The original's `POST /jobs`, `GET /jobs/{id}` and `GET /health`, as its clients know them. Richer facts stand in
//! fields that they do not read.

use actix_web::web::Payload;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use callboard_actors::model::limits::MAX_BODY_BYTES;
use callboard_actors::model::{EndReason, Exit, JobId, JobState, JobView, Outcome, Status, Stream, time};
use callboard_actors::protocol::jobs::Submission;

use super::access::Visit;
use super::api::{CompatAccepted, CompatJob, CompatSubmit, HealthBody};
use super::door::Door;
use super::gate::Stranger;
use super::problem::Problem;
use super::{audit, body, kinds, output, params, spec, submit};

/// Accepts a shell line. The answer comes once the job is durable.
#[utoipa::path(
    post, path = "/jobs", operation_id = "original_submit_job", tag = "original", request_body = CompatSubmit,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repetition with the same key and body gets the first job again.")),
    responses((status = 200, body = CompatAccepted, description = "Accepted.")),
)]
pub async fn submit(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let read = body::json::<CompatSubmit>(&door, &request, payload, MAX_BODY_BYTES).await;
    let body = read.map_err(Problem::into_validation)?;
    let idempotency = params::key(&request, "POST /jobs", &body)?;
    let spec = submit::counted(&door, spec::of_original(body, &door.platform.facts().limits))?;
    let accepted = submit::submit(&door, Submission { idempotency, judged: false, ..spec.into() }).await?;
    let job = &accepted.view;
    audit::touched(&request, job.record.id);
    let mut answer = HttpResponse::Ok();
    if accepted.replayed {
        answer.insert_header((params::REPLAYED, "true"));
    }
    params::add_tier(&mut answer, &door.platform);
    Ok(answer.json(CompatAccepted {
        job_id: job.record.id.to_string(),
        status: status(job.status()).into(),
        created_at: time::rfc3339(job.record.created_at_ms),
    }))
}

/// Shows a job.
#[utoipa::path(
    get, path = "/jobs/{id}", operation_id = "original_get_job", tag = "original",
    params(("id" = String, Path, description = "The job's whole id.")),
    responses((status = 200, body = CompatJob, description = "The job as it is.")),
)]
pub async fn show(door: Visit, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let text = request.match_info().get("id").unwrap_or_default();
    let id: JobId = text.parse().map_err(|_| Problem::new(&kinds::NOT_FOUND, "Job not found"))?;
    let job = door.platform.get(id).await?;
    Ok(HttpResponse::Ok().json(shown(&door, &job).await))
}

async fn shown(door: &Door, job: &JobView) -> CompatJob {
    let id = job.record.id;
    let mut body = CompatJob {
        job_id: id.to_string(),
        status: status(job.status()).into(),
        exit_code: None,
        stdout: None,
        stderr: None,
        runtime_ms: None,
        created_at: time::rfc3339(job.record.created_at_ms),
        completed_at: None,
        reason: job.reason().map(Into::into),
    };
    if let JobState::Ended(outcome) = &job.record.state {
        let own = output::text(door, id, Stream::Stderr, &outcome.stderr).await;
        body.exit_code = Some(exit_code(outcome));
        body.stdout = Some(output::text(door, id, Stream::Stdout, &outcome.stdout).await);
        body.stderr = Some(explained(outcome, job.record.spec.timeout_ms, own));
        body.runtime_ms = Some(outcome.usage.wall_us / 1000);
        body.completed_at = Some(time::rfc3339(outcome.finished_at_ms));
    }
    if job.status() == Status::Cancelled {
        body.reason = Some("cancelled".into());
    }
    body
}

/// The original knew four words.
fn status(status: Status) -> &'static str {
    match status {
        Status::Cancelled => Status::Failed.as_str(),
        known => known.as_str(),
    }
}

/// The original's one number: -1 for a time-out and for what never ran, -N for signal N.
pub fn exit_code(outcome: &Outcome) -> i32 {
    match (outcome.reason, outcome.exit) {
        (EndReason::Timeout, _) | (_, None) => -1,
        (_, Some(Exit::Code(code))) => code,
        (_, Some(Exit::Signal { number, .. })) => -number,
    }
}

/// The job's own stderr, below what the platform has to say about its end.
pub fn explained(outcome: &Outcome, timeout_ms: Option<u64>, own: String) -> String {
    let first = match outcome.reason {
        EndReason::Timeout => {
            let seconds = timeout_ms.unwrap_or_default() as f64 / 1000.0;
            Some(format!("Command timed out after {seconds} seconds"))
        }
        EndReason::Exited | EndReason::ExitCode | EndReason::Signal => None,
        reason if reason.status() == Status::Cancelled => None,
        _ => outcome.message.clone(),
    };
    match first {
        None => own,
        Some(first) if own.is_empty() => first,
        Some(first) => format!("{first}\n{own}"),
    }
}

/// Says that the process serves.
#[utoipa::path(
    get, path = "/health", operation_id = "health", tag = "original",
    responses((status = 200, body = HealthBody, description = "It serves.")),
)]
pub async fn health(door: Visit, request: HttpRequest) -> HttpResponse {
    let stranger = request.extensions().get::<Stranger>().is_some();
    let warnings = door.warnings.iter().cloned().chain(door.platform.warnings());
    let warnings = warnings.chain(door.audit.as_ref().and_then(|audit| audit.fault()));
    let rooms = door.platform.facts().rooms.read();
    let is_known = !stranger && rooms.verified_at_ms.is_some();
    HttpResponse::Ok().json(HealthBody {
        status: "healthy".into(),
        service: door.role.as_str().into(),
        warnings: if stranger { Vec::new() } else { warnings.collect() },
        isolation: is_known.then(|| (&rooms).into()),
    })
}
