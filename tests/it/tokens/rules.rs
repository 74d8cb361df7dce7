//! Admission rules that look at who asks: tenants and tokens.

use serde_json::{Value, json};

use super::{admin, create, submit, with};
use crate::server::{Answer, Launch, Server};

fn user_of(server: &Server, first: &str, name: &str, tenant: &str) -> String {
    create(server, first, &json!({ "role": "user", "name": name, "tenant": tenant })).0
}

#[test]
fn admission_rules_tell_tenants_and_tokens_apart() {
    let folder = tempfile::tempdir().unwrap();
    let rules = r#"
        [[admission.rules]]
        action = "allow"
        tenants = ["ml*"]
        programs = ["ech*"]
        reason = "their work"

        [[admission.rules]]
        action = "deny"
        name = "ml-only-echo"
        tenants = ["ml*"]
        reason = "machine learning runs echo only"

        [[admission.rules]]
        action = "deny"
        name = "no-night-work"
        tokens = ["nightly *"]
        reason = "nothing is built at night"
    "#;
    let path = folder.path().join("callboard.toml");
    std::fs::write(&path, rules).unwrap();
    let launch = Launch::over(&folder.path().join("data"));
    let server = launch.variable("CALLBOARD_CONFIG", path.to_str().unwrap()).start();
    let (first, _) = admin(&server);
    let (ml, other) = (user_of(&server, &first, "a", "ml-2"), user_of(&server, &first, "b", "web"));
    let nightly = user_of(&server, &first, "nightly build", "web");
    let ask = |token: &str, path: &str, body: Value| with(&server, token, "POST", path, Some(&body));
    let denied = |answer: Answer, rule: Value| {
        assert_eq!((answer.status, &answer.json()["rule"]), (403, &rule), "{}", answer.body);
    };
    let by_tenant = json!({"number": 2, "name": "ml-only-echo"});
    assert_eq!(ask(&ml, "/v1/jobs", json!({"command": ["echo", "x"]})).status, 202);
    denied(ask(&ml, "/v1/jobs", json!({"command": ["true"]})), by_tenant.clone());
    denied(ask(&ml, "/jobs", json!({"command": "echo x"})), by_tenant.clone());
    let job = submit(&server, &other, "true");
    denied(
        ask(&nightly, "/v1/jobs", json!({"command": ["true"]})),
        json!({"number": 3, "name": "no-night-work"}),
    );
    // A repetition is judged for the tenant of its job and for the token that asks.
    let seen = with(&server, &other, "GET", &format!("/v1/jobs/{job}?wait=30s"), None);
    assert_eq!(seen.json()["status"], "completed", "{}", seen.body);
    let again = format!("/v1/jobs/{job}/retry");
    denied(ask(&nightly, &again, json!({})), json!({"number": 3, "name": "no-night-work"}));
    assert_eq!(ask(&other, &again, json!({})).status, 201);
    assert_eq!(ask(&first, "/v1/jobs", json!({"command": ["true"]})).status, 202);
}
