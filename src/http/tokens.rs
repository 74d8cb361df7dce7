//! `/v1/tokens`: making, listing and revoking. The rules are `access`'s business.

use std::future::Future;

use actix_web::http::header::LOCATION;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, rt};
use callboard_actors::clock;
use callboard_actors::model::access::{
    self, MAX_TOKEN_NAME_BYTES, ROLES, Scopes, TOKEN_ID_DIGITS, TokenRecord,
};
use callboard_actors::model::limits::MAX_BODY_BYTES;
use callboard_actors::model::{Tenant, time};
use callboard_actors::protocol::LookupError;

use super::access::{Draft, Refused, Visit};
use super::api::{TokenBody, TokenListBody, TokenMade, TokenWanted};
use super::door::Door;
use super::problem::Problem;
use super::{audit, body, gate, kinds, mount, params};

/// Longest time that a token may be made for, in milliseconds: ten years.
pub const MAX_TOKEN_MS: u64 = 10 * 365 * 24 * 3600 * 1000;

/// Makes a token. Its text is in this answer only.
#[utoipa::path(
    post, path = "/v1/tokens", operation_id = "create_token", tag = "operation", request_body = TokenWanted,
    responses((status = 201, body = TokenMade, description = "The token, with its text.", headers(("Location" = String, description = "The token.")))),
)]
pub async fn create(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    let wanted: TokenWanted = body::json(&door, &request, payload, MAX_BODY_BYTES).await?;
    let draft = draft(wanted)?;
    let (access, platform, pass) = (door.access.clone(), door.platform.clone(), door.pass.clone());
    let made = to_its_end(async move { access.create(&platform, &pass, draft).await }).await;
    let (token, record) = made.map_err(|refused| problem(&door, refused))?;
    audit::touched(&request, &record.id);
    log::info!(token = record.id.as_str(), tenant = record.tenant.as_str(); "token created");
    let location = format!("{}/v1/tokens/{}", mount::base(&request), record.id);
    let made = TokenMade { token, about: shown(&record) };
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(made))
}

/// In a task of its own: a client that hangs up must not leave memory and disk of two minds about a token.
async fn to_its_end<T: 'static>(
    change: impl Future<Output = Result<T, Refused>> + 'static,
) -> Result<T, Refused> {
    rt::spawn(change).await.unwrap_or(Err(Refused::Platform(LookupError::Gone)))
}

fn draft(wanted: TokenWanted) -> Result<Draft, Problem> {
    let tenant = wanted.tenant.as_deref().map_or(Ok(Tenant::DEFAULT), Tenant::named);
    let fine = |name: &String| {
        (1..=MAX_TOKEN_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
    };
    if !wanted.name.as_ref().is_none_or(fine) {
        let detail = format!("name has 1 to {MAX_TOKEN_NAME_BYTES} bytes and no control characters");
        return Err(Problem::field("#/name", detail));
    }
    if wanted.expires_in_ms.is_some_and(|ms| !(1..=MAX_TOKEN_MS).contains(&ms)) {
        let detail =
            format!("expires_in_ms is between 1 and {MAX_TOKEN_MS} (ten years); leave it out for no end");
        return Err(Problem::field("#/expires_in_ms", detail));
    }
    Ok(Draft {
        tenant: tenant.map_err(|error| Problem::field("#/tenant", error.to_string()))?,
        scopes: scopes(wanted.role.as_deref(), wanted.scopes)?,
        name: wanted.name,
        expires_in_ms: wanted.expires_in_ms,
    })
}

fn scopes(role: Option<&str>, scopes: Option<Vec<String>>) -> Result<Scopes, Problem> {
    match (role, scopes) {
        (Some(_), Some(_)) => Err(Problem::field("#/scopes", "role and scopes exclude one another")),
        (None, Some(words)) if words.is_empty() => Err(Problem::field("#/scopes", "name at least one scope")),
        (None, Some(words)) => words
            .join(",")
            .parse()
            .map_err(|error: access::BadScope| Problem::field("#/scopes", error.to_string())),
        (role, None) => access::role(role.unwrap_or("user")).ok_or_else(|| {
            let known = ROLES.map(|(name, _)| name).join(", ");
            Problem::field("#/role", format!("role is one of {known}"))
        }),
    }
}

/// Lists the tokens, the oldest first, void ones included.
#[utoipa::path(
    get, path = "/v1/tokens", operation_id = "list_tokens", tag = "operation",
    responses((status = 200, body = TokenListBody, description = "Every token, without its text.")),
)]
pub async fn list(door: Visit, request: HttpRequest) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    let items = door.access.list().iter().map(shown).collect();
    Ok(HttpResponse::Ok().json(TokenListBody { items }))
}

/// Revokes a token. No request is let in by it from the answer on, and what its holder follows ends.
#[utoipa::path(
    delete, path = "/v1/tokens/{id}", operation_id = "revoke_token", tag = "operation",
    params(("id" = String, Path, description = "The token's id.")),
    responses((status = 204, description = "Revoked, now or before.")),
)]
pub async fn revoke(door: Visit, request: HttpRequest) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    let id = request.match_info().get("id").unwrap_or_default().to_owned();
    // Whoever takes the whole token for its id must not find it in a log.
    if id.len() == TOKEN_ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        audit::touched(&request, &id);
    }
    let (access, platform, pass) = (door.access.clone(), door.platform.clone(), door.pass.clone());
    let which = id.clone();
    let revoked = to_its_end(async move { access.revoke(&platform, &pass, &which).await }).await;
    revoked.map_err(|refused| problem(&door, refused))?;
    log::info!(token = id.as_str(); "token revoked");
    Ok(HttpResponse::NoContent().finish())
}

fn shown(record: &TokenRecord) -> TokenBody {
    let status = match record.revoked_at_ms {
        Some(_) => "revoked",
        None if record.is_valid(clock::now_ms()) => "active",
        None => "expired",
    };
    TokenBody {
        id: record.id.clone(),
        name: record.name.clone(),
        tenant: record.tenant.as_str().into(),
        scopes: record.scopes.iter().map(|scope| scope.as_str().into()).collect(),
        status: status.into(),
        created_at: time::rfc3339(record.created_at_ms),
        expires_at: record.expires_at_ms.map(time::rfc3339),
        last_used_at: record.last_used_at_ms.map(time::rfc3339),
        revoked_at: record.revoked_at_ms.map(time::rfc3339),
    }
}

fn problem(door: &Door, refused: Refused) -> Problem {
    let kind = match &refused {
        Refused::FirstIsNoAdmin | Refused::LastAdmin | Refused::TooMany => &kinds::TOKEN_CONFLICT,
        Refused::NotFound => &kinds::NOT_FOUND,
        Refused::NoRandom(_) => &kinds::UNAVAILABLE,
        Refused::Ended(stop) => return gate::ended(door, *stop),
        Refused::Platform(error) => return error.clone().into(),
    };
    Problem::new(kind, refused.to_string())
}
