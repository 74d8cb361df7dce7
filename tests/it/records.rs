//! What is kept of finished jobs, and for how long: the real server over a real folder.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};

use crate::process::{PATIENCE, until};
use crate::server::{Launch, Server, exchange, request};

const LOUD: &str = "head -c 40000 /dev/zero";

fn spooled(server: &Server) -> usize {
    std::fs::read_dir(server.data_dir.join("spool")).map_or(0, |entries| entries.flatten().count())
}

fn stats(server: &Server) -> Value {
    server.ask("GET", "/v1/stats", None).expect("it answers").1
}

#[test]
fn beyond_a_size_the_longest_finished_go_with_their_output_and_live_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    // One after the other: of two that run at once the later one may be the first to end.
    let one = |_| {
        let id = server.submit(LOUD);
        server.until(&id, "completed");
        id
    };
    let ids: Vec<String> = (0..5).map(one).collect();
    let kept = stats(&server)["retained_bytes"].as_u64().unwrap();
    assert!((5 * 41_000..5 * 42_000).contains(&kept), "{kept}");
    assert_eq!(spooled(&server), 5);
    let live = server.submit("sleep 1000");
    server.until(&live, "running");
    server.kill();
    let server = Launch::over(folder.path()).variable("CALLBOARD_RETENTION_BYTES", "85kB").start();
    until("the sizes fit", || stats(&server)["retained_bytes"].as_u64().unwrap() <= 85_000);
    assert_eq!(stats(&server)["jobs"]["completed"], 2);
    for id in &ids[..3] {
        assert_eq!(server.ask("GET", &format!("/v1/jobs/{id}"), None).unwrap().0, 404);
    }
    ids[3..].iter().for_each(|id| assert_eq!(server.output(id).len(), 40_000));
    until("their output is gone", || spooled(&server) <= 3);
    assert!(["pending", "running"].map(Value::from).contains(&server.job(&live)["status"]));
    let metrics = || exchange(server.port, "GET", "/metrics", None).unwrap().body;
    until("it is counted", || metrics().contains("\ncallboard_jobs_forgotten_total 3\n"));
}

#[test]
fn a_prune_forgets_for_good_and_a_dry_run_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let ids: Vec<String> = [LOUD, "exit 3", "true"].map(|line| server.submit(line)).into();
    ["completed", "failed", "completed"]
        .iter()
        .zip(&ids)
        .for_each(|(status, id)| _ = server.until(id, status));
    let prune = |server: &Server, body: Value| server.ask("POST", "/v1/jobs/prune", Some(&body)).unwrap();
    until("they ended a moment ago", || prune(&server, json!({"dry_run": true})).1["jobs"] == 3);
    assert_eq!(stats(&server)["jobs"]["completed"], 2);
    let (status, answer) = prune(&server, json!({"status": ["completed"]}));
    assert_eq!((status, &answer["jobs"]), (200, &json!(2)));
    assert!(answer["bytes"].as_u64().unwrap() > 40_000, "{answer}");
    until("the output is gone", || spooled(&server) == 0);
    let events = exchange(server.port, "GET", "/v1/events", None).unwrap().body;
    assert_eq!(events.matches("\"deleted\"").count(), 2, "{events}");
    server.kill();
    let server = Server::start(folder.path());
    let (_, list) = server.ask("GET", "/v1/jobs", None).unwrap();
    let left: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!(left, [&ids[1]]);
    assert_eq!(stats(&server)["jobs"]["failed"], 1);
}

#[test]
fn more_jobs_than_one_commit_forgets_are_forgotten_by_one_request() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).slots(4).start();
    let jobs: Vec<Value> = (0..1000).map(|_| json!({"command": ["true"]})).collect();
    for count in [1000, 500] {
        let body = json!({"jobs": jobs[..count]});
        assert_eq!(server.ask("POST", "/v1/jobs/batch", Some(&body)).unwrap().0, 200);
    }
    until("all are over", || stats(&server)["jobs"]["completed"] == 1500);
    let (_, answer) = server.ask("POST", "/v1/jobs/prune", Some(&json!({}))).unwrap();
    assert_eq!((&answer["jobs"], &answer["more"]), (&json!(1500), &json!(false)));
    assert_eq!(stats(&server)["retained_bytes"], 0);
}

/// Lines of an answer that goes on.
fn follow(server: &Server, path: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request("GET", path, "").as_bytes()).unwrap();
    BufReader::new(stream)
}

/// The next event whose word is this; chunk sizes and heads are passed over.
fn next(lines: &mut BufReader<TcpStream>, event: &str) -> Option<Value> {
    let mut line = String::new();
    let began = Instant::now();
    while lines.read_line(&mut line).unwrap() > 0 {
        assert!(began.elapsed() < PATIENCE, "nothing was heard of {event}");
        let found = serde_json::from_str::<Value>(&line).ok().filter(|value| value["event"] == event);
        if found.is_some() {
            return found;
        }
        line.clear();
    }
    None
}

#[test]
fn a_follower_hears_of_a_job_and_after_a_restart_of_the_gap() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let mut lines = follow(&server, "/v1/events?follow=true");
    // The head has come: it follows from here on.
    let mut head = String::new();
    lines.read_line(&mut head).unwrap();
    assert!(head.contains("200"), "{head}");
    let id = server.submit("exit 4");
    let ended = next(&mut lines, "ended").expect("it hears of the end");
    assert_eq!((&ended["job"], &ended["reason"]), (&json!(id), &json!("exit_code")));
    assert_eq!(server.terminate(), Some(0), "a follower does not hold up a stop");
    assert_eq!(next(&mut lines, "ended"), None);
    let server = Server::start(folder.path());
    let since = ended["id"].as_str().unwrap();
    let again = exchange(server.port, "GET", &format!("/v1/events?since={since}"), None).unwrap().body;
    let gap = again.lines().find(|line| line.contains("\"gap\"")).expect("it is told");
    assert!(gap.contains("\"restart\""), "{gap}");
}
