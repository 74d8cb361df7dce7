//! Who may come in, and what every answer carries.

use actix_web::http::Method;
use actix_web::test::TestRequest;
use callboard::config::Role;
use callboard::http::routes::Route;
use callboard::http::{HostRule, TokenHash};

use super::*;

#[actix_web::test]
async fn a_loopback_door_answers_only_to_its_own_names() {
    let fake = Fake::new();
    for (host, status) in [
        ("localhost", 200),
        ("localhost:1234", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("evil.example", 403),
        ("evil.example:8000", 403),
        ("localhost.evil.example", 403),
        ("", 403),
    ] {
        let answer = send(&fake.door, get("/health").insert_header(("Host", host))).await;
        assert_eq!(answer.status, status, "{host}");
    }
    let twice = get("/health").insert_header(("Host", "localhost")).append_header(("Host", "evil.example"));
    assert_eq!(send(&fake.door, twice).await.problem(), (403, "forbidden".into()));
    let absolute = get("http://evil.example/health").insert_header(("Host", "localhost"));
    assert_eq!(send(&fake.door, absolute).await.status, 403);
}

#[actix_web::test]
async fn an_open_door_answers_to_any_name() {
    let fake = Fake::new();
    let door = fake.door.clone().with_hosts(HostRule::Any);
    let request = get("/health").insert_header(("Host", "build.example"));
    assert_eq!(send(&door, request).await.status, 200);
}

#[actix_web::test]
async fn pages_of_other_origins_are_refused() {
    let fake = Fake::new();
    for (origin, status) in [
        ("http://localhost:8000", 202),
        ("http://localhost:3000", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ] {
        let request = post("/v1/jobs", echo()).insert_header(("Origin", origin));
        assert_eq!(send(&fake.door, request).await.status, status, "{origin}");
    }
    assert_eq!(fake.stage().submits, 1);
}

#[actix_web::test]
async fn a_token_opens_every_door_and_its_lack_all_but_three() {
    let fake = Fake::new();
    let door = fake.door.clone().with_token(TokenHash::of("s3cret"));
    for path in ["/v1/jobs", "/metrics", "/v1/version", "/openapi.json", "/nowhere", "/problems/gone"] {
        let without = send(&door, get(path)).await;
        assert_eq!(without.problem(), (401, "unauthorized".into()), "{path}");
        assert_eq!(without.header("www-authenticate"), Some("Bearer realm=\"callboard\""));
    }
    for (value, status) in [
        ("Bearer s3cret", 200),
        ("bearer s3cret", 200),
        ("Bearer s3cre", 401),
        ("Bearer s3cret2", 401),
        ("Bearer ", 401),
        ("Basic s3cret", 401),
        ("s3cret", 401),
    ] {
        let request = get("/v1/jobs").insert_header(("Authorization", value));
        assert_eq!(send(&door, request).await.status, status, "{value}");
    }
    let wrong = send(&door, get("/v1/jobs").insert_header(("Authorization", "Bearer x"))).await;
    assert!(wrong.header("www-authenticate").is_some_and(|value| value.contains("invalid_token")));
}

#[actix_web::test]
async fn a_health_checker_without_a_token_learns_the_status_only() {
    let fake = Fake::new();
    let door = fake.door.clone().with_token(TokenHash::of("s3cret"));
    let health = send(&door, get("/health")).await;
    assert_eq!((health.status, &health.json()["warnings"]), (200, &json!([])));
    assert_eq!(send(&door, get("/livez")).await.status, 200);
    assert_eq!(send(&door, get("/readyz?verbose")).await.text(), "ok\n");
    fake.board.set_draining();
    let failing = send(&door, get("/readyz?verbose")).await;
    assert_eq!(failing.status, 503);
    assert!(!failing.text().contains("intake"), "{}", failing.text());
    let wrong = get("/health").insert_header(("Authorization", "Bearer x"));
    assert_eq!(send(&door, wrong).await.status, 401);
}

#[actix_web::test]
async fn a_body_is_not_read_before_the_token_is_seen() {
    let fake = Fake::new();
    let door = fake.door.clone().with_token(TokenHash::of("s3cret"));
    let request = TestRequest::post().uri("/v1/jobs").set_payload("x".repeat(10 << 20));
    assert_eq!(send(&door, request).await.status, 401);
}

#[actix_web::test]
async fn a_request_id_is_echoed_if_harmless_and_minted_otherwise() {
    let fake = Fake::new();
    let longest = "a".repeat(128);
    for id in ["a", "trace-1_2.3", &longest] {
        for path in ["/health", "/nowhere"] {
            let answer = send(&fake.door, get(path).insert_header(("X-Request-Id", id))).await;
            assert_eq!(answer.header("x-request-id"), Some(id));
        }
    }
    for id in ["", "a b", "a\"b", &format!("{longest}a")] {
        let answer = send(&fake.door, get("/health").insert_header(("X-Request-Id", id))).await;
        let minted = answer.header("x-request-id").expect("an id");
        assert_eq!(minted.len(), 36, "{minted}");
    }
}

#[actix_web::test]
async fn other_methods_are_405_and_say_which_are_right() {
    let fake = Fake::new();
    let id = submit(&fake, echo()).await;
    for route in Route::of(Role::Coordinator) {
        let path = route.path().replace("{id}", &id.to_string()).replace("{name}", "gone");
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS]
        {
            if route.allow().split(", ").any(|allowed| allowed == method.as_str()) {
                continue;
            }
            let answer = send(&fake.door, TestRequest::with_uri(&path).method(method.clone())).await;
            assert_eq!(answer.problem(), (405, "method-not-allowed".into()), "{method} {path}");
            assert_eq!(answer.header("allow"), Some(route.allow()));
        }
    }
}

#[actix_web::test]
async fn nothing_answers_elsewhere() {
    let fake = Fake::new();
    for path in
        ["/", "/nowhere", "/v1", "/v1/jobs/", "/jobs/", "/v1/jobs/a/b/c", "/jobs/%2e%2e/x", "/v1//jobs"]
    {
        assert_eq!(send(&fake.door, get(path)).await.status, 404, "{path}");
    }
}
