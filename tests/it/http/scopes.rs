//! Every route, asked with every single scope: what does not fit is 403 and names what is needed.

use actix_web::http::Method;
use actix_web::test::TestRequest;
use callboard::config::Role;
use callboard::http::TokenHash;
use callboard::http::access::Access;
use callboard::http::routes::Route;
use callboard_actors::model::Tenant;
use callboard_actors::model::access::{Scope, Scopes, TokenRecord};

use super::*;

/// The scopes of which one is needed, written down a second time: a change of rights must be meant. `*` is any token.
fn needed(route: Route, method: &str) -> &'static [&'static str] {
    match (route.path(), method) {
        ("/jobs" | "/v1/jobs/batch" | "/v1/jobs/{id}/retry" | "/v1/jobs/{id}/stdin", _) => &["submit"],
        ("/v1/jobs", "POST") => &["submit"],
        ("/execute", _) => &["submit", "runner"],
        (path, _) if path.starts_with("/v1/node/") => &["runner"],
        ("/jobs/{id}" | "/v1/jobs/{id}/logs" | "/v1/jobs/{id}/artifacts", _) => &["read"],
        ("/v1/jobs" | "/v1/jobs/{id}", "GET" | "HEAD") => &["read"],
        ("/v1/jobs/{id}", "DELETE") | ("/v1/jobs/{id}/cancel", _) => &["cancel"],
        ("/metrics", _) => &["metrics"],
        ("/v1/queue/pause" | "/v1/queue/resume" | "/v1/tokens" | "/v1/tokens/{id}", _) => &[],
        ("/v1/runners" | "/v1/runners/{id}", _) => &[],
        ("/v1/runners/{id}/cordon" | "/v1/runners/{id}/drain" | "/v1/runners/{id}/resume", _) => &[],
        ("/v1/stats" | "/v1/events" | "/v1/jobs/prune", _) => &[],
        ("/health" | "/livez" | "/readyz" | "/v1/version" | "/openapi.json" | "/problems/{name}", _) => {
            &["*"]
        }
        (path, method) => panic!("{method} {path} has no line here"),
    }
}

fn text(number: usize) -> (String, String) {
    (format!("{number:016x}"), format!("{number:064x}"))
}

/// A door with one token for each scope.
async fn door(fake: &Fake, role: Role) -> Door {
    let record = |(number, scope): (usize, Scope)| TokenRecord {
        id: text(number).0,
        name: None,
        hash: TokenHash::of(&text(number).1).bytes(),
        tenant: Tenant::DEFAULT,
        scopes: Scopes::of(&[scope]),
        created_at_ms: number as i64,
        expires_at_ms: None,
        last_used_at_ms: None,
        revoked_at_ms: None,
    };
    fake.stage().tokens = Scope::ALL.into_iter().enumerate().map(record).collect();
    let access = Access::load(None, &fake.door.platform).await.expect("the stage answers");
    fake.door.clone().with_role(role).with_access(access)
}

#[actix_web::test]
async fn each_scope_opens_its_routes_and_no_other() {
    for role in [Role::Coordinator, Role::Runner] {
        for route in Route::of(role) {
            for method in route.allow().split(", ") {
                let needs = needed(route, method);
                for (number, scope) in Scope::ALL.into_iter().enumerate() {
                    let fake = Fake::new();
                    let door = door(&fake, role).await;
                    let path = route
                        .path()
                        .replace("{id}", &clock::new_job_id().to_string())
                        .replace("{name}", "gone");
                    let (id, secret) = text(number);
                    let request = TestRequest::with_uri(&path)
                        .method(Method::from_bytes(method.as_bytes()).expect("a method"))
                        .insert_header(("Authorization", format!("Bearer callboard_{id}_{secret}")));
                    let answer = send(&door, request).await;
                    let may = scope == Scope::Admin || needs == ["*"] || needs.contains(&scope.as_str());
                    assert_eq!(answer.status != 403, may, "{method} {path} with {}", scope.as_str());
                    assert_ne!(answer.status, 401, "{method} {path}");
                    if !may && method != "HEAD" {
                        let wanted = needs.first().unwrap_or(&"admin");
                        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
                        assert!(detail.contains(&format!("`{wanted}`")), "{method} {path}: {detail}");
                        assert_eq!(answer.problem().1, "missing-scope");
                    }
                }
            }
        }
    }
}

#[actix_web::test]
async fn a_token_is_its_whole_text() {
    let fake = Fake::new();
    let door = door(&fake, Role::Coordinator).await;
    let ((id, secret), (_, other)) = (text(1), text(2));
    let right = format!("callboard_{id}_{secret}");
    let shown = |value: String| get("/v1/jobs").insert_header(("Authorization", format!("Bearer {value}")));
    assert_eq!(send(&door, shown(right.clone())).await.status, 200);
    for wrong in [
        format!("callboard_{id}_{other}"),
        format!("callboard_{id}"),
        format!("callboard_{}_{secret}", text(9).0),
        format!("{right}0"),
        right[..right.len() - 1].to_owned(),
        right.to_uppercase(),
        secret,
    ] {
        assert_eq!(
            send(&door, shown(wrong.clone())).await.problem(),
            (401, "unauthorized".into()),
            "{wrong}"
        );
    }
}
