//! What the types of the API cannot say of themselves: sizes, patterns and closed sets of words, each from the constant
//! that is enforced. It adds to a document and describes nothing new.

use callboard_actors::model::access::{MAX_TOKEN_NAME_BYTES, ROLES, Scope, TOKEN_ID_DIGITS};
use callboard_actors::model::eligibility::MAX_WHY_BYTES;
use callboard_actors::model::limits::{
    COMPAT_MAX_TIMEOUT_S, MAX_ARGV, MAX_BATCH_JOBS, MAX_CWD_BYTES, MAX_ENV_NAMES, MAX_IDEMPOTENCY_KEY_BYTES,
    MAX_NAME_BYTES, MAX_NOTE_BYTES, MAX_PAGE,
};
use callboard_actors::model::{Limits, Status, StoreTotals};
use serde_json::{Value, json};

use super::super::kinds;
use super::super::logs::MAX_TAIL_LINES;
use super::super::prune::MAX_AGE_MS;
use super::super::routes::Route;
use super::super::runners::MAX_DRAIN_MS;
use super::super::submit::BATCH_KEY_SUFFIX_BYTES;
use super::super::tokens::MAX_TOKEN_MS;
use super::isolation;

/// Forms that every server takes; it may take more.
const DURATION: &str = r"^([0-9]{1,6}(\.[0-9]{1,3})?|([0-9]{1,3}(ms|s|m|h|d)){1,5})$";
const ID: &str = "^[0-9a-fA-F]{4}[0-9a-fA-F-]{0,32}$";
const CURSOR: &str = "^[A-Za-z0-9_-]{21}[AQgw]$";
const EVENT: &str = "^[0-9]{1,18}(-[0-9]{1,18})?$";
const VISIBLE_ASCII: &str = "^[!-~]+$";
const NO_NUL: &str = r"^[^\u0000]*$";
const NOT_BLANK: &str = r"^[^\u0000]*[^\s\u0000][^\u0000]*$";
const NO_CONTROLS: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
const ENV_NAME: &str = "^(?!CALLBOARD_)[A-Za-z_][A-Za-z0-9_]*$";
const TENANT: &str = "^[a-z0-9][a-z0-9_-]{0,62}$";
pub(super) const BASE64: &str =
    "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)?$";

/// Adds everything to `document`.
pub fn add_to(document: &mut Value, limits: &Limits) {
    for (pointer, more) in schemas(limits).into_iter().chain(isolation::schemas()) {
        merge(document.pointer_mut(&format!("/components/schemas/{pointer}")), more);
    }
    for (pointer, more) in isolation::limits(&limits.max_job) {
        merge(document.pointer_mut(&pointer), more);
    }
    let items = document.pointer_mut("/paths").and_then(Value::as_object_mut).into_iter().flatten();
    for (path, item) in items {
        for operation in item.as_object_mut().into_iter().flat_map(|item| item.values_mut()) {
            narrow_parameters(path, operation);
            narrow_body(operation);
            isolation::add_tier(operation);
        }
    }
}

