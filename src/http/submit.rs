//! `POST /v1/jobs` and `POST /v1/jobs/batch`. What a spec must look like is `spec`'s and the model's business.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use callboard_actors::model::admission;
use callboard_actors::model::limits::{
    MAX_BATCH_BODY_BYTES, MAX_BATCH_JOBS, MAX_BODY_BYTES, MAX_IDEMPOTENCY_KEY_BYTES,
};
use callboard_actors::model::meter::Rejected;
use callboard_actors::protocol::SubmitError;
use callboard_actors::protocol::jobs::{Accepted, Submission, SubmitJobs};

use super::access::Visit;
use super::api::{BatchAnswer, BatchBody, BatchItem, JobBody, ProblemBody, SubmitBody};
use super::door::Door;
use super::problem::{Problem, Whence};
use super::{audit, body, mount, params, spec, view, wait};

/// Bytes of a batch's key that are kept free for the number of the job.
pub const BATCH_KEY_SUFFIX_BYTES: usize = 4;

/// Accepts a job. The answer comes once it is durable.
#[utoipa::path(
    post, path = "/v1/jobs", operation_id = "submit_job", tag = "jobs", request_body = SubmitBody,
    params(
        ("wait" = Option<String>, Query, description = "Answer once the job is over, at the latest after this time, for example `30s`; at most 5 minutes."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repetition with the same key and body gets the first job again."),
    ),
    responses(
        (status = 202, body = JobBody, description = "Accepted and durable.", headers(("Location" = String, description = "The job."))),
        (status = 200, body = JobBody, description = "Over within `wait`.", headers(("Location" = String, description = "The job."))),
    ),
)]
pub async fn one(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let wait_ms = params::query::<params::Wait>(&request)?.ms()?;
    let mut body: SubmitBody = body::json(&door, &request, payload, MAX_BODY_BYTES).await?;
    // Without the secret values: the platform adds them to the hash, with its key.
    let idempotency = params::key(&request, "POST /v1/jobs", &body)?;
    let secret_env = body.secret_env.take();
    let spec = counted(&door, spec::of(body, &door.platform.facts().limits))?;
    let accepted = submit(&door, Submission { secret_env, idempotency, ..spec.into() }).await?;
    let mut job = accepted.view;
    audit::touched(&request, job.record.id);
    if wait_ms > 0 && !job.status().is_terminal() {
        // The job is accepted whether or not it can be waited for.
        let waited = wait::until_over(&door, job.record.id, wait_ms).await;
        job = waited.ok().and_then(Result::ok).unwrap_or(job);
    }
    let over = wait_ms > 0 && job.status().is_terminal();
    let status = if over { StatusCode::OK } else { StatusCode::ACCEPTED };
    let body = view::full(&job);
    let mut answer = HttpResponse::build(status);
    answer.insert_header((LOCATION, params::location(&request, &body.id)));
    if accepted.replayed {
        answer.insert_header((params::REPLAYED, "true"));
    }
    params::add_tier(&mut answer, &door.platform);
    Ok(answer.json(body))
}

/// Submits one job.
pub async fn submit(door: &Door, submission: Submission) -> Result<Accepted, Problem> {
    Ok(door.platform.submit_one(submission).await?)
}

/// Counts a job that is refused before the platform sees it.
pub fn counted<T>(door: &Door, read: Result<T, Problem>) -> Result<T, Problem> {
    if read.is_err() {
        door.platform.meter().rejected[Rejected::Invalid as usize].add(1);
    }
    read
}

/// Accepts many jobs in one commit.
#[utoipa::path(
    post, path = "/v1/jobs/batch", operation_id = "submit_batch", tag = "jobs", request_body = BatchBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Holds for each job of the batch by its place in it.")),
    responses((status = 200, body = BatchAnswer, description = "One item per job, in order.")),
)]
pub async fn batch(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    let body: BatchBody = body::json(&door, &request, payload, MAX_BATCH_BODY_BYTES).await?;
    if body.jobs.len() > MAX_BATCH_JOBS {
        let detail = format!("a batch has at most {MAX_BATCH_JOBS} jobs");
        return Err(Problem::field("#/jobs", detail));
    }
    let all_or_nothing = body.all_or_nothing;
    let key = params::key_text(&request, MAX_IDEMPOTENCY_KEY_BYTES - BATCH_KEY_SUFFIX_BYTES)?;
    let specs = body.jobs.into_iter().enumerate();
    let read: Vec<_> = specs.map(|(at, job)| counted(&door, submission(&door, key, at, job))).collect();
    if all_or_nothing && read.iter().any(Result::is_err) {
        return Err(all_errors(read.into_iter().map(Result::err)));
    }
    let outcomes = submit_all(&door, read, all_or_nothing).await?;
    let base = mount::base(&request);
    let touched = |result: &Result<Accepted, Problem>| {
        result.iter().for_each(|accepted| audit::touched(&request, accepted.view.record.id));
    };
    let items = outcomes.inspect(touched).enumerate().map(|(at, result)| item(base, at, result));
    let items: Vec<_> = items.collect();
    let mut answer = HttpResponse::Ok();
    if !items.is_empty() && items.iter().all(|item| item.replayed) {
        answer.insert_header((params::REPLAYED, "true"));
    }
    params::add_tier(&mut answer, &door.platform);
    Ok(answer.json(BatchAnswer { items }))
}

