//! What the types of a job's isolation, limits, mounts and requirements cannot say of themselves.

use callboard_actors::model::artifacts::MAX_ARTIFACTS;
use callboard_actors::model::files::{MAX_FILE_NAME_BYTES, MAX_FILE_PATH_BYTES, MAX_FILES};
use callboard_actors::model::isolation::{MAX_DEMANDED_LAYERS, layer_names};
use callboard_actors::model::mounts::{MAX_MOUNT_BYTES, MAX_MOUNTS};
use callboard_actors::model::requires::{MAX_LABEL_KEY_BYTES, MAX_LABEL_VALUE_BYTES, MAX_REQUIRED_LABELS};
use callboard_actors::model::runner_spec::MAX_NODE_NAME_BYTES;
use callboard_actors::model::{Isolation, ResourceLimits, Tier};
use serde_json::{Value, json};

use super::precise::BASE64;

/// An absolute path that says one place, which is not the room's own.
const MOUNT: &str = r"^/(?!(proc|sys|dev|etc|job)(/|$))(?!(tmp|usr|bin|sbin|lib|lib64|lib32|opt|run|var|var/tmp|var/lib)$)(?!\.{1,2}(/|$))[^/\u0000]+(/(?!\.{1,2}(/|$))[^/\u0000]+)*$";

/// A relative path that says one place.
fn file() -> String {
    let name = format!(r"(?!\.{{1,2}}(/|$))[^/\u0000]{{1,{MAX_FILE_NAME_BYTES}}}");
    format!("^{name}(/{name})*$")
}

/// Where a schema says too little, below `/components/schemas`, and what it should say.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let modes = Isolation::ALL.map(Isolation::as_str);
    let modes_or_null: Vec<_> = modes.into_iter().map(Some).chain([None]).collect();
    let tiers_or_null: Vec<_> = Tier::ALL.map(|it| Some(it.as_str())).into_iter().chain([None]).collect();
    vec![
        ("IsolationBody/oneOf/0", json!({"enum": modes})),
        ("DemandsBody/properties/mode", json!({"enum": modes_or_null})),
        ("DemandsBody/properties/min_tier", json!({"enum": tiers_or_null})),
        (
            "DemandsBody/properties/require",
            json!({"maxItems": MAX_DEMANDED_LAYERS, "items": {"enum": layer_names().collect::<Vec<_>>()}}),
        ),
        ("DemandsBody/properties/network", json!({"enum": ["none", "host", null]})),
        ("DemandsBody", plain_demands()),
        ("ProblemBody/properties/missing", json!({"items": {"enum": layer_names().collect::<Vec<_>>()}})),
        ("SubmitBody/properties/mounts", json!({"maxItems": MAX_MOUNTS})),
        ("MountBody/properties/path", json!({"maxLength": MAX_MOUNT_BYTES, "pattern": MOUNT})),
        ("SubmitBody/properties/files", json!({"maxItems": MAX_FILES})),
        ("FileBody/properties/path", json!({"maxLength": MAX_FILE_PATH_BYTES, "pattern": file()})),
        ("SubmitBody/properties/artifacts", artifacts()),
        ("FileContentBody/oneOf/0", json!({"title": "FileText", "additionalProperties": false})),
        ("FileContentBody/oneOf/1", json!({"title": "FileBase64", "additionalProperties": false})),
        ("FileContentBody/oneOf/1/properties/base64", json!({"pattern": BASE64})),
        ("RequiresBody/properties/labels", labels()),
        (
            "RequiresBody/properties/runner",
            json!({"minLength": 1, "maxLength": MAX_NODE_NAME_BYTES, "pattern": "^[A-Za-z0-9_.-]+$"}),
        ),
        ("SubmitBody", rooms_only()),
    ]
}

/// The least and the most of each limit, where `most` is permitted: the pointer of its schema, and what it should say.
pub(super) fn limits(most: &ResourceLimits) -> impl Iterator<Item = (String, Value)> {
    ResourceLimits::ranges(most).map(|(name, least, most)| {
        let number = |number: u64| if name == "cpus" { json!(number as f64 / 1000.0) } else { json!(number) };
        let pointer = format!("/components/schemas/LimitsBody/properties/{name}");
        (pointer, json!({"minimum": number(least), "maximum": number(most)}))
    })
}

/// Labels by their keys.
fn labels() -> Value {
    json!({
        "maxProperties": MAX_REQUIRED_LABELS,
        "propertyNames": {"minLength": 1, "maxLength": MAX_LABEL_KEY_BYTES, "pattern": "^[A-Za-z0-9_./-]+$"},
        "additionalProperties": {"type": "string", "maxLength": MAX_LABEL_VALUE_BYTES, "pattern": "^[A-Za-z0-9_./-]*$"}
    })
}

/// The operations whose success tells what jobs get.
const SUBMITS: [&str; 4] = ["submit_job", "submit_batch", "original_submit_job", "retry_job"];

/// The header with the tier, where the operation answers with it.
pub(super) fn add_tier(operation: &mut Value) {
    if !operation["operationId"].as_str().is_some_and(|id| SUBMITS.contains(&id)) {
        return;
    }
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    for (_, response) in responses.into_iter().flatten().filter(|(status, _)| status.starts_with('2')) {
        response["headers"]["X-Isolation-Tier"] = json!({
            "description": "The tier that jobs get now that ask for nothing; absent while that is not known.",
            "schema": {"type": "string", "enum": Tier::ALL.map(Tier::as_str)},
        });
    }
}

/// Each is named once.
fn artifacts() -> Value {
    let path = json!({"maxLength": MAX_FILE_PATH_BYTES, "pattern": file()});
    json!({"maxItems": MAX_ARTIFACTS, "uniqueItems": true, "items": path})
}

/// What cannot be demanded of a plain process, and of a network that is shared.
fn plain_demands() -> Value {
    let none = json!({"required": ["mode"], "properties": {"mode": {"const": "none"}}});
    let layers = json!({"required": ["require"], "properties": {"require": {"minItems": 1}}});
    let tier =
        json!({"required": ["min_tier"], "properties": {"min_tier": {"enum": ["lite", "partial", "full"]}}});
    json!({"not": {"allOf": [none, {"anyOf": [layers, tier]}]}})
}

/// Limits that only a room can hold a job to.
fn rooms_only() -> Value {
    let given = |name: &str| json!({"required": [name], "properties": {name: {"not": {"type": "null"}}}});
    let limits = json!({"type": "object", "anyOf": [given("disk_bytes"), given("open_files")]});
    let listed = |name: &str| json!({"required": [name], "properties": {name: {"minItems": 1}}});
    let limited = json!({"required": ["limits"], "properties": {"limits": limits}});
    let mode = json!({"type": "object", "required": ["mode"], "properties": {"mode": {"const": "none"}}});
    let plain =
        json!({"required": ["isolation"], "properties": {"isolation": {"anyOf": [{"const": "none"}, mode]}}});
    json!({"not": {"allOf": [plain, {"anyOf": [limited, listed("mounts"), listed("files"), listed("artifacts")]}]}})
}