/// Where a schema says too little, below `/components/schemas`, and what it should say.
fn schemas(limits: &Limits) -> Vec<(&'static str, Value)> {
    let word = |max: usize, pattern: &str| json!({"minLength": 1, "maxLength": max, "pattern": pattern});
    // Its limit is in bytes and far away; generators of data choke on patterns that long.
    let first = json!({"type": "string", "minLength": 1, "pattern": NO_NUL});
    let line = json!({"minLength": 1, "pattern": NOT_BLANK});
    let variables = json!({"maxProperties": MAX_ENV_NAMES, "additionalProperties": {"pattern": NO_NUL},
        "propertyNames": {"pattern": ENV_NAME}});
    vec![
        ("CommandBody/oneOf/0", line.clone()),
        ("CommandBody/oneOf/1", json!({"minItems": 1, "maxItems": MAX_ARGV, "prefixItems": [first]})),
        ("CommandBody/oneOf/1/items", json!({"pattern": NO_NUL})),
        ("CompatSubmit/properties/command", line),
        (
            "CompatSubmit/properties/timeout",
            json!({"title": "CompatTimeout", "type": ["integer", "string", "null"], "minimum": 1, "maximum": COMPAT_MAX_TIMEOUT_S,
                "pattern": "^([1-9]|[1-9][0-9]|[12][0-9][0-9]|300)$"}),
        ),
        ("SubmitBody/properties/name", word(MAX_NAME_BYTES, NO_CONTROLS)),
        ("SubmitBody/properties/cwd", word(MAX_CWD_BYTES, r"^/[^\u0000]*$")),
        ("SubmitBody/properties/env", variables.clone()),
        ("SubmitBody/properties/secret_env", variables),
        ("SubmitBody/properties/timeout_ms", json!({"minimum": 1, "maximum": limits.max_timeout_ms})),
        ("SubmitBody/properties/grace_ms", json!({"maximum": limits.max_grace_ms})),
        ("CancelBody/properties/grace_ms", json!({"maximum": limits.max_grace_ms})),
        ("SubmitBody/properties/on_lost", json!({"enum": ["requeue", "never", null]})),
        ("SubmitBody/properties/on_disconnect", json!({"enum": ["keep", "kill", null]})),
        // A generated client calls them so.
        ("StdinBody/oneOf/0", json!({"title": "StdinText", "additionalProperties": false})),
        ("StdinBody/oneOf/1", json!({"title": "StdinBase64", "additionalProperties": false})),
        ("StdinBody/oneOf/1/properties/base64", json!({"pattern": BASE64})),
        ("StdinBody/oneOf/2", json!({"title": "StdinStream", "additionalProperties": false})),
        ("StdinBody/oneOf/2/properties/stream", json!({"not": {"const": false}})),
        ("PruneBody", one_of_two("finished_before", "older_than_ms")),
        ("PruneBody/properties/older_than_ms", json!({"maximum": MAX_AGE_MS})),
        ("PruneBody/properties/finished_before", json!({"format": "date-time"})),
        (
            "PruneBody/properties/status",
            json!({"minItems": 1, "items": {"enum": StoreTotals::ENDS.map(Status::as_str)}}),
        ),
        ("TokenWanted", one_of_two("role", "scopes")),
        ("TokenWanted/properties/name", word(MAX_TOKEN_NAME_BYTES, NO_CONTROLS)),
        ("TokenWanted/properties/tenant", json!({"pattern": TENANT})),
        (
            "TokenWanted/properties/role",
            json!({"enum": ROLES.iter().map(|(name, _)| Some(*name)).chain([None]).collect::<Vec<_>>()}),
        ),
        (
            "TokenWanted/properties/scopes",
            json!({"minItems": 1, "items": {"enum": Scope::ALL.map(Scope::as_str)}}),
        ),
        // In bytes, of which a character has up to four.
        ("CordonWanted/properties/why", json!({"maxLength": MAX_WHY_BYTES / 4, "pattern": NO_CONTROLS})),
        ("DrainWanted/properties/why", json!({"maxLength": MAX_WHY_BYTES / 4, "pattern": NO_CONTROLS})),
        ("DrainWanted/properties/deadline_ms", json!({"maximum": MAX_DRAIN_MS})),
        ("TokenWanted/properties/expires_in_ms", json!({"minimum": 1, "maximum": MAX_TOKEN_MS})),
        ("BatchBody/properties/jobs", json!({"maxItems": MAX_BATCH_JOBS})),
        ("CancelBody/properties/note", json!({"maxLength": MAX_NOTE_BYTES, "pattern": NO_CONTROLS})),
        ("JobBody/properties/status", json!({"enum": Status::ALL.map(Status::as_str)})),
        ("CompatJob/properties/status", json!({"enum": ["pending", "running", "completed", "failed"]})),
    ]
}

/// Two properties of which at most one is given; null is as good as absent.
fn one_of_two(one: &str, other: &str) -> Value {
    let given = json!({"not": {"type": "null"}});
    json!({"not": {"required": [one, other], "properties": {one: given, other: given}}})
}