fn submission(
    door: &Door,
    key: Option<&str>,
    at: usize,
    mut body: SubmitBody,
) -> Result<Submission, Problem> {
    let limits = &door.platform.facts().limits;
    let idempotency = key.map(|key| params::key_of(format!("{key}#{at}"), "POST /v1/jobs/batch", &body));
    let secret_env = body.secret_env.take();
    let spec = spec::of(body, limits)?;
    // The platform checks again; here it is known which job it is, also when one refuses them all.
    admission::check_with_secrets(&spec, &secret_env, limits).map_err(SubmitError::Invalid)?;
    Ok(Submission { secret_env, idempotency, ..spec.into() })
}

async fn submit_all(
    door: &Door,
    read: Vec<Result<Submission, Problem>>,
    all_or_nothing: bool,
) -> Result<impl Iterator<Item = Result<Accepted, Problem>>, Problem> {
    let mut jobs = Vec::with_capacity(read.len());
    let mut refused = Vec::with_capacity(read.len());
    for result in read {
        match result {
            Ok(job) => {
                jobs.push(job);
                refused.push(None);
            }
            Err(problem) => refused.push(Some(problem)),
        }
    }
    let results = match jobs.is_empty() {
        true => Vec::new(),
        false => {
            let request = SubmitJobs { jobs, all_or_nothing };
            door.platform.submit(request).await
        }
    };
    check_whole(&results, all_or_nothing)?;
    let mut results = results.into_iter();
    let outcome = move |refused: Option<Problem>| match refused {
        Some(problem) => Err(problem),
        None => results.next().unwrap_or(Err(SubmitError::Gone)).map_err(Problem::from),
    };
    Ok(refused.into_iter().map(outcome))
}

/// A refusal that concerns the whole batch is one problem, so that a client sees the 429 or 503 it must heed.
fn check_whole(results: &[Result<Accepted, SubmitError>], all_or_nothing: bool) -> Result<(), Problem> {
    let about_the_job = |error: &SubmitError| {
        use SubmitError::{Denied, Forgotten, Invalid, Isolation, KeyReused};
        matches!(error, Denied { .. } | Isolation { .. } | Invalid(_) | KeyReused | Forgotten(_))
    };
    let mut errors = results.iter().filter_map(|result| result.as_ref().err());
    let whole = all_or_nothing || errors.clone().count() == results.len();
    match errors.find(|error| all_or_nothing || !about_the_job(error)) {
        Some(error @ (SubmitError::Denied { index, .. } | SubmitError::Isolation { index, .. })) if whole => {
            Err(Problem::from(error.clone()).below(&format!("#/jobs/{index}")))
        }
        Some(error) if whole => Err(error.clone().into()),
        _ => Ok(()),
    }
}

/// Every wrong field of every job.
fn all_errors(problems: impl Iterator<Item = Option<Problem>>) -> Problem {
    let numbered = problems.enumerate().filter_map(|(at, problem)| Some((at, problem?)));
    let fields = numbered.flat_map(|(at, problem)| problem.below(&format!("#/jobs/{at}")).into_errors());
    Problem::fields(fields.collect())
}

fn item(base: &str, at: usize, result: Result<Accepted, Problem>) -> BatchItem {
    let whence = Whence { base, ..Whence::default() };
    let written = |problem: Problem| -> ProblemBody { problem.below(&format!("#/jobs/{at}")).body(whence) };
    match result {
        Ok(Accepted { view, replayed }) => BatchItem { job: Some(view::full(&view)), error: None, replayed },
        Err(problem) => BatchItem { job: None, error: Some(written(problem)), replayed: false },
    }
}
