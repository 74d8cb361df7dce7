//! Coordinators and runners as processes of their own, over loopback: both ways to dial, what a job may ask for, and the
//! failures of either side and of the way between them. What has run is read from a file that the jobs wrote.

mod chaos;
mod faults;
mod fence;
mod goodbye;
mod original;
mod restored;
mod security;
mod survival;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::PATIENCE;
use crate::server::{Launch, Server, exchange, free_port};

/// How a runner and its coordinator come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dials {
    Runner,
    Coordinator,
}

const BOTH: [Dials; 2] = [Dials::Runner, Dials::Coordinator];

/// A coordinator that runs nothing itself.
fn coordinator(folder: &Path) -> Launch {
    Launch::over(&folder.join("coordinator")).slots(0).variable("CALLBOARD_LIVENESS", "test")
}

fn runner(folder: &Path, name: &str) -> Launch {
    Launch::over(&folder.join(name)).runner().variable("CALLBOARD_NAME", name)
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// A runner whose jobs end with it.
fn mortal(folder: &Path, name: &str) -> Launch {
    runner(folder, name).variable("CALLBOARD_HOLD_JOBS", "0")
}

/// One of each.
fn pair(folder: &Path, dials: Dials) -> (Server, Server) {
    pair_with(folder, dials, runner(folder, "a"))
}

fn pair_with(folder: &Path, dials: Dials, runner: Launch) -> (Server, Server) {
    match dials {
        Dials::Runner => {
            let coordinator = coordinator(folder).unready().start();
            let runner = runner.variable("CALLBOARD_JOIN", &url(coordinator.port)).start();
            until_ready(&coordinator);
            (coordinator, runner)
        }
        Dials::Coordinator => {
            let runner = runner.start();
            let coordinator = coordinator(folder).variable("RUNNER_URL", &url(runner.port)).unready().start();
            until_ready(&coordinator);
            (coordinator, runner)
        }
    }
}

/// Waits until jobs would start.
fn until_ready(coordinator: &Server) {
    until("no runner is ready", || {
        coordinator.ask("GET", "/readyz", None).is_some_and(|(status, _)| status == 200)
    });
}

fn until(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A line that leaves its beginning and end, by job and epoch, in a file.
fn noted(evidence: &Path, seconds: f64) -> String {
    let (file, name) = (evidence.display(), "$CALLBOARD_JOB_ID $CALLBOARD_EPOCH");
    format!("echo start {name} >> {file}; sleep {seconds}; echo end {name} >> {file}")
}

/// How often each job began and ended.
fn history(evidence: &Path) -> BTreeMap<String, (u32, u32)> {
    let mut seen = BTreeMap::<String, (u32, u32)>::new();
    for line in std::fs::read_to_string(evidence).unwrap_or_default().lines() {
        let [what, job, _] = line.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line}") };
        let count = seen.entry(job.to_owned()).or_default();
        if what == "start" { count.0 += 1 } else { count.1 += 1 }
    }
    seen
}

fn submit(server: &Server, body: &Value) -> String {
    let (status, job) = server.ask("POST", "/v1/jobs", Some(body)).expect("the coordinator answers");
    assert_eq!(status, 202, "{job}");
    job["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_job_runs_on_a_far_runner_whoever_dials() {
    for dials in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, _runner) = pair(folder.path(), dials);
        let id = coordinator.submit("echo hello; echo oops >&2; exit 3");
        let job = coordinator.until(&id, "failed");
        assert_eq!((&job["exit_code"], &job["reason"]), (&json!(3), &json!("exit_code")), "{dials:?} {job}");
        assert_eq!(coordinator.output(&id), "hello\n");
    }
}

#[test]
fn output_input_secrets_and_cancel_cross_the_way() {
    for dials in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, _runner) = pair(folder.path(), dials);
        // More than fits into the record: it is read from the runner's disk.
        let long = coordinator.submit("seq 1 200000");
        coordinator.until(&long, "completed");
        let output = coordinator.output(&long);
        assert!(output.starts_with("1\n2\n") && output.ends_with("200000\n"), "{dials:?} {}", output.len());
        let secret = submit(
            &coordinator,
            &json!({ "command": "printf %s \"$KEY\" | rev", "secret_env": { "KEY": "abc" } }),
        );
        coordinator.until(&secret, "completed");
        assert_eq!(coordinator.output(&secret), "cba", "{dials:?}");
        let fed = submit(&coordinator, &json!({ "command": "cat", "stdin": { "stream": true } }));
        coordinator.until(&fed, "running");
        let mut sent = 0;
        until("input is not taken", || {
            let path = format!("/v1/jobs/{fed}/stdin?offset={sent}&end=true");
            let answer = put(coordinator.port, &path, &"some words"[sent..]);
            sent = answer["accepted"].as_u64().unwrap_or(sent as u64) as usize;
            sent == 10
        });
        coordinator.until(&fed, "completed");
        assert_eq!(coordinator.output(&fed), "some words", "{dials:?}");
        let endless = coordinator.submit("echo begun; sleep 1000");
        until("no output of a running job", || coordinator.output(&endless) == "begun\n");
        coordinator.ask("POST", &format!("/v1/jobs/{endless}/cancel"), None).unwrap();
        let job = coordinator.until(&endless, "cancelled");
        assert_eq!(job["reason"], "user", "{dials:?}");
    }
}

