//! The OpenAPI document, gathered from the annotations beside the handlers. A test compares it with the route table.

use actix_web::http::StatusCode;
use callboard_actors::model::Limits;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, OpenApi as Document, Ref, ResponseBuilder, SecurityRequirement, Server,
};
use utoipa::{Modify, OpenApi};

use super::api::{EventBody, LogFrame, ProblemBody};
use super::kinds::ProblemKind;
use super::problem::PROBLEM_JSON;
use super::{
    artifacts, cancel, compat, events, execute, jobs, logs, metrics, ops, pages, prune, runners, stats,
    stdin, submit, tokens,
};
use crate::config::Role;

mod isolation;
mod precise;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Callboard",
        description = "Linux commands as jobs. Every error is an RFC 9457 problem with a request id.",
    ),
    paths(
        compat::submit, compat::show, compat::health, metrics::show,
        submit::one, submit::batch, jobs::list, jobs::show, jobs::forget,
        cancel::cancel, cancel::retry, logs::show, artifacts::show, stdin::write,
        prune::prune, events::show, stats::show,
        runners::list, runners::show, runners::cordon, runners::drain, runners::resume, runners::remove,
        ops::pause, ops::resume, tokens::create, tokens::list, tokens::revoke, ops::version, ops::livez, ops::readyz,
        pages::openapi, pages::problem,
    ),
    components(schemas(ProblemBody, LogFrame, EventBody)),
    modifiers(&Common),
)]
struct Description;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Callboard runner",
        description = "Linux commands that run while their client waits. Every error is an RFC 9457 problem with a request id.",
    ),
    paths(
        execute::execute, compat::health, metrics::show,
        ops::version, ops::livez, ops::readyz, pages::openapi, pages::problem,
    ),
    components(schemas(ProblemBody)),
    modifiers(&Common),
)]
struct RunnerDescription;

/// What holds for every operation: its errors and its token.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut Document) {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemBody"))).build();
        let refusal = |code: u16| {
            let title = StatusCode::from_u16(code).map(|status| ProblemKind::of_status(status).title);
            ResponseBuilder::new()
                .description(title.unwrap_or_default())
                .content(PROBLEM_JSON, problem.clone())
                .build()
        };
        for (path, item) in &mut document.paths.paths {
            let methods = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
            for operation in methods.into_iter().flatten() {
                for code in refusals(path, operation) {
                    operation.responses.responses.insert(code.to_string(), refusal(code).into());
                }
            }
        }
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        if let Some(components) = &mut document.components {
            components.add_security_scheme("token", bearer);
        }
        // Either of the two: a server without a token needs none.
        let token = SecurityRequirement::new("token", Vec::<String>::new());
        document.security = Some(vec![SecurityRequirement::default(), token]);
    }
}

/// The statuses that an operation may be refused with.
fn refusals(path: &str, operation: &Operation) -> Vec<u16> {
    let has_id = path.contains("{id}");
    let of_v1 = path.starts_with("/v1/");
    let has = |name: &str| operation.operation_id.as_deref() == Some(name);
    let submits = has("submit_job") || has("submit_batch") || has("original_submit_job") || has("execute");
    let reads_body = submits
        || operation.request_body.is_some()
        || has("retry_job")
        || has("resume_runner")
        || path.contains("queue");
    let mut codes = vec![401, 403, 429, 431, 500, 503];
    for (applies, more) in [
        (path.contains('{'), &[404][..]),
        (has_id && of_v1, &[409]),
        (reads_body, &[400, 408, 413, 415]),
        (of_v1 || submits || has("readyz"), &[422]),
        (submits, &[410]),
        (has("submit_job") || has("submit_batch"), &[409]),
        (has("read_logs"), &[410, 416]),
        (has("read_events"), &[404, 409]),
        (has("create_token"), &[409]),
    ] {
        codes.extend_from_slice(if applies { more } else { &[] });
    }
    codes
}

/// The document of a node of this role as JSON, for an API that is mounted at `base` and has these limits.
pub fn document(role: Role, base: &str, limits: &Limits) -> String {
    let mut document = match role {
        Role::Coordinator => Description::openapi(),
        Role::Runner => RunnerDescription::openapi(),
    };
    if !base.is_empty() {
        document.servers = Some(vec![Server::new(base)]);
    }
    // A document that was built from constants always has a JSON form.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    precise::add_to(&mut document, limits);
    document.to_string()
}
