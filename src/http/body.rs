//! Reads a request's body within a size and a time, and JSON out of it. It knows no field of any body.

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};
use callboard_actors::clock;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use super::api::FieldProblem;
use super::door::Door;
use super::object::Object;
use super::problem::Problem;
use super::{gate, kinds};

/// Most characters that are shown of what is wrong in a body, before it is cut.
const MAX_SHOWN_CHARS: usize = 300;

/// Most bytes of a body that is too large that are still read and thrown away, so that a client that sends before it
/// listens hears why it was refused.
const MAX_DISCARDED_BYTES: usize = 32 << 20;

/// Reads a JSON body of at most `max` bytes.
pub async fn json<T: DeserializeOwned>(
    door: &Door,
    request: &HttpRequest,
    payload: Payload,
    max: usize,
) -> Result<T, Problem> {
    check_type(request, "application/json")?;
    let bytes = read(door, request, payload, max).await?;
    if bytes.is_empty() {
        return Err(Problem::new(&kinds::VALIDATION, "a JSON body is needed"));
    }
    require_type(request)?;
    parse(&bytes)
}

/// Reads a JSON body that may be absent.
pub async fn json_or_default<T: DeserializeOwned + Default>(
    door: &Door,
    request: &HttpRequest,
    payload: Payload,
    max: usize,
) -> Result<T, Problem> {
    let bytes = read(door, request, payload, max).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    check_type(request, "application/json")?;
    require_type(request)?;
    parse(&bytes)
}

/// Refuses another media type than `wanted`, and compressed bodies.
pub fn check_type(request: &HttpRequest, wanted: &str) -> Result<(), Problem> {
    let headers = request.headers();
    let named = headers.get(header::CONTENT_TYPE).map(|value| {
        let text = value.to_str().unwrap_or("?");
        text.split(';').next().unwrap_or(text).trim()
    });
    if let Some(other) = named.filter(|named| !named.eq_ignore_ascii_case(wanted)) {
        let detail = format!("the body is `{other}`, not `{wanted}`");
        return Err(Problem::new(&kinds::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = "compressed bodies are not read: send it as it is";
        return Err(Problem::new(&kinds::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    Ok(())
}

/// A page of another site can send a body without a type that it may not name; ours must name it.
fn require_type(request: &HttpRequest) -> Result<(), Problem> {
    if request.headers().contains_key(header::CONTENT_TYPE) {
        return Ok(());
    }
    let detail = "send the body with `Content-Type: application/json`";
    Err(Problem::new(&kinds::UNSUPPORTED_MEDIA_TYPE, detail))
}

/// Reads a body of at most `max` bytes, and judges its sender again: a body may come slowly, and who was let in with its
/// head may be nobody when it is whole.
pub async fn read(
    door: &Door,
    request: &HttpRequest,
    payload: Payload,
    max: usize,
) -> Result<Bytes, Problem> {
    let read = arrive(door, request, payload, max).await;
    gate::still(door)?;
    read
}

async fn arrive(
    door: &Door,
    request: &HttpRequest,
    mut payload: Payload,
    max: usize,
) -> Result<Bytes, Problem> {
    let begun = clock::moment();
    let collected = tokio::time::timeout(door.body_timeout, collect(request, &mut payload, max));
    match collected.await {
        Ok(Err(problem)) if problem.kind() == &kinds::PAYLOAD_TOO_LARGE => {
            let rest = door.body_timeout.saturating_sub(begun.elapsed());
            // Whether the rest comes or not, the answer is the same.
            let _ = tokio::time::timeout(rest, discard(&mut payload)).await;
            Err(problem)
        }
        Ok(result) => result,
        Err(_) => {
            let seconds = door.body_timeout.as_secs();
            let detail = format!("the body did not arrive within {seconds} s");
            Err(Problem::new(&kinds::REQUEST_TIMEOUT, detail))
        }
    }
}

async fn collect(request: &HttpRequest, payload: &mut Payload, max: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body is larger than {max} bytes");
        Problem::new(&kinds::PAYLOAD_TOO_LARGE, detail)
    };
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|announced| announced > max) {
        return Err(too_large());
    }
    let Some(first) = payload.next().await else {
        return Ok(Bytes::new());
    };
    let first = first.map_err(broken)?;
    if announced == Some(first.len()) {
        return Ok(first);
    }
    let mut all = BytesMut::from(&first[..]);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(broken)?;
        if all.len() + chunk.len() > max {
            return Err(too_large());
        }
        all.extend_from_slice(&chunk);
    }
    if all.len() > max { Err(too_large()) } else { Ok(all.freeze()) }
}

fn broken(error: actix_web::error::PayloadError) -> Problem {
    Problem::new(&kinds::BAD_REQUEST, format!("the body could not be read: {error}"))
}

async fn discard(payload: &mut Payload) {
    let mut seen = 0;
    while let Some(Ok(chunk)) = payload.next().await {
        seen += chunk.len();
        if seen > MAX_DISCARDED_BYTES {
            return;
        }
    }
}

/// Reads a JSON object. What is not JSON is a malformed request; what is JSON of another shape is an invalid one.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    match serde_json::from_slice(bytes) {
        Ok(Object(body)) => Ok(body),
        Err(error) => Err(explain::<T>(bytes, &error)),
    }
}