/// What a parameter of this name is, wherever it stands.
fn parameter(path: &str, place: &str, name: &str) -> Option<Value> {
    Some(match (place, name) {
        ("path", "name") => json!({"enum": kinds::ALL.iter().map(|kind| kind.name).collect::<Vec<_>>()}),
        ("path", "id") if path == Route::Job.path() => json!({"format": "uuid"}),
        ("path", "id") if path == Route::V1Token.path() => {
            json!({"pattern": format!("^[0-9a-f]{{{TOKEN_ID_DIGITS}}}$")})
        }
        ("path", "id") => json!({"pattern": ID}),
        ("query", "wait") => json!({"pattern": DURATION}),
        ("query", "limit") => json!({"minimum": 1, "maximum": MAX_PAGE}),
        ("query", "tail") => json!({"maximum": MAX_TAIL_LINES}),
        ("query", "cursor") => json!({"pattern": CURSOR}),
        ("query", "status") => {
            let word = Status::ALL.map(Status::as_str).join("|");
            json!({"pattern": format!("^({word})(,({word}))*$")})
        }
        ("query", "tenant") => json!({"pattern": TENANT}),
        ("query", "job") => json!({"pattern": ID}),
        ("query", "since") | ("header", "Last-Event-ID") => json!({"pattern": EVENT}),
        ("query", "topic") => json!({"pattern": "^(job|runner)(,(job|runner))*$"}),
        ("query", "stream") => json!({"enum": ["stdout", "stderr", "all"]}),
        ("query", "created_after" | "created_before") => json!({"format": "date-time"}),
        ("header", "Idempotency-Key") => {
            let kept_free = if path == Route::V1Batch.path() { BATCH_KEY_SUFFIX_BYTES } else { 0 };
            let max = MAX_IDEMPOTENCY_KEY_BYTES - kept_free;
            json!({"minLength": 1, "maxLength": max, "pattern": VISIBLE_ASCII})
        }
        _ => return None,
    })
}

fn narrow_parameters(path: &str, operation: &mut Value) {
    for described in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        let word = |key: &str| described[key].as_str().unwrap_or_default();
        let more = parameter(path, word("in"), word("name")).unwrap_or_default();
        // A header or a query has no null: what may be absent is absent.
        if let Some(kinds) = described.pointer_mut("/schema/type").filter(|kinds| kinds.is_array()) {
            *kinds = kinds[0].take();
        }
        merge(described.get_mut("schema"), more);
    }
}

/// A body that may be absent is no null either, and bytes are not an array of numbers: without this word for them
/// generated clients have no body to send.
fn narrow_body(operation: &mut Value) {
    let contents = operation.pointer_mut("/requestBody/content").and_then(Value::as_object_mut);
    for (kind, content) in contents.into_iter().flatten() {
        if kind == "application/octet-stream" {
            *content = json!({"schema": {"type": "string", "format": "binary"}});
        } else if let Some(alone) = content.pointer_mut("/schema/oneOf/0").map(Value::take) {
            content["schema"] = alone;
        }
    }
}

/// Objects are merged, everything else is replaced.
fn merge(into: Option<&mut Value>, more: Value) {
    match (into, more) {
        (Some(Value::Object(into)), Value::Object(more)) => {
            for (key, value) in more {
                merge(Some(into.entry(key).or_insert(Value::Null)), value);
            }
        }
        (_, Value::Null) | (None, _) => {}
        (Some(into), more) => *into = more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;

    #[test]
    fn every_schema_and_parameter_that_is_narrowed_is_there() {
        let limits = Limits::default();
        let document: Value = serde_json::from_str(&super::super::document(Role::Coordinator, "", &limits))
            .expect("it is JSON");
        for (pointer, more) in schemas(&limits) {
            let found = document.pointer(&format!("/components/schemas/{pointer}")).expect(pointer);
            for key in more.as_object().expect("an object").keys() {
                assert!(found.get(key).is_some(), "{pointer} has no {key}");
            }
        }
        let text = document["paths"].to_string();
        for name in [
            "id",
            "wait",
            "limit",
            "tail",
            "cursor",
            "status",
            "stream",
            "created_after",
            "Idempotency-Key",
            "since",
            "topic",
            "job",
        ] {
            assert!(text.contains(&format!("\"name\":\"{name}\"")), "{name}");
        }
        assert!(!text.contains("\"null\""), "parameters and bodies are absent or not null");
    }
}
