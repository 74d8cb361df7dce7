//! `POST /v1/jobs/{id}/cancel` and `/retry`.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use callboard_actors::model::limits::{MAX_BODY_BYTES, MAX_NOTE_BYTES};
use callboard_actors::model::{CancelWish, EndReason};
use callboard_actors::protocol::jobs::CancelJob;

use super::access::Visit;
use super::api::{CancelBody, JobBody, NoBody};
use super::problem::Problem;
use super::{audit, body, params, view};

/// Cancels a job. Repeating it is harmless, and with a shorter grace shortens it.
#[utoipa::path(
    post, path = "/v1/jobs/{id}/cancel", operation_id = "cancel_job", tag = "jobs", request_body = Option<CancelBody>,
    params(("id" = String, Path, description = "The job's id or a beginning of it.")),
    responses(
        (status = 202, body = JobBody, description = "It is being ended."),
        (status = 200, body = JobBody, description = "It is cancelled, or was being cancelled already."),
    ),
)]
pub async fn cancel(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    let body: CancelBody = body::json_or_default(&door, &request, payload, MAX_BODY_BYTES).await?;
    check(&body, door.platform.facts().limits.max_grace_ms)?;
    let id = params::job(&request, &door.platform).await?;
    let before = door.platform.get(id).await?;
    let cancelling = before.record.state.lease().is_some_and(|lease| lease.cancel.is_some());
    let wish = CancelWish {
        reason: EndReason::User,
        note: body.note,
        grace_ms: body.grace_ms.unwrap_or(before.record.spec.grace_ms),
    };
    let after = door.platform.cancel(CancelJob { id, wish }).await?;
    let settled = cancelling || after.status().is_terminal();
    let status = if settled { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(HttpResponse::build(status).json(view::full(&after)))
}

fn check(body: &CancelBody, max_grace_ms: u64) -> Result<(), Problem> {
    if body.grace_ms.is_some_and(|grace_ms| grace_ms > max_grace_ms) {
        let detail = format!("grace_ms is at most {max_grace_ms} (limit max_grace)");
        return Err(Problem::field("#/grace_ms", detail));
    }
    let fine = |note: &String| note.len() <= MAX_NOTE_BYTES && !note.chars().any(char::is_control);
    if !body.note.as_ref().is_none_or(fine) {
        let detail = format!("note has at most {MAX_NOTE_BYTES} bytes and no control characters");
        return Err(Problem::field("#/note", detail));
    }
    Ok(())
}

/// Repeats a finished job as a new one.
#[utoipa::path(
    post, path = "/v1/jobs/{id}/retry", operation_id = "retry_job", tag = "jobs",
    params(("id" = String, Path, description = "The job's id or a beginning of it.")),
    responses((status = 201, body = JobBody, description = "The new job, with `retry_of`.", headers(("Location" = String, description = "The new job.")))),
)]
pub async fn retry(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    body::json_or_default::<NoBody>(&door, &request, payload, MAX_BODY_BYTES).await?;
    let id = params::job(&request, &door.platform).await?;
    let body = view::full(&door.platform.retry(id).await?);
    audit::touched(&request, &body.id);
    let location = params::location(&request, &body.id);
    let mut answer = HttpResponse::Created();
    params::add_tier(&mut answer, &door.platform);
    Ok(answer.insert_header((LOCATION, location)).json(body))
}
