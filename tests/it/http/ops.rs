//! Probes, metrics, the version, the queue, the OpenAPI document and the pages about problems.

use std::collections::BTreeSet;

use actix_web::test::TestRequest;
use callboard::config::Role;
use callboard::http::kinds;
use callboard::http::routes::Route;

use super::*;

#[actix_web::test]
async fn health_is_the_original_s_with_warnings() {
    let fake = Fake::new();
    let door = fake.door.clone().with_warnings(vec!["no token".into()]);
    fake.board.set_draining();
    let answer = send(&door, get("/health")).await;
    let expected = json!({
        "status": "healthy", "service": "coordinator", "warnings": ["no token", "jobs run as root"],
    });
    assert_eq!((answer.status, answer.json()), (200, expected));
}

#[actix_web::test]
async fn readiness_names_what_is_missing() {
    let fake = Fake::new();
    assert_eq!(send(&fake.door, get("/readyz")).await.text(), "ok\n");
    let verbose = send(&fake.door, get("/readyz?verbose")).await.text();
    assert_eq!(verbose.matches("[+]").count(), 6, "{verbose}");
    assert!(verbose.contains("[+]queue running\n"), "{verbose}");
    fake.stage().paused = true;
    let verbose = send(&fake.door, get("/readyz?verbose")).await;
    assert_eq!(verbose.status, 200, "a paused queue takes jobs");
    assert!(verbose.text().contains("[+]queue paused\n"), "{verbose:?}");
    fake.stage().runners_gone = true;
    let answer = send(&fake.door, get("/readyz")).await;
    assert_eq!(answer.problem(), (503, "not-ready".into()));
    let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
    assert!(detail.contains("[-]runners failed") && detail.contains("[+]store ok"), "{detail}");
    fake.stage().runners_gone = false;
    fake.board.set_store_failing(true);
    assert_eq!(send(&fake.door, get("/readyz")).await.status, 503);
    assert_eq!(send(&fake.door, get("/livez")).await.status, 200);
    fake.board.set_stopped();
    assert_eq!(send(&fake.door, get("/livez")).await.problem(), (503, "unavailable".into()));
}

#[actix_web::test]
async fn metrics_are_the_platform_s_and_the_door_s() {
    let fake = Fake::new();
    send(&fake.door, get("/nowhere")).await;
    send(&fake.door, get("/v1/jobs/none")).await;
    submit(&fake, echo()).await;
    let answer = send(&fake.door, get("/metrics")).await;
    let kind = answer.header("content-type").expect("a type");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let text = answer.text();
    for line in [
        "jobs_total 2",
        "callboard_http_requests_total{method=\"GET\",route=\"unmatched\",code=\"404\"} 1",
        "callboard_http_requests_total{method=\"GET\",route=\"/v1/jobs/{id}\",code=\"404\"} 1",
        "callboard_http_requests_total{method=\"POST\",route=\"/v1/jobs\",code=\"202\"} 1",
        "callboard_http_request_duration_seconds_count{method=\"POST\",route=\"/v1/jobs\"} 1",
        "callboard_http_requests_in_flight 1",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} in\n{text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        assert!(value.is_some(), "{line}");
    }
}

#[actix_web::test]
async fn the_queue_is_paused_and_resumed() {
    let fake = Fake::new();
    for (verb, paused) in [("pause", true), ("resume", false)] {
        let answer = send(&fake.door, TestRequest::post().uri(&format!("/v1/queue/{verb}"))).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"paused": paused})));
        assert_eq!(fake.stage().paused, paused);
    }
    let answer = send(&fake.door, post("/v1/queue/pause", json!({"for": "1h"}))).await;
    assert_eq!(answer.refusal(), (422, "#/for".into()));
}

#[actix_web::test]
async fn the_version_says_who_answers() {
    let fake = Fake::new();
    let expected = json!({
        "service": "callboard", "version": "0.0.0-test", "role": "coordinator", "api": ["v1"], "host_id": "host-1", "job_uid": 1000,
    });
    assert_eq!(send(&fake.door, get("/v1/version")).await.json(), expected);
}

#[actix_web::test]
async fn the_openapi_document_has_every_route_and_nothing_else() {
    for role in [Role::Coordinator, Role::Runner] {
        check_document(role).await;
    }
}

async fn check_document(role: Role) {
    let fake = Fake::new();
    let document = send(&fake.door.clone().with_role(role), get("/openapi.json")).await.json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let (mut described, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            described.insert(format!("{} {path}", method.to_uppercase()));
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name.to_owned()), "{name} is not unique");
            check_refusals(operation);
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
    let methods = |route: Route| route.allow().split(", ").filter(|method| *method != "HEAD");
    let served: BTreeSet<String> = Route::of(role)
        .filter(|route| !route.is_of_nodes())
        .flat_map(|route| methods(route).map(move |method| format!("{method} {}", route.path())))
        .collect();
    assert_eq!(described, served);
    check_references(&document, &document);
}

/// Every refusal is a problem, and the ones that any request may meet are told.
fn check_refusals(operation: &Value) {
    let responses = operation["responses"].as_object().expect("responses");
    for code in ["401", "403", "429", "500", "503"] {
        assert!(responses.contains_key(code), "{code}: {operation}");
    }
    for (code, response) in responses.iter().filter(|(code, _)| code.as_str() >= "400") {
        assert!(response["content"]["application/problem+json"].is_object(), "{code}: {operation}");
        assert_ne!(response["description"], "");
    }
}

fn check_references(document: &Value, part: &Value) {
    if let Some(reference) = part.get("$ref").and_then(Value::as_str) {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let parts: Vec<&Value> = match part {
        Value::Object(members) => members.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    parts.into_iter().for_each(|part| check_references(document, part));
}

#[actix_web::test]
async fn every_problem_has_a_page() {
    let fake = Fake::new();
    for kind in kinds::ALL {
        let page = send(&fake.door, get(&format!("/problems/{}", kind.name))).await;
        assert_eq!(page.status, 200);
        assert!(page.text().starts_with(kind.title));
    }
    assert_eq!(send(&fake.door, get("/problems/nonsense")).await.status, 404);
}

#[actix_web::test]
async fn what_can_be_got_can_be_asked_for_its_head() {
    let fake = Fake::new();
    for path in
        ["/health", "/metrics", "/livez", "/readyz", "/v1/jobs", "/v1/stats", "/v1/version", "/openapi.json"]
    {
        let request = TestRequest::with_uri(path).method(actix_web::http::Method::HEAD);
        assert_eq!(send(&fake.door, request).await.status, 200, "{path}");
    }
}
