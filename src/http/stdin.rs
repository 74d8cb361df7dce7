//! `PUT /v1/jobs/{id}/stdin`: hands input to a running job. Holding it back is the runner's business; here a client
//! learns how much was taken.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use callboard_actors::model::limits::MAX_INPUT_BUFFER_BYTES;
use callboard_actors::protocol::jobs::WriteJobInput;
use serde::Deserialize;

use super::access::Visit;
use super::api::StdinAnswer;
use super::problem::Problem;
use super::{body, params};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StdinQuery {
    offset: Option<String>,
    end: Option<String>,
}

/// Sends bytes to a job's input. Fewer taken than sent means: wait, then send the rest.
#[utoipa::path(
    put, path = "/v1/jobs/{id}/stdin", operation_id = "write_stdin", tag = "output",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    params(
        ("id" = String, Path, description = "The job's id or a beginning of it."),
        ("offset" = Option<u64>, Query, description = "Where the bytes start in the whole input; 0 when absent."),
        ("end" = Option<bool>, Query, description = "Whether nothing follows them."),
    ),
    responses((status = 200, body = StdinAnswer, description = "How much was taken so far.")),
)]
pub async fn write(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let query: StdinQuery = params::query(&request)?;
    let offset = params::number("?offset", query.offset.as_deref())?.unwrap_or(0);
    let end = params::flag("?end", query.end.as_deref())?;
    body::check_type(&request, "application/octet-stream")?;
    let bytes = body::read(&door, &request, payload, MAX_INPUT_BUFFER_BYTES).await?;
    let id = params::job(&request, &door.platform).await?;
    let input = WriteJobInput { id, offset, bytes, end };
    let taken = door.platform.write_input(input).await?;
    Ok(HttpResponse::Ok().json(StdinAnswer { accepted: taken.accepted, open: taken.open }))
}