fn put(port: u16, path: &str, body: &str) -> Value {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or(Value::Null)
}

#[test]
fn a_runner_goes_on_through_the_restart_of_its_coordinator() {
    for dials in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, runner) = pair(folder.path(), dials);
        let evidence = folder.path().join("evidence");
        let running = first.submit(&noted(&evidence, 1.5));
        let finishing = first.submit(&noted(&evidence, 0.3));
        first.until(&running, "running");
        first.until(&finishing, "running");
        let port = first.port;
        first.kill();
        // One of them ends while nobody is there to be told.
        std::thread::sleep(Duration::from_millis(600));
        let again = coordinator(folder.path()).on_port(port).unready();
        let again = match dials {
            Dials::Runner => again.start(),
            Dials::Coordinator => again.variable("RUNNER_URL", &url(runner.port)).start(),
        };
        for id in [&running, &finishing] {
            let job = again.until(id, "completed");
            assert_eq!(history(&evidence)[id.as_str()], (1, 1), "{dials:?} {job}");
        }
    }
}

#[test]
fn results_outlive_a_runner_that_is_killed_before_it_could_tell_them() {
    for dials in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, mut node) = pair(folder.path(), dials);
        let evidence = folder.path().join("evidence");
        let id = first.submit(&noted(&evidence, 0.3));
        first.until(&id, "running");
        let (port, node_port) = (first.port, node.port);
        first.kill();
        until("the job did not end", || history(&evidence).get(&id).is_some_and(|seen| seen.1 == 1));
        // The result is on disk before its slot is free.
        std::thread::sleep(Duration::from_millis(500));
        node.kill();
        let again = coordinator(folder.path()).on_port(port).unready();
        let again = match dials {
            Dials::Runner => again.start(),
            Dials::Coordinator => again.variable("RUNNER_URL", &url(node_port)).start(),
        };
        let node = runner(folder.path(), "a").on_port(node_port);
        let _node = match dials {
            Dials::Runner => node.variable("CALLBOARD_JOIN", &url(port)).start(),
            Dials::Coordinator => node.start(),
        };
        again.until(&id, "completed");
        assert_eq!(history(&evidence)[&id], (1, 1), "{dials:?}");
    }
}

#[test]
fn a_runner_that_is_killed_loses_its_attempts_and_the_jobs_run_again() {
    for dials in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, mut node) = pair_with(folder.path(), dials, mortal(folder.path(), "a"));
        let evidence = folder.path().join("evidence");
        let id = coordinator.submit(&noted(&evidence, 0.8));
        let never = submit(&coordinator, &json!({ "command": "sleep 60", "on_lost": "never" }));
        coordinator.until(&id, "running");
        coordinator.until(&never, "running");
        let node_port = node.port;
        node.kill();
        let node = mortal(folder.path(), "a").on_port(node_port);
        let _node = match dials {
            Dials::Runner => node.variable("CALLBOARD_JOIN", &url(coordinator.port)).start(),
            Dials::Coordinator => node.start(),
        };
        coordinator.until(&id, "completed");
        let (began, ended) = history(&evidence)[&id];
        assert_eq!((began, ended), (2, 1), "{dials:?}: the first attempt was killed with its runner");
        let lost = coordinator.until(&never, "failed");
        assert_eq!(lost["reason"], "runner_lost", "{dials:?} {lost}");
    }
}

#[test]
fn a_runner_that_is_back_before_it_was_missed_has_its_jobs_run_again() {
    let folder = tempfile::tempdir().unwrap();
    // With the usual times: it is neither suspect nor lost when it is back.
    let coordinator = coordinator(folder.path()).variable("CALLBOARD_LIVENESS", "default").unready().start();
    let join = |launch: Launch| launch.variable("CALLBOARD_JOIN", &url(coordinator.port));
    let mut node = join(mortal(folder.path(), "a")).start();
    until_ready(&coordinator);
    let evidence = folder.path().join("evidence");
    let id = coordinator.submit(&noted(&evidence, 1.0));
    coordinator.until(&id, "running");
    node.kill();
    let _node = join(mortal(folder.path(), "a")).start();
    let job = coordinator.until(&id, "completed");
    assert_eq!(job["attempts"][0]["fate"], "lost", "{job}");
    assert_eq!(history(&evidence)[&id], (2, 1), "{job}");
}

