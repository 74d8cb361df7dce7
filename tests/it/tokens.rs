//! Tokens and tenants, through the real binary: who comes in, what a token allows, and that a foreign job is no job.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use callboard::config::Role;
use callboard::http::routes::Route;
use serde_json::{Value, json};

use crate::process::{PATIENCE, finish};
use crate::server::{Answer, BINARY, Launch, Server, knows_no_settings};

mod late;
mod rules;

/// One request with a token, to the end of the connection.
fn with(server: &Server, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let mut stream = open(server, token, method, path, body, "");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: {text}"));
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

fn open(
    server: &Server,
    token: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
    more: &str,
) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = body.map(Value::to_string).unwrap_or_default();
    let kind = if method == "PUT" { "application/octet-stream" } else { "application/json" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: {kind}\r\nContent-Length: {}\r\n{more}\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn create(server: &Server, admin: &str, body: &Value) -> (String, String) {
    let answer = with(server, admin, "POST", "/v1/tokens", Some(body));
    assert_eq!(answer.status, 201, "{}", answer.body);
    let made = answer.json();
    (made["token"].as_str().unwrap().into(), made["id"].as_str().unwrap().into())
}

fn admin(server: &Server) -> (String, String) {
    create(server, "none", &json!({ "role": "admin", "name": "first" }))
}

fn submit(server: &Server, token: &str, line: &str) -> String {
    let answer = with(server, token, "POST", "/v1/jobs", Some(&json!({ "command": line })));
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.json()["id"].as_str().unwrap().into()
}

fn cli(server: &Server, token: Option<&str>, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(BINARY);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    knows_no_settings(&mut command);
    command.env("CALLBOARD_SERVER", format!("http://127.0.0.1:{}", server.port));
    if let Some(token) = token {
        command.env("CALLBOARD_TOKEN", token);
    }
    let done = finish(command.spawn().unwrap(), None);
    let text = |bytes| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

#[test]
fn the_first_token_is_an_admin_s_and_closes_the_door_and_the_last_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let job = server.submit("true");
    let early = with(&server, "none", "POST", "/v1/tokens", Some(&json!({ "role": "user" })));
    assert_eq!(early.status, 409);
    assert!(early.body.contains("callboard token create --role admin"), "{}", early.body);
    let (first, first_id) = admin(&server);
    assert_eq!(server.ask("GET", "/v1/jobs", None).unwrap().0, 401);
    assert_eq!(server.ask("GET", "/readyz", None).unwrap().0, 200);
    assert_eq!(with(&server, &first, "GET", &format!("/v1/jobs/{job}"), None).status, 200);
    let last = with(&server, &first, "DELETE", &format!("/v1/tokens/{first_id}"), None);
    assert_eq!(last.status, 409, "{}", last.body);
    assert!(last.body.contains("last valid admin token"), "{}", last.body);
    let (second, _) = admin_of(&server, &first);
    for _ in 0..2 {
        let gone = with(&server, &second, "DELETE", &format!("/v1/tokens/{first_id}"), None);
        assert_eq!(gone.status, 204, "{}", gone.body);
    }
    assert_eq!(with(&server, &first, "GET", "/v1/jobs", None).status, 401);
    assert_eq!(with(&server, &second, "DELETE", "/v1/tokens/0123456789abcdef", None).status, 404);
    assert_eq!(with(&server, &second, "GET", "/v1/jobs", None).status, 200);
}

fn admin_of(server: &Server, token: &str) -> (String, String) {
    create(server, token, &json!({ "role": "admin" }))
}

#[test]
fn tokens_outlive_a_restart_and_their_secrets_are_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let data = folder.path().join("data");
    let mut server = Launch::over(&data).log_to(&log).start();
    let (first, _) = admin(&server);
    let (user, user_id) = create(&server, &first, &json!({ "role": "user", "tenant": "red" }));
    let job = submit(&server, &user, "true");
    assert_eq!(with(&server, &first, "DELETE", &format!("/v1/tokens/{user_id}"), None).status, 204);
    let (other, _) = create(&server, &first, &json!({ "role": "viewer", "tenant": "red" }));
    server.kill();
    let server = Launch::over(&data).log_to(&log).start();
    assert_eq!(server.ask("GET", "/v1/jobs", None).unwrap().0, 401, "the door is open again");
    assert_eq!(with(&server, &user, "GET", "/v1/jobs", None).status, 401, "a revoked token holds again");
    assert_eq!(with(&server, &other, "GET", &format!("/v1/jobs/{job}"), None).json()["tenant"], "red");
    let listed = with(&server, &first, "GET", "/v1/tokens", None).json();
    let mut states: Vec<&str> =
        listed["items"].as_array().unwrap().iter().map(|token| token["status"].as_str().unwrap()).collect();
    states.sort_unstable();
    assert_eq!(states, ["active", "active", "revoked"]);
    for token in [&first, &user, &other] {
        let secret = token.rsplit('_').next().unwrap().as_bytes();
        assert_eq!(secret.len(), 64);
        for file in files(folder.path()) {
            let bytes = std::fs::read(&file).unwrap_or_default();
            assert!(!bytes.windows(64).any(|part| part == secret), "a secret is in {}", file.display());
        }
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_token_opens_nothing_from_its_end_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (first, _) = admin(&server);
    let (brief, id) = create(&server, &first, &json!({ "expires_in_ms": 1500 }));
    assert_eq!(with(&server, &brief, "GET", "/v1/jobs", None).status, 200);
    let began = Instant::now();
    while with(&server, &brief, "GET", "/v1/jobs", None).status != 401 {
        assert!(began.elapsed() < PATIENCE, "it does not expire");
        std::thread::sleep(Duration::from_millis(50));
    }
    let listed = with(&server, &first, "GET", "/v1/tokens", None).json();
    let token = listed["items"].as_array().unwrap().iter().find(|token| token["id"] == id.as_str()).unwrap();
    assert_eq!((&token["status"], token["last_used_at"].is_string()), (&json!("expired"), true), "{token}");
}

#[test]
fn what_a_revoked_token_follows_or_waits_for_ends() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (first, _) = admin(&server);
    let (user, id) = create(&server, &first, &json!({ "tenant": "red" }));
    let job = submit(&server, &user, "echo begun; sleep 600");
    let path = format!("/v1/jobs/{job}/logs?follow=true");
    let mut follow = open(&server, &user, "GET", &path, None, "Accept: application/x-ndjson\r\n");
    let mut seen = String::new();
    let mut piece = [0; 1024];
    while !seen.contains("begun") {
        let read = follow.read(&mut piece).unwrap();
        assert!(read > 0, "it ends too early: {seen}");
        seen += &String::from_utf8_lossy(&piece[..read]);
    }
    let mut wait = open(&server, &user, "GET", &format!("/v1/jobs/{job}?wait=5m"), None, "");
    assert_eq!(with(&server, &first, "DELETE", &format!("/v1/tokens/{id}"), None).status, 204);
    follow.read_to_string(&mut seen).unwrap();
    assert!(seen.contains("\"more\":true"), "{seen}");
    let mut waited = String::new();
    wait.read_to_string(&mut waited).unwrap();
    assert!(waited.starts_with("HTTP/1.1 401"), "{waited}");
    assert_eq!(with(&server, &first, "POST", &format!("/v1/jobs/{job}/cancel"), None).status, 202);
}

/// What a caller may ask of a job, for every route and method that names one: (route, method, query, body).
const VERBS: [(Route, &str, &str); 11] = [
    (Route::Job, "GET", ""),
    (Route::Job, "HEAD", ""),
    (Route::V1Job, "GET", ""),
    (Route::V1Job, "HEAD", ""),
    (Route::V1Job, "GET", "?wait=5m"),
    (Route::V1Logs, "GET", "?follow=true"),
    (Route::V1Artifacts, "GET", "?path=a"),
    (Route::V1Stdin, "PUT", "?end=true"),
    (Route::V1Cancel, "POST", ""),
    (Route::V1Retry, "POST", ""),
    (Route::V1Job, "DELETE", ""),
];

#[test]
fn a_foreign_job_is_no_job_in_any_verb() {
    let of_jobs = |route: &Route| route.path().contains("jobs/{id}");
    for route in Route::of(Role::Coordinator).filter(of_jobs) {
        for method in route.allow().split(", ") {
            assert!(
                VERBS.iter().any(|verb| (verb.0, verb.1) == (route, method)),
                "{route:?} {method} is not tried"
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (first, _) = admin(&server);
    let [(red, _), (blue, _), (plain, _)] =
        ["red", "blue", "default"].map(|tenant| create(&server, &first, &json!({ "tenant": tenant })));
    let live = submit(&server, &red, "sleep 600");
    let ended = submit(&server, &red, "echo secret");
    assert_eq!(
        with(&server, &red, "GET", &format!("/v1/jobs/{ended}?wait=60s"), None).json()["status"],
        "completed"
    );
    let unknown = "01900000-0000-7000-8000-000000000000";
    let tidied = |answer: &Answer, id: &str| {
        let mut problem = answer.json();
        for member in ["request_id", "instance"] {
            problem.as_object_mut().map(|problem| problem.remove(member));
        }
        (answer.status, problem.to_string().replace(id, "ID"))
    };
    for (route, method, query) in VERBS {
        let ask = |token: &str, id: &str| {
            let path = format!("{}{query}", route.path().replace("{id}", id));
            tidied(&with(&server, token, method, &path, None), id)
        };
        let missing = ask(&blue, unknown);
        assert_eq!(missing.0, 404, "{method} {route:?}: {missing:?}");
        for token in [&blue, &plain] {
            for id in [&live, &ended] {
                assert_eq!(ask(token, id), missing, "{method} {route:?} {query}");
                // The beginning of an id finds no more than the whole.
                if route.path().starts_with("/v1") {
                    assert_eq!(ask(token, &id[..35]), missing, "{method} {route:?} {query}");
                }
            }
        }
    }
    // Nothing of this has touched the jobs of their owner, who may do all of it.
    assert_eq!(with(&server, &red, "GET", &format!("/v1/jobs/{live}"), None).json()["cancelling"], false);
    assert_eq!(with(&server, &red, "GET", &format!("/jobs/{ended}"), None).json()["stdout"], "secret\n");
    assert_eq!(
        with(&server, &red, "GET", &format!("/v1/jobs/{ended}/logs?stream=stdout"), None).body,
        "secret\n"
    );
    let again = with(&server, &red, "POST", &format!("/v1/jobs/{ended}/retry"), None);
    assert_eq!((again.status, &again.json()["tenant"]), (201, &json!("red")), "{}", again.body);
    let repeated = with(&server, &first, "POST", &format!("/v1/jobs/{ended}/retry"), None);
    assert_eq!(repeated.json()["tenant"], "red", "an operator's repetition stays its owner's");
    assert_eq!(with(&server, &red, "POST", &format!("/v1/jobs/{live}/cancel"), None).status, 202);
    assert_eq!(with(&server, &red, "DELETE", &format!("/v1/jobs/{ended}"), None).status, 204);
}

#[test]
fn lists_and_keys_are_each_tenant_s_own_and_an_operator_sees_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let (first, _) = admin(&server);
    let [(red, _), (blue, _), (plain, _)] =
        ["red", "blue", "default"].map(|tenant| create(&server, &first, &json!({ "tenant": tenant })));
    let keyed = |token: &str, line: &str, server: &Server| {
        let body = json!({ "command": line });
        let mut stream = open(server, token, "POST", "/v1/jobs", Some(&body), "Idempotency-Key: same\r\n");
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let job: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        (
            text.contains("idempotent-replayed"),
            job["id"].as_str().unwrap_or_else(|| panic!("{text}")).to_owned(),
        )
    };
    let (_, of_red) = keyed(&red, "echo red", &server);
    let (_, of_blue) = keyed(&blue, "echo blue", &server);
    let (_, of_plain) = keyed(&plain, "echo plain", &server);
    assert_eq!(keyed(&red, "echo red", &server), (true, of_red.clone()));
    let batch = json!({ "jobs": [{ "command": "true" }] });
    let batch = with(&server, &red, "POST", "/v1/jobs/batch", Some(&batch)).json();
    assert_eq!(batch["items"][0]["job"]["tenant"], "red");
    let batch_id = batch["items"][0]["job"]["id"].as_str().unwrap().to_owned();
    let original = with(&server, &red, "POST", "/jobs", Some(&json!({ "command": "true" }))).json();
    let original = original["job_id"].as_str().unwrap().to_owned();
    for restarted in [false, true] {
        if restarted {
            server.kill();
            server = Server::start(folder.path());
        }
        let listed = |token: &str, query: &str| {
            let page = with(&server, token, "GET", &format!("/v1/jobs{query}"), None).json();
            let ids = page["items"].as_array().unwrap_or_else(|| panic!("{page}")).iter();
            ids.map(|job| job["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let reds = [&original, &batch_id, &of_red].map(String::clone);
        assert_eq!(listed(&red, ""), reds);
        assert_eq!(listed(&red, "?tenant=red"), reds);
        assert_eq!(listed(&red, "?limit=1"), reds[..1]);
        assert_eq!(listed(&blue, ""), *std::slice::from_ref(&of_blue));
        assert_eq!(listed(&plain, ""), *std::slice::from_ref(&of_plain));
        for query in ["?tenant=blue", "?tenant=default", "?tenant=never-heard-of"] {
            assert_eq!(listed(&red, query), [""; 0], "{query}");
        }
        assert_eq!(listed(&first, "?tenant=red"), reds);
        assert_eq!(listed(&first, "?tenant=default"), *std::slice::from_ref(&of_plain));
        assert_eq!(listed(&first, "").len(), 5);
        assert_eq!(with(&server, &first, "GET", "/v1/jobs?tenant=No!", None).status, 422);
    }
    let (code, out, err) = cli(&server, Some(&blue), &["show", "last", "-q"]);
    assert_eq!((code, out, err), (Some(0), of_blue, String::new()));
}

#[test]
fn the_command_line_makes_lists_and_revokes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let file = folder.path().join("admin");
    let path = file.to_str().unwrap();
    let (code, _, err) = cli(&server, None, &["token", "create", "--role", "user"]);
    assert_eq!((code, err.lines().count()), (Some(5), 1), "{err}");
    let made = cli(&server, None, &["token", "create", "--role", "admin", "--out", path]);
    assert_eq!((made.0, made.2.as_str()), (Some(0), ""), "{made:?}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let admin = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert!(!made.1.contains(&admin), "what is in the file is printed too");
    let again = cli(&server, Some(&admin), &["token", "create", "--out", path]);
    assert_eq!((again.0, again.2.contains("not there yet")), (Some(1), true), "{again:?}");
    let refused = folder.path().join("refused");
    let wrong = ["token", "create", "--role", "root", "--out", refused.to_str().unwrap()];
    assert_eq!(cli(&server, Some(&admin), &wrong).0, Some(5));
    assert!(!refused.exists(), "an empty file stays");
    assert_eq!(cli(&server, None, &["list"]).0, Some(4));
    let create =
        ["token", "create", "--scope", "submit,read", "--tenant", "red", "--expires", "30d", "--name", "ci"];
    let (code, user, _) = cli(&server, Some(&admin), &create);
    assert_eq!(code, Some(0));
    assert_eq!(cli(&server, Some(&user), &["run", "echo", "hi"]).1, "hi");
    let (code, _, err) = cli(&server, Some(&user), &["cancel", "last"]);
    assert_eq!((code, err.contains("`cancel`")), (Some(4), true), "{err}");
    let listed = cli(&server, Some(&admin), &["--token-file", path, "token", "list"]).1;
    assert!(listed.contains("TENANT") && listed.contains("submit,read") && listed.contains("ci"), "{listed}");
    let ids = cli(&server, Some(&admin), &["token", "list", "-q"]).1;
    let id = ids.lines().nth(1).unwrap();
    assert_eq!(cli(&server, Some(&admin), &["token", "revoke", id]).1, "Revoked 1 of 1 tokens");
    assert_eq!(cli(&server, Some(&user), &["list"]).0, Some(4));
    assert_eq!(cli(&server, Some(&admin), &["token", "revoke", "0123456789abcdef"]).0, Some(3));
    assert_eq!(cli(&server, Some("two words"), &["list"]).0, Some(78));
}
