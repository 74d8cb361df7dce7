//! `/v1/runners`: the nodes, and what an operator does to them. What may be done is the platform's word.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use callboard_actors::model::limits::MAX_BODY_BYTES;
use callboard_actors::model::{Cordon, NodeId, time};
use callboard_actors::protocol::{ChangeRunnerError, RunnerChange, RunnerSummary};

use super::access::Visit;
use super::api::{CordonBody, CordonWanted, DrainWanted, NoBody, RunnerBody, RunnerListBody};
use super::door::Door;
use super::problem::Problem;
use super::{audit, body, kinds, params};

/// Longest deadline of a drain, in milliseconds: ten years.
pub const MAX_DRAIN_MS: u64 = 10 * 365 * 24 * 3600 * 1000;
/// Fewest digits of a runner's id that stand for it.
const MIN_ID_DIGITS: usize = 4;

/// Lists the runners, by their names, lost ones included.
#[utoipa::path(
    get, path = "/v1/runners", operation_id = "list_runners", tag = "runners",
    responses((status = 200, body = RunnerListBody, description = "Every runner that has registered and was not removed.")),
)]
pub async fn list(door: Visit, request: HttpRequest) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    let runners = door.platform.runners().await?;
    let mut items: Vec<RunnerBody> = runners.nodes.iter().map(shown).collect();
    items.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(HttpResponse::Ok().json(RunnerListBody { items, paused: runners.paused }))
}

/// Shows a runner.
#[utoipa::path(
    get, path = "/v1/runners/{id}", operation_id = "show_runner", tag = "runners",
    params(("id" = String, Path, description = "The runner's name, its id, or a beginning of that.")),
    responses((status = 200, body = RunnerBody, description = "The runner.")),
)]
pub async fn show(door: Visit, request: HttpRequest) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    Ok(HttpResponse::Ok().json(shown(&named(&door, &request).await?)))
}

/// Gives a runner no more jobs. Those that it has go on.
#[utoipa::path(
    post, path = "/v1/runners/{id}/cordon", operation_id = "cordon_runner", tag = "runners",
    request_body = Option<CordonWanted>,
    params(("id" = String, Path, description = "The runner's name, its id, or a beginning of that.")),
    responses((status = 200, body = RunnerBody, description = "It is given no more jobs, also after it or the server was restarted.")),
)]
pub async fn cordon(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    let body: CordonWanted = body::json_or_default(&door, &request, payload, MAX_BODY_BYTES).await?;
    change(&door, &request, RunnerChange::Cordon { why: body.why.unwrap_or_default() }).await
}

/// Gives a runner no more jobs; those that it still has at the deadline are ended and wait again.
#[utoipa::path(
    post, path = "/v1/runners/{id}/drain", operation_id = "drain_runner", tag = "runners",
    request_body = Option<DrainWanted>,
    params(("id" = String, Path, description = "The runner's name, its id, or a beginning of that.")),
    responses((status = 200, body = RunnerBody, description = "It is given no more jobs; `slots_used` says how many it still has.")),
)]
pub async fn drain(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    let body: DrainWanted = body::json_or_default(&door, &request, payload, MAX_BODY_BYTES).await?;
    if body.deadline_ms.is_some_and(|ms| ms > MAX_DRAIN_MS) {
        let detail = format!("deadline_ms is at most {MAX_DRAIN_MS} (ten years); leave it out for no end");
        return Err(Problem::field("#/deadline_ms", detail));
    }
    let (why, deadline_ms) = (body.why.unwrap_or_default(), body.deadline_ms);
    change(&door, &request, RunnerChange::Drain { why, deadline_ms }).await
}

/// Gives a runner jobs again. One that was removed, and is named by its whole id, may register again.
#[utoipa::path(
    post, path = "/v1/runners/{id}/resume", operation_id = "resume_runner", tag = "runners",
    params(("id" = String, Path, description = "The runner's name, its id, or a beginning of that.")),
    responses((status = 200, body = RunnerBody, description = "It is given jobs.")),
)]
pub async fn resume(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    body::json_or_default::<NoBody>(&door, &request, payload, MAX_BODY_BYTES).await?;
    if let Some(body) = allow(&door, &request).await? {
        return Ok(HttpResponse::Ok().json(body));
    }
    change(&door, &request, RunnerChange::Resume).await
}

