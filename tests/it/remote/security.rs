//! Who may join, dial and report: the tokens of the node protocol, on real servers.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{runner, until, url};
use crate::server::{BINARY, Launch, Server, knows_no_settings};

fn secret_file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A coordinator that demands a token; its own is in the file.
fn guarded(folder: &Path) -> (Server, PathBuf) {
    let file = secret_file(folder, "operator", "operator-of-this-test");
    let launch = Launch::over(&folder.join("coordinator"))
        .slots(0)
        .unready()
        .variable("CALLBOARD_TOKEN_FILE", file.to_str().unwrap());
    (launch.start(), file)
}

fn callboard(server: &Server, token_file: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(BINARY);
    knows_no_settings(&mut command);
    command
        .args(["--server", &url(server.port), "--token-file", token_file.to_str().unwrap()])
        .args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn post(server: &Server, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let body = body.to_string();
    let shown = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{shown}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn hello(node: &str) -> Value {
    json!({ "protos": { "min": 1, "max": 1 }, "node": node, "spec": { "name": "x", "slots": 1 } })
}

const NODE: &str = "01900000-0000-7000-8000-000000000001";
const OTHER: &str = "01900000-0000-7000-8000-000000000002";

#[test]
fn a_runner_joins_with_a_token_of_its_scope_and_with_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, operator) = guarded(folder.path());
    let join = callboard(&coordinator, &operator, &["token", "create", "--scope", "runner"]);
    let join = join
        .split_whitespace()
        .find(|word| word.starts_with("cb_") || word.len() > 60)
        .unwrap_or_else(|| panic!("{join}"));
    let submit = callboard(&coordinator, &operator, &["token", "create", "--scope", "submit,read"]);
    let submit = submit.split_whitespace().find(|word| word.len() > 60).unwrap();
    assert_eq!(post(&coordinator, "/v1/node/register", None, &hello(NODE)).0, 401);
    assert_eq!(post(&coordinator, "/v1/node/register", Some(submit), &hello(NODE)).0, 403);
    let file = secret_file(folder.path(), "join", join);
    let _runner = runner(folder.path(), "a")
        .variable("CALLBOARD_JOIN", &url(coordinator.port))
        .variable("CALLBOARD_JOIN_TOKEN_FILE", file.to_str().unwrap())
        .start();
    let printed =
        callboard(&coordinator, &operator, &["submit", "--wait", "-o", "json", "--", "echo", "let in"]);
    let job: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(job["status"], "completed", "{job}");
}

#[test]
fn the_token_of_one_runner_speaks_for_no_other_and_opens_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, operator) = guarded(folder.path());
    let operator = std::fs::read_to_string(operator).unwrap();
    let (status, registered) = post(&coordinator, "/v1/node/register", Some(operator.trim()), &hello(NODE));
    assert_eq!(status, 200, "{registered}");
    let token = registered["token"].as_str().unwrap();
    let registration = &registered["registration"];
    let report = |node: &str| {
        json!({
            "proto": 1, "cluster": registration["cluster"], "node": node, "incarnation": registration["incarnation"],
            "n": 1, "cmd_seen": 0, "usable_slots": 1, "inventory": { "full": [] },
            "started": [], "finished": [], "returned": [],
        })
    };
    assert_eq!(post(&coordinator, "/v1/node/report", Some(token), &report(OTHER)).0, 403);
    assert_eq!(post(&coordinator, "/v1/node/register", Some(token), &hello(OTHER)).0, 403);
    let (status, answer) = post(&coordinator, "/v1/node/report", Some(token), &report(NODE));
    assert_eq!(status, 200, "{answer}");
    for (path, body) in [("/v1/jobs", json!({ "command": "true" })), ("/v1/queue/pause", json!({}))] {
        assert_eq!(post(&coordinator, path, Some(token), &body).0, 403, "{path}");
    }
    let mut forged = token.to_owned();
    forged.replace_range(forged.len() - 1.., if token.ends_with('0') { "1" } else { "0" });
    assert_eq!(post(&coordinator, "/v1/node/report", Some(&forged), &report(NODE)).0, 401);
}

#[test]
fn a_runner_that_demands_a_token_is_dialled_with_it_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = secret_file(folder.path(), "of-runner", "token-of-the-runner");
    let file = file.to_str().unwrap();
    let node = runner(folder.path(), "a").variable("CALLBOARD_TOKEN_FILE", file).unready().start();
    let launch = |name: &str| {
        Launch::over(&folder.path().join(name)).slots(0).variable("RUNNER_URL", &url(node.port)).unready()
    };
    let stranger = launch("stranger").start();
    let id = stranger.submit("true");
    let known = launch("known").variable("CALLBOARD_RUNNER_TOKEN_FILE", file).start();
    let runs = known.submit("true");
    known.until(&runs, "completed");
    until("a stranger's job still waits", || stranger.job(&id)["status"] == "pending");
}