#[test]
fn many_heavy_jobs_reach_a_far_runner_and_heavy_results_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let launch = || coordinator(folder.path()).on_port(port).unready();
    let mut coordinator = launch().start();
    let node = runner(folder.path(), "a").slots(72).variable("CALLBOARD_OUTPUT_INLINE", "1MiB");
    let _node = node.variable("CALLBOARD_JOIN", &url(port)).start();
    until_ready(&coordinator);
    coordinator.ask("POST", "/v1/queue/pause", None).unwrap();
    // Escaped, each of these takes six times its size on the way: all of them at once would fit into no body.
    let heavy = "\u{1}".repeat(170_000);
    let (begun, go) = (folder.path().join("begun"), folder.path().join("go"));
    let output = "head -c 300000 /dev/zero | tr '\\0' '\\377'";
    let wait = format!("until test -e {}; do sleep 0.1; done", go.display());
    let command = format!("echo >> {}; {wait}; {output}", begun.display());
    let body = json!({ "command": command, "stdin": { "text": heavy } });
    let ids: Vec<String> = (0..72).map(|_| submit(&coordinator, &body)).collect();
    coordinator.ask("POST", "/v1/queue/resume", None).unwrap();
    // They are ordered at once, and while nobody asks for their results these gather too.
    let has_begun = || std::fs::read_to_string(&begun).unwrap_or_default().lines().count();
    until("not all have begun", || has_begun() == 72);
    coordinator.kill();
    std::fs::write(&go, "").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let coordinator = launch().start();
    for id in ids {
        let job = coordinator.until(&id, "completed");
        assert_eq!(job["stdout"]["total_bytes"], 300_000, "{id}");
    }
}

#[test]
fn a_runner_that_is_told_to_stop_lets_its_jobs_end() {
    for dials in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, mut node) = pair(folder.path(), dials);
        let evidence = folder.path().join("evidence");
        let id = coordinator.submit(&noted(&evidence, 0.5));
        coordinator.until(&id, "running");
        node.signal(rustix::process::Signal::TERM);
        coordinator.until(&id, "completed");
        // It is not given what is submitted now, and has nothing to wait for.
        let waits = coordinator.submit("true");
        assert_eq!(node.exit_code(), Some(0), "{dials:?}");
        assert_eq!(coordinator.job(&waits)["status"], "pending", "{dials:?}");
        assert_eq!(history(&evidence)[&id], (1, 1), "{dials:?}");
    }
}

#[test]
fn a_coordinator_that_cannot_reach_its_runner_keeps_trying() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let coordinator = coordinator(folder.path()).variable("RUNNER_URL", &url(port)).unready().start();
    let id = coordinator.submit("echo at last");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(coordinator.job(&id)["status"], "pending");
    let _runner = runner(folder.path(), "a").on_port(port).start();
    coordinator.until(&id, "completed");
}

#[test]
fn a_runner_serves_execute_beside_its_coordinator() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, runner) = pair(folder.path(), Dials::Coordinator);
    let body = json!({ "command": "echo beside" });
    let answer = exchange(runner.port, "POST", "/execute", Some(&body)).expect("the runner answers");
    assert_eq!((answer.status, &answer.json()["stdout"]), (200, &json!("beside\n")), "{}", answer.body);
    let id = coordinator.submit("echo both");
    coordinator.until(&id, "completed");
}

#[test]
fn a_dialled_runner_says_what_its_rooms_are_worth_once_in_each_life() {
    let folder = tempfile::tempdir().unwrap();
    let node = runner(folder.path(), "a").start();
    let post = |path: &str, body: &Value| {
        let (status, answer) = node.ask("POST", &format!("/v1/node/{path}"), Some(body)).expect("it answers");
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    };
    let cluster = post("hello", &json!({ "min": 1, "max": 1 }))["node"].clone();
    for life in [1, 2] {
        let registration = json!({ "cluster": cluster, "incarnation": life, "term": 1 });
        post("begin", &json!({ "proto": 1, "registration": registration, "heartbeat_ms": 1000 }));
        let watch = || post("watch", &json!({ "registration": registration, "hold_ms": 0 }))["rooms"].clone();
        assert!(watch().is_object(), "in life {life}");
        assert_eq!([watch(), watch()], [Value::Null, Value::Null], "in life {life}");
    }
}