/// Finds the field that is wrong. It reads the body a second time, which only a wrong body costs.
fn explain<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return Problem::new(&kinds::MALFORMED_JSON, error.to_string());
    }
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Problem::field("#", "a JSON object is needed");
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let found = serde_path_to_error::deserialize::<_, Object<T>>(&mut reader).err();
    let detail = strip_position(error);
    let path = found.map(|found| pointer(found.path())).unwrap_or_default();
    let named = match quoted(&detail, "unknown field `").or_else(|| quoted(&detail, "missing field `")) {
        Some(name) if !path.ends_with(&format!("/{name}")) => format!("/{name}"),
        _ => String::new(),
    };
    let pointer = bounded(&format!("#{path}{named}"));
    Problem::fields(vec![FieldProblem { pointer, detail }])
}

fn strip_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    bounded(text.strip_suffix(&position).unwrap_or(&text))
}

/// A value that is wrong is shown, but not a long one whole.
fn bounded(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        // The end says what was expected.
        Some((cut, _)) => {
            let end = text.char_indices().nth_back(MAX_SHOWN_CHARS / 2).map_or(cut, |(at, _)| at.max(cut));
            format!("{}…{}", &text[..cut], &text[end..])
        }
        None => text.to_owned(),
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")))
            }
            Segment::Enum { variant } => pointer.push_str(&format!("/{variant}")),
            Segment::Unknown => {}
        }
    }
    pointer
}

fn quoted<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let start = text.find(before)? + before.len();
    text[start..].split('`').next()
}

#[cfg(test)]
mod tests {
    use super::super::api::{BatchBody, SubmitBody};
    use super::super::problem::Whence;
    use super::*;

    fn refused<T: DeserializeOwned>(text: &str) -> (&'static str, String, String) {
        let problem = parse::<T>(text.as_bytes()).err().expect("refused");
        let body = problem.body(Whence::default());
        let pointer = body.errors.first().map(|error| error.pointer.clone());
        (problem.kind().name, pointer.unwrap_or_default(), body.detail)
    }

    #[test]
    fn a_wrong_field_is_named_by_its_pointer() {
        for (text, pointer) in [
            (r#"{"command":"true","colour":1}"#, "#/colour"),
            (r#"{"name":"x"}"#, "#/command"),
            (r#"{"command":7}"#, "#/command"),
            (r#"{"command":"x","env":{"A":1}}"#, "#/env/A"),
            (r#"{"command":"x","timeout_ms":"soon"}"#, "#/timeout_ms"),
            (r#"{"command":"x","timeout_ms":-1}"#, "#/timeout_ms"),
        ] {
            let (kind, got, detail) = refused::<SubmitBody>(text);
            assert_eq!((kind, got.as_str()), ("validation", pointer), "{text}: {detail}");
            assert!(!detail.contains("line "), "{detail}");
        }
        let long = "x".repeat(1 << 20);
        for text in [format!(r#"{{"command":"x","timeout_ms":"{long}"}}"#), format!(r#"{{"{long}":1}}"#)] {
            let (kind, pointer, detail) = refused::<SubmitBody>(&text);
            assert_eq!(kind, "validation");
            assert!(pointer.len() + detail.len() < 6 * MAX_SHOWN_CHARS && detail.contains('…'), "{detail}");
        }
        let (_, pointer, _) = refused::<BatchBody>(r#"{"jobs":[{"command":"x"},{"comand":"x"}]}"#);
        assert_eq!(pointer, "#/jobs/1/comand");
    }

    #[test]
    fn only_an_object_is_taken_for_an_object() {
        for text in ["[\"echo seq\",5]", " []", "\"echo\"", "7", "null", "[{\"command\":\"true\"}]"] {
            let (kind, pointer, detail) = refused::<SubmitBody>(text);
            assert_eq!((kind, pointer.as_str()), ("validation", "#"), "{text}: {detail}");
            assert_eq!(detail, "a JSON object is needed", "{text}");
        }
        let (_, pointer, detail) = refused::<BatchBody>(r#"{"jobs":[{"command":"x"},["x"]]}"#);
        assert_eq!(pointer, "#/jobs/1", "{detail}");
        assert!(parse::<SubmitBody>(b"\n\t {\"command\":\"true\"} ").is_ok());
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for text in ["{", "nonsense", "{\"command\":\"x\"} trailing", "\u{0}"] {
            assert_eq!(refused::<SubmitBody>(text).0, "malformed-json", "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(refused::<SubmitBody>(&format!("{{\"command\":{deep}")).0, "malformed-json");
    }
}
