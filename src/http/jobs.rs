//! `GET /v1/jobs`, and `GET` and `DELETE /v1/jobs/{id}`. It changes nothing but by the platform's own messages.

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse};
use callboard_actors::model::limits::{DEFAULT_PAGE, MAX_PAGE};
use callboard_actors::model::{JobView, Status, Tenant, time};
use callboard_actors::protocol::jobs::{JobPage, ListJobs};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::access::Visit;
use super::api::{JobBody, JobListBody};
use super::problem::Problem;
use super::{params, view, wait};

/// Size of a list's jobs at which a page ends early, in bytes: commands may be long.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// Shows a job.
#[utoipa::path(
    get, path = "/v1/jobs/{id}", operation_id = "get_job", tag = "jobs",
    params(
        ("id" = String, Path, description = "The job's id, or its beginning if only one job's id begins so (at least 4 digits)."),
        ("wait" = Option<String>, Query, description = "Answer once the job is over, at the latest after this time, for example `30s`; at most 5 minutes."),
        ("If-None-Match" = Option<String>, Header, description = "An ETag: 304 if nothing has changed since."),
    ),
    responses(
        (status = 200, body = JobBody, description = "The job as it is.", headers(("ETag" = String, description = "Changes whenever the answer does."))),
        (status = 304, description = "Nothing has changed since."),
    ),
)]
pub async fn show(door: Visit, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let wait_ms = params::query::<params::Wait>(&request)?.ms()?;
    let id = params::job(&request, &door.platform).await?;
    let job = wait::until_over(&door, id, wait_ms).await??;
    // A struct of strings and numbers always has a JSON form.
    let body = serde_json::to_vec(&view::full(&job)).unwrap_or_default();
    let tag = etag(&body);
    if is_known(request.headers(), &tag) {
        return Ok(HttpResponse::NotModified().insert_header((header::ETAG, tag)).finish());
    }
    Ok(HttpResponse::Ok().content_type("application/json").insert_header((header::ETAG, tag)).body(body))
}

fn etag(body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    let digits: String = hash[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let fits = |known: &str| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag;
    headers
        .get_all(header::IF_NONE_MATCH)
        .filter_map(|value| value.to_str().ok())
        .any(|tags| tags.split(',').any(|known| fits(known.trim())))
}

/// Forgets a finished job and its output.
#[utoipa::path(
    delete, path = "/v1/jobs/{id}", operation_id = "delete_job", tag = "jobs",
    params(("id" = String, Path, description = "The job's id or a beginning of it.")),
    responses((status = 204, description = "Forgotten.")),
)]
pub async fn forget(door: Visit, request: HttpRequest) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    let id = params::job(&request, &door.platform).await?;
    door.platform.delete(id).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    limit: Option<String>,
    cursor: Option<String>,
    status: Option<String>,
    name: Option<String>,
    tenant: Option<String>,
    created_after: Option<String>,
    created_before: Option<String>,
}

impl ListQuery {
    /// None when it asks for a tenant that has nothing.
    fn read(self) -> Result<Option<ListJobs>, Problem> {
        let asked = self.tenant.as_deref().map(tenant).transpose()?;
        let tenant = asked.flatten();
        let query = ListJobs {
            before: self.cursor.as_deref().map(params::read_cursor).transpose()?,
            statuses: statuses(self.status.as_deref())?,
            name: self.name,
            tenant,
            created_after_ms: moment("?created_after", self.created_after)?,
            created_before_ms: moment("?created_before", self.created_before)?,
            limit: page_size(self.limit.as_deref())?,
        };
        Ok(if asked == Some(None) { None } else { Some(query) })
    }
}

fn statuses(words: Option<&str>) -> Result<Vec<Status>, Problem> {
    let Some(words) = words else {
        return Ok(Vec::new());
    };
    let read = |word: &str| {
        Status::parse(word.trim()).ok_or_else(|| {
            let known = Status::ALL.map(Status::as_str).join(", ");
            Problem::field("?status", format!("status is a list of {known}"))
        })
    };
    words.split(',').map(read).collect()
}

/// None for a name of which nothing was ever heard. It is not remembered: anybody may ask for any.
fn tenant(name: &str) -> Result<Option<Tenant>, Problem> {
    Tenant::known(name).map_err(|error| Problem::field("?tenant", error.to_string()))
}

fn moment(pointer: &str, text: Option<String>) -> Result<Option<i64>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    // A plus sign that was not escaped arrives as a space.
    match time::parse_rfc3339(&text.replace(' ', "+")) {
        Some(ms) => Ok(Some(ms)),
        None => Err(Problem::field(pointer, "this is not a time such as 2026-11-24T16:40:00Z")),
    }
}

fn page_size(text: Option<&str>) -> Result<usize, Problem> {
    let Some(text) = text else {
        return Ok(DEFAULT_PAGE);
    };
    let size = text.parse().ok().filter(|size| (1..=MAX_PAGE).contains(size));
    size.ok_or_else(|| Problem::field("?limit", format!("limit is between 1 and {MAX_PAGE}")))
}

/// Lists jobs, newest first, without their environments and output.
#[utoipa::path(
    get, path = "/v1/jobs", operation_id = "list_jobs", tag = "jobs",
    params(
        ("limit" = Option<u32>, Query, description = "Most jobs of one page: 1 to 500, 50 when absent."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("status" = Option<String>, Query, description = "Only these statuses, separated by commas."),
        ("name" = Option<String>, Query, description = "Only jobs of this name."),
        ("tenant" = Option<String>, Query, description = "Only jobs of this tenant; whoever is no admin sees the own ones only."),
        ("created_after" = Option<String>, Query, description = "Only jobs accepted at or after this time (RFC 3339)."),
        ("created_before" = Option<String>, Query, description = "Only jobs accepted before this time (RFC 3339)."),
    ),
    responses((status = 200, body = JobListBody, description = "A page.", headers(("Link" = String, description = "The next page, when there is one.")))),
)]
pub async fn list(door: Visit, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query = params::query::<ListQuery>(&request)?.read()?;
    let page = match query {
        Some(query) => door.platform.list(query).await?,
        None => JobPage::default(),
    };
    let body = page_body(page);
    let mut answer = HttpResponse::Ok();
    if let Some(cursor) = &body.next_cursor {
        let next = next_page(request.path(), request.query_string(), cursor);
        answer.insert_header((header::LINK, format!("<{next}>; rel=\"next\"")));
    }
    Ok(answer.json(body))
}

fn page_body(page: JobPage) -> JobListBody {
    let mut next = page.next;
    let mut items: Vec<JobBody> = Vec::with_capacity(page.jobs.len());
    let mut bytes = 0;
    let mut last = None;
    for job in &page.jobs {
        bytes += weight(job);
        if bytes > MAX_PAGE_BYTES && !items.is_empty() {
            next = last;
            break;
        }
        last = Some(job.record.id);
        items.push(view::listed(job));
    }
    JobListBody { items, next_cursor: next.map(params::write_cursor), has_more: next.is_some() }
}

fn weight(job: &JobView) -> usize {
    const FIXED_BYTES: usize = 1024;
    FIXED_BYTES + job.record.spec.command.byte_len()
}

fn next_page(path: &str, query: &str, cursor: &str) -> String {
    let kept = query.split('&').filter(|part| !part.is_empty() && !part.starts_with("cursor="));
    let mut parts: Vec<&str> = kept.collect();
    let cursor = format!("cursor={cursor}");
    parts.push(&cursor);
    format!("{path}?{}", parts.join("&"))
}