/// Forgets a runner that has no jobs, or is lost. It may not register again until it is resumed.
#[utoipa::path(
    delete, path = "/v1/runners/{id}", operation_id = "remove_runner", tag = "runners",
    params(("id" = String, Path, description = "The runner's name, its id, or a beginning of that.")),
    responses((status = 204, description = "Forgotten.")),
)]
pub async fn remove(door: Visit, request: HttpRequest) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    let node = named(&door, &request).await?.id;
    audit::touched(&request, node);
    door.platform.change_runner(node, RunnerChange::Remove).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Lets one that was removed register again: it is not listed, and named by its whole id.
async fn allow(door: &Door, request: &HttpRequest) -> Result<Option<RunnerBody>, Problem> {
    let asked = request.match_info().get("id").unwrap_or_default();
    let Ok(node) = asked.parse::<NodeId>() else { return Ok(None) };
    if door.platform.runners().await?.nodes.iter().any(|it| it.id == node) {
        return Ok(None);
    }
    audit::touched(request, node);
    let eligibility = door.platform.change_runner(node, RunnerChange::Resume).await?.as_str().into();
    let (id, state) = (node.to_string(), "absent".into());
    Ok(Some(RunnerBody { name: id.clone(), id, state, eligibility, ..RunnerBody::default() }))
}

async fn change(door: &Door, request: &HttpRequest, change: RunnerChange) -> Result<HttpResponse, Problem> {
    let node = named(door, request).await?.id;
    audit::touched(request, node);
    door.platform.change_runner(node, change).await?;
    let nodes = door.platform.runners().await?.nodes;
    Ok(HttpResponse::Ok().json(shown(&only(nodes, |it| it.id == node)?)))
}

/// The runner that the path means: by its id, by its name, or by a beginning of its id.
async fn named(door: &Door, request: &HttpRequest) -> Result<RunnerSummary, Problem> {
    let asked = request.match_info().get("id").unwrap_or_default();
    let nodes = door.platform.runners().await?.nodes;
    if let Ok(id) = asked.parse::<NodeId>() {
        return only(nodes, |it| it.id == id);
    }
    if asked.len() >= MIN_ID_DIGITS && !nodes.iter().any(|it| it.spec.name == asked) {
        let digits = asked.to_ascii_lowercase();
        return only(nodes, |it| it.id.to_string().starts_with(&digits));
    }
    only(nodes, |it| it.spec.name == asked)
}

/// The only one of which this holds.
fn only(nodes: Vec<RunnerSummary>, holds: impl Fn(&RunnerSummary) -> bool) -> Result<RunnerSummary, Problem> {
    let mut fitting = nodes.into_iter().filter(holds);
    match (fitting.next(), fitting.next()) {
        (Some(runner), None) => Ok(runner),
        (None, _) => Err(ChangeRunnerError::Unknown.into()),
        (Some(_), Some(_)) => {
            Err(Problem::new(&kinds::AMBIGUOUS_ID, "several runners are called so: write the id of one"))
        }
    }
}

fn shown(runner: &RunnerSummary) -> RunnerBody {
    let deadline = runner.eligibility.deadline_at_ms().map(time::rfc3339);
    let cordon = |cordon: &Cordon| CordonBody {
        by: cordon.by.clone(),
        why: cordon.why.clone(),
        since: time::rfc3339(cordon.since_ms),
        deadline,
    };
    RunnerBody {
        id: runner.id.to_string(),
        name: runner.spec.name.clone(),
        kind: runner.spec.kind.as_str().into(),
        state: runner.state.into(),
        eligibility: runner.eligibility.as_str().into(),
        cordon: runner.eligibility.cordon().map(cordon),
        slots: runner.usable_slots,
        slots_used: runner.taken,
        labels: runner.spec.labels.clone(),
        tier: runner.tier.as_str().into(),
        last_heard_ms_ago: runner.heard_ms_ago,
        version: runner.spec.version.clone(),
        address: runner.spec.address.clone(),
        incarnation: runner.incarnation.0,
    }
}
