//! `GET /v1/jobs/{id}/artifacts`: one file that a finished job left, byte for byte, with ranges. Which ones there are the
//! job itself tells.

use actix_web::http::header::{
    CONTENT_TYPE, ContentDisposition, DispositionParam, DispositionType, HeaderValue, RANGE,
};
use actix_web::{HttpRequest, HttpResponse};
use callboard_actors::model::{JobState, Kept};
use serde::Deserialize;

use super::access::Visit;
use super::output::Source;
use super::problem::Problem;
use super::served::{Served, header};
use super::{kinds, params, range};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArtifactQuery {
    path: Option<String>,
}

/// Reads one artifact.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/artifacts", operation_id = "read_artifact", tag = "output",
    params(
        ("id" = String, Path, description = "The job's id or a beginning of it."),
        ("path" = String, Query, description = "Which file: its `path` in the job's `artifacts_kept`."),
        ("Range" = Option<String>, Header, description = "One range of its bytes."),
    ),
    responses(
        (status = 200, description = "The file, byte for byte.", content_type = "application/octet-stream", body = String),
        (status = 206, description = "The range.", content_type = "application/octet-stream", body = String),
    ),
)]
pub async fn show(door: Visit, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query: ArtifactQuery = params::query(&request)?;
    let id = params::job(&request, &door.platform).await?;
    let path = query.path.ok_or_else(|| {
        Problem::field("?path", "name one of the files that the job lists in `artifacts_kept`")
    })?;
    let job = door.platform.get(id).await?;
    let JobState::Ended(outcome) = &job.record.state else {
        let detail = format!("the job is {}: its artifacts are kept when it is over", job.status().as_str());
        return Err(Problem::new(&kinds::CONFLICT, detail));
    };
    let number = outcome.artifacts.kept.iter().position(|kept| kept.path == path);
    let number = number.and_then(|number| u32::try_from(number).ok()).ok_or_else(|| {
        Problem::new(&kinds::NOT_FOUND, "the job has no such artifact: it lists them in `artifacts_kept`")
    })?;
    let source = Source { platform: door.platform.clone(), id, kept: Kept::Artifact(number) };
    let mut served = Served::begin(source, 0, header(&request, RANGE).and_then(range::parse)).await?;
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    served
        .answer
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")))
        .insert_header(attachment(name));
    Ok(served.finish())
}

/// No browser shows what a job wrote: it saves it.
fn attachment(name: String) -> ContentDisposition {
    // A header takes no control character. Who reads headers of a job's making wants a name, and not that one.
    let name = name.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![DispositionParam::Filename(name)],
    }
}
