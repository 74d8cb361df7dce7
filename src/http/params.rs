//! Reads what stands in a request's path, query and headers: ids, waits, keys and cursors. Unknown query parameters
//! are refused by name.

use actix_web::http::header::HeaderName;
use actix_web::web::Query;
use actix_web::{HttpRequest, HttpResponseBuilder};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callboard_actors::model::limits::{MAX_IDEMPOTENCY_KEY_BYTES, MAX_WAIT_MS};
use callboard_actors::model::{IdempotencyKey, JobId, time};
use callboard_actors::protocol::PlatformHandle;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::{audit, kinds, mount};

/// Header with a client's promise that a repetition is not a second request.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Header of an answer that an earlier request had got already.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Header of an answer to a submit: the tier that jobs get now that ask for nothing. It is absent while that is not known.
const TIER: HeaderName = HeaderName::from_static("x-isolation-tier");

/// Fewest hexadecimal digits of a shortened id.
const MIN_PREFIX_DIGITS: usize = 4;

/// Tells who submits how far jobs are kept apart.
pub fn add_tier(answer: &mut HttpResponseBuilder, platform: &PlatformHandle) {
    if let Some(tier) = platform.facts().rooms.usual_tier() {
        answer.insert_header((TIER, tier.as_str()));
    }
}

/// The query of a path that takes none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The query of a path that can wait.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    wait: Option<String>,
}

impl Wait {
    /// How long to wait, in milliseconds, at most [`MAX_WAIT_MS`]; 0 when nothing was asked.
    pub fn ms(&self) -> Result<u64, Problem> {
        let Some(text) = &self.wait else {
            return Ok(0);
        };
        time::parse_duration_ms(text)
            .map(|ms| ms.min(MAX_WAIT_MS))
            .map_err(|error| Problem::field("?wait", error.to_string()))
    }
}

/// Reads the query; a parameter that is not known, or not of its type, is refused by name.
pub fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    read_query(request.query_string())
}

/// The same of a query's text.
pub fn read_query<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    Query::from_query(text).map(Query::into_inner).map_err(|error| {
        let text = error.to_string();
        let detail = text.trim_start_matches("Query deserialize error: ");
        let name = detail.split('`').nth(1).filter(|_| detail.contains("field"));
        Problem::field(format!("?{}", name.unwrap_or_default()), detail)
    })
}

/// A whole number in the query.
pub fn number(pointer: &str, text: Option<&str>) -> Result<Option<u64>, Problem> {
    let refuse = |_| Problem::field(pointer, "this is not a whole number");
    text.map(|text| text.parse().map_err(refuse)).transpose()
}

/// A flag in the query: `true`, `1` or nothing behind the name mean yes.
pub fn flag(pointer: &str, text: Option<&str>) -> Result<bool, Problem> {
    match text {
        Some("true" | "1" | "") => Ok(true),
        None | Some("false" | "0") => Ok(false),
        Some(_) => Err(Problem::field(pointer, "this is neither `true` nor `false`")),
    }
}

/// The job in the path: a whole id, or a beginning that fits one job only.
pub async fn job(request: &HttpRequest, platform: &PlatformHandle) -> Result<JobId, Problem> {
    let text = request.match_info().get("id").unwrap_or_default();
    match named(text, platform).await? {
        Some(id) => {
            audit::touched(request, id);
            Ok(id)
        }
        None => Err(Problem::new(&kinds::NOT_FOUND, "Job not found")),
    }
}

/// The job in a parameter of the query.
pub async fn job_named(pointer: &str, text: &str, platform: &PlatformHandle) -> Result<JobId, Problem> {
    let refuse = || {
        Problem::field(pointer, format!("this is no job's id, nor {MIN_PREFIX_DIGITS} digits or more of one"))
    };
    named(text, platform).await?.ok_or_else(refuse)
}

/// The job that is named so; none when this can be no name of a job.
async fn named(text: &str, platform: &PlatformHandle) -> Result<Option<JobId>, Problem> {
    if let Ok(id) = text.parse() {
        return Ok(Some(id));
    }
    match prefix(text) {
        Some(prefix) => Ok(Some(platform.find(prefix).await?)),
        None => Ok(None),
    }
}

/// What may be the beginning of an id, as ids are written.
pub fn prefix(text: &str) -> Option<String> {
    let digits = text.chars().filter(char::is_ascii_hexdigit).count();
    let shortened = text.chars().all(|c| c.is_ascii_hexdigit() || c == '-') && text.len() < 36;
    (shortened && digits >= MIN_PREFIX_DIGITS).then(|| text.to_ascii_lowercase())
}

/// Where a job is found, below whatever this API is mounted at.
pub fn location(request: &HttpRequest, id: &str) -> String {
    format!("{}/v1/jobs/{id}", mount::base(request))
}

/// The text of the Idempotency-Key, if there is one.
pub fn key_text(request: &HttpRequest, max_bytes: usize) -> Result<Option<&str>, Problem> {
    let mut keys = request.headers().get_all(IDEMPOTENCY_KEY);
    let Some(first) = keys.next() else {
        return Ok(None);
    };
    let fine =
        |key: &&str| (1..=max_bytes).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    match first.to_str().ok().filter(fine) {
        Some(key) if keys.next().is_none() => Ok(Some(key)),
        _ => {
            let detail =
                format!("Idempotency-Key is one header of 1 to {max_bytes} visible ASCII characters");
            Err(Problem::field("Idempotency-Key", detail))
        }
    }
}

/// The Idempotency-Key of a request for one thing, if there is one.
pub fn key<T: Serialize>(
    request: &HttpRequest,
    scope: &str,
    body: &T,
) -> Result<Option<IdempotencyKey>, Problem> {
    let key = key_text(request, MAX_IDEMPOTENCY_KEY_BYTES)?;
    Ok(key.map(|key| key_of(key.into(), scope, body)))
}

/// A key for a body: the hash covers the body as we would write it, so that spaces and the order of fields do not
/// matter, and the scope, so that one key cannot stand for two kinds of request.
pub fn key_of<T: Serialize>(key: String, scope: &str, body: &T) -> IdempotencyKey {
    let mut hash = Sha256::new();
    hash.update(scope.as_bytes());
    hash.update([0]);
    // A struct of strings and numbers always has a JSON form.
    hash.update(serde_json::to_vec(body).unwrap_or_default());
    IdempotencyKey { key, request_hash: hash.finalize().into() }
}

/// Writes where the next page starts. Opaque to clients.
pub fn write_cursor(id: JobId) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// Reads where a page starts.
pub fn read_cursor(text: &str) -> Result<JobId, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    bytes
        .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
        .map(JobId::from_bytes)
        .ok_or_else(|| Problem::field("?cursor", "this is not a cursor that a list gave out"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_actors::clock;

    #[test]
    fn a_cursor_survives_the_round_trip_and_nonsense_is_refused() {
        let id = clock::new_job_id();
        assert_eq!(read_cursor(&write_cursor(id)).ok(), Some(id));
        for text in ["", "x", "AAAA", "!!!!", &"A".repeat(100)] {
            assert!(read_cursor(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_scope_is_part_of_a_key_s_hash() {
        let hash = |scope| key_of("k".into(), scope, &1).request_hash;
        assert_eq!(hash("a"), hash("a"));
        assert_ne!(hash("a"), hash("b"));
    }
}
