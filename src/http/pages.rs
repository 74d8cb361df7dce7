//! What is served as it was built: the OpenAPI document and the explanations of problems.

use std::fmt::Write;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};

use super::access::Visit;
use super::kinds::{self, ProblemKind};
use super::problem::Problem;
use super::{mount, openapi};

const CACHE_FOR: &str = "max-age=300";

/// This API as an OpenAPI 3.1 document.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "operation",
    responses((status = 200, content_type = "application/json", body = serde_json::Value, description = "The document.")),
)]
pub async fn openapi(door: Visit, request: HttpRequest) -> HttpResponse {
    let build = |base: &str| Bytes::from(openapi::document(door.role, base, &door.platform.facts().limits));
    let document = match mount::base(&request) {
        "" => door.document.get_or_init(|| build("")).clone(),
        // A client may write one place in many ways, so these are not kept.
        base => build(base),
    };
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((CACHE_CONTROL, CACHE_FOR))
        .body(document)
}

/// Explains one type of problem.
#[utoipa::path(
    get, path = "/problems/{name}", operation_id = "explain_problem", tag = "operation",
    params(("name" = String, Path, description = "Last part of a problem's type.")),
    responses((status = 200, body = String, content_type = "text/plain", description = "What it means and what to do.")),
)]
pub async fn problem(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = request.match_info().get("name").unwrap_or_default();
    let kind = ProblemKind::named(name)
        .ok_or_else(|| Problem::new(&kinds::NOT_FOUND, "there is no problem of this name"))?;
    let mut text = format!("{} ({})\n\n{}\n", kind.title, kind.status, kind.advice);
    if let Some(seconds) = kind.retry_after_s {
        let _ = writeln!(text, "\nRepeating the request after {seconds} s may succeed.");
    }
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header((CACHE_CONTROL, CACHE_FOR))
        .body(text))
}
