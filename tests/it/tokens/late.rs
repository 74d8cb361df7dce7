//! Requests whose head came in time and whose body did not: they are judged by what holds when they are whole.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};

use super::{admin, create, open, submit, with};
use crate::process::PATIENCE;
use crate::server::Server;

/// A request that the server has let in, and of which half of the body is still to come.
struct Half {
    what: String,
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Half {
    fn begin(server: &Server, token: Option<&str>, method: &str, path: &str, body: &[u8]) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let shown = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let kind = if method == "PUT" { "application/octet-stream" } else { "application/json" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{shown}Content-Type: {kind}\r\n\
             Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        assert!(seen.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&seen));
        let (first, rest) = body.split_at(body.len() / 2);
        stream.write_all(first).unwrap();
        Self { what: format!("{method} {path}"), stream, rest: rest.to_vec() }
    }

    /// Sends the rest; the status of the answer.
    fn end(mut self) -> (String, u16) {
        self.stream.write_all(&self.rest).unwrap();
        let mut text = String::new();
        self.stream.read_to_string(&mut text).unwrap();
        let status = text.split_whitespace().nth(1).unwrap_or_else(|| panic!("{}: {text}", self.what));
        (self.what, status.parse().unwrap())
    }
}

/// Half of everything that changes something and has a body.
fn halves(server: &Server, token: Option<&str>, live: &str, ended: &str) -> Vec<Half> {
    let job = json!({ "command": "echo late" });
    let wanted = json!({ "role": "admin", "name": "late" });
    let begin = |method: &str, path: &str, body: &[u8]| Half::begin(server, token, method, path, body);
    let post = |path: &str, body: &Value| begin("POST", path, body.to_string().as_bytes());
    vec![
        post("/v1/jobs", &job),
        post("/v1/jobs?wait=5m", &job),
        post("/v1/jobs/batch", &json!({ "jobs": [job] })),
        post("/jobs", &job),
        post(&format!("/v1/jobs/{live}/cancel"), &json!({ "note": "late" })),
        post(&format!("/v1/jobs/{ended}/retry"), &json!({})),
        post("/v1/jobs/prune", &json!({ "older_than_ms": 0 })),
        post("/v1/queue/pause", &json!({})),
        begin("PUT", &format!("/v1/jobs/{live}/stdin"), b"late\n"),
        post("/v1/tokens", &wanted),
    ]
}

fn refused(halves: Vec<Half>) {
    for half in halves {
        let (what, status) = half.end();
        assert_eq!(status, 401, "{what}");
    }
}

/// A job that reads and one that is over, as `token` finds them.
fn jobs(server: &Server, token: &str) -> (String, String) {
    let body = json!({ "command": "cat", "stdin": { "stream": true } });
    let answer = with(server, token, "POST", "/v1/jobs", Some(&body));
    assert_eq!(answer.status, 202, "{}", answer.body);
    let live = answer.json()["id"].as_str().unwrap().to_owned();
    let ended = submit(server, token, "true");
    let seen = with(server, token, "GET", &format!("/v1/jobs/{ended}?wait=60s"), None).json();
    assert_eq!(seen["status"], "completed", "{seen}");
    (live, ended)
}

/// That both jobs are as they were and nothing else was made.
fn nothing_happened(server: &Server, token: &str, live: &str, ended: &str, tokens: usize) {
    let list = with(server, token, "GET", "/v1/jobs", None).json();
    let ids: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [ended, live]);
    assert_eq!(list["items"][1]["cancelling"], false, "{list}");
    let made = with(server, token, "GET", "/v1/tokens", None).json();
    assert_eq!(made["items"].as_array().map(Vec::len), Some(tokens), "{made}");
    let ready = with(server, token, "GET", "/readyz?verbose", None).body;
    assert!(ready.contains("queue running"), "{ready}");
    // What came late is no input of the job: it reads only what follows.
    let end = with(server, token, "PUT", &format!("/v1/jobs/{live}/stdin?end=true"), None);
    assert_eq!((end.status, &end.json()["accepted"]), (200, &json!(0)), "{}", end.body);
    assert_eq!(
        with(server, token, "GET", &format!("/v1/jobs/{live}?wait=60s"), None).json()["status"],
        "completed"
    );
    assert_eq!(with(server, token, "GET", &format!("/v1/jobs/{live}/logs?stream=stdout"), None).body, "");
}

#[test]
fn a_body_that_ends_after_its_token_was_revoked_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (first, _) = admin(&server);
    let (second, id) = create(&server, &first, &json!({ "role": "admin" }));
    let (live, ended) = jobs(&server, &first);
    let halves = halves(&server, Some(&second), &live, &ended);
    assert_eq!(with(&server, &first, "DELETE", &format!("/v1/tokens/{id}"), None).status, 204);
    refused(halves);
    nothing_happened(&server, &first, &live, &ended, 2);
}

#[test]
fn a_body_that_ends_after_its_token_has_expired_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (first, _) = admin(&server);
    let (live, ended) = jobs(&server, &first);
    let (brief, _) = create(&server, &first, &json!({ "role": "admin", "expires_in_ms": 3000 }));
    let halves = halves(&server, Some(&brief), &live, &ended);
    let began = Instant::now();
    while with(&server, &brief, "GET", "/v1/jobs", None).status != 401 {
        assert!(began.elapsed() < PATIENCE, "it does not expire");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    refused(halves);
    nothing_happened(&server, &first, &live, &ended, 2);
}

#[test]
fn nobody_without_a_token_goes_on_once_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (live, ended) = jobs(&server, "none");
    let halves = halves(&server, None, &live, &ended);
    let follow = |path: &str| open(&server, "none", "GET", path, None, "Accept: application/x-ndjson\r\n");
    let mut logs = follow(&format!("/v1/jobs/{live}/logs?follow=true"));
    let mut events = follow("/v1/events?follow=true&since=0");
    let mut wait = follow(&format!("/v1/jobs/{live}?wait=5m"));
    let mut begun = [0; 12];
    for stream in [&mut logs, &mut events] {
        stream.read_exact(&mut begun).unwrap();
        assert_eq!(&begun, b"HTTP/1.1 200");
    }
    let (first, _) = admin(&server);
    refused(halves);
    let rest = |stream: &mut TcpStream| {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    assert!(rest(&mut logs).contains("\"more\":true"));
    assert!(rest(&mut events).ends_with("\r\n0\r\n\r\n"), "the answer is not ended");
    assert!(rest(&mut wait).starts_with("HTTP/1.1 401"));
    nothing_happened(&server, &first, &live, &ended, 1);
}
