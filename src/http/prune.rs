//! `POST /v1/jobs/prune`: forgets finished jobs, in rounds that each are one commit. What a job occupies is the
//! platform's word.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use callboard_actors::clock;
use callboard_actors::model::limits::MAX_BODY_BYTES;
use callboard_actors::model::{Status, StoreTotals, time};
use callboard_actors::protocol::jobs::PruneJobs;

use super::access::Visit;
use super::api::{PruneAnswer, PruneBody};
use super::problem::Problem;
use super::{audit, body, gate, params};

/// Most jobs that one request forgets, give or take a round; a client that wants more asks again.
const MAX_PRUNED_JOBS: u64 = 10_000;

/// Longest age that can be asked for, in milliseconds: more than there are between two times.
pub const MAX_AGE_MS: u64 = i64::MAX.unsigned_abs();

/// Forgets finished jobs and their output, the longest finished first. Live jobs are never forgotten.
#[utoipa::path(
    post, path = "/v1/jobs/prune", operation_id = "prune_jobs", tag = "jobs", request_body = PruneBody,
    responses((status = 200, body = PruneAnswer, description = "What was forgotten, durably; or what would be.")),
)]
pub async fn prune(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    let body: PruneBody = body::json(&door, &request, payload, MAX_BODY_BYTES).await?;
    let (before_ms, statuses) = (before(&body)?, statuses(body.status.as_deref())?);
    let mut answer = PruneAnswer {
        finished_before: time::rfc3339(before_ms),
        dry_run: body.dry_run,
        ..PruneAnswer::default()
    };
    let mut after = None;
    loop {
        // Many rounds take long.
        gate::still(&door)?;
        let round = door.platform.prune(PruneJobs {
            finished_before_ms: before_ms,
            statuses: statuses.clone(),
            after,
            dry_run: body.dry_run,
        });
        let round = round.await?;
        answer.jobs += round.jobs;
        answer.bytes = answer.bytes.saturating_add(round.bytes);
        after = round.next;
        if after.is_none() {
            break;
        }
        if !body.dry_run && answer.jobs >= MAX_PRUNED_JOBS {
            answer.more = true;
            break;
        }
    }
    audit::touched_many(&request, if body.dry_run { 0 } else { answer.jobs });
    Ok(HttpResponse::Ok().json(answer))
}

fn before(body: &PruneBody) -> Result<i64, Problem> {
    let now_ms = clock::now_ms();
    match (&body.finished_before, body.older_than_ms) {
        (Some(_), Some(_)) => {
            let detail = "finished_before and older_than_ms exclude one another";
            Err(Problem::field("#/older_than_ms", detail))
        }
        (Some(text), None) => time::parse_rfc3339(text).ok_or_else(|| {
            Problem::field("#/finished_before", "this is not a time such as 2026-11-24T16:40:00Z")
        }),
        (None, Some(age_ms)) if age_ms > MAX_AGE_MS => {
            Err(Problem::field("#/older_than_ms", format!("older_than_ms is at most {MAX_AGE_MS}")))
        }
        (None, Some(age_ms)) => Ok(now_ms.saturating_sub_unsigned(age_ms)),
        (None, None) => Ok(now_ms),
    }
}

fn statuses(words: Option<&[String]>) -> Result<Vec<Status>, Problem> {
    let Some(words) = words else {
        return Ok(Vec::new());
    };
    let known = StoreTotals::ENDS.map(Status::as_str).join(", ");
    if words.is_empty() {
        return Err(Problem::field("#/status", format!("name one of {known}, or leave it out")));
    }
    let read = |(at, word): (usize, &String)| {
        let status = Status::parse(word).filter(|status| status.is_terminal());
        status.ok_or_else(|| {
            let detail = format!("only finished jobs are forgotten: {known}");
            Problem::field(format!("#/status/{at}"), detail)
        })
    };
    words.iter().enumerate().map(read).collect()
}
