//! Starting where one cannot, and stopping while a request is held.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::process::{finish, until};
use crate::server::{BINARY, Launch, Server, ask, exchange};

fn serve(args: &[&str], variable: Option<(&str, &str)>) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("serve").args(args).envs(variable).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap(), None)
}

#[test]
fn a_server_that_cannot_start_says_why_in_one_line_and_how_to_mend_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let (taken, data_dir) = (format!("127.0.0.1:{}", server.port), server.data_dir.display().to_string());
    let other = folder.path().join("other").display().to_string();
    let config = folder.path().join("callboard.toml");
    std::fs::write(&config, "[server]\nslotz = 3\n").unwrap();
    let config = config.display().to_string();
    for (args, variable, code, said) in [
        (&["--bind", "127.0.0.1:0", "--data-dir", &data_dir][..], None, 1, "in use by another callboard"),
        (&["--bind", &taken, "--data-dir", &other], None, 1, "--bind"),
        (&["--bind", "0.0.0.0:0", "--data-dir", &other], None, 78, "--token-file"),
        (&["--bind", "127.0.0.1:0"], Some(("RUNNER_URL", "127.0.0.1:1")), 78, "RUNNER_URL"),
        (&["--config", &config], None, 78, "slotz"),
        (&["--config", "/no/such/file"], None, 78, "--config"),
    ] {
        let done = serve(args, variable);
        let words = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{args:?}: {words}");
        assert_eq!(words.lines().count(), 1, "{args:?}: {words}");
        assert!(words.contains(said), "{args:?}: {words}");
    }
}

#[test]
fn a_stop_is_not_delayed_by_a_held_request_and_the_job_waits_for_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let port = server.port;
    let held = std::thread::spawn(move || {
        ask(port, "POST", "/v1/jobs?wait=60s", Some(&json!({"command": "sleep 60", "grace_ms": 100})))
    });
    let began = Instant::now();
    while server.ask("GET", "/v1/jobs?status=running", None).unwrap().1["items"][0]["id"].is_null() {
        assert!(began.elapsed() < Duration::from_secs(10), "the job does not start");
    }
    let began = Instant::now();
    assert_eq!(server.terminate(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let (status, job) = held.join().unwrap().unwrap();
    assert_eq!(status, 202, "{job}");
    let again = Server::start(folder.path());
    let (_, job) = again.ask("GET", &format!("/v1/jobs/{}", job["id"].as_str().unwrap()), None).unwrap();
    assert!(matches!(job["status"].as_str(), Some("pending" | "running")), "{job}");
    assert_eq!(job["attempts"][0]["fate"], "lost", "{job}");
    let cancel = format!("/v1/jobs/{}/cancel", job["id"].as_str().unwrap());
    assert!(matches!(again.ask("POST", &cancel, None).unwrap().0, 200 | 202));
}

#[test]
fn a_second_signal_ends_it_at_once_with_a_failure_and_its_jobs_are_dead_and_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let launch = Launch::over(&folder.path().join("data")).grace("10m");
    let mut server = launch.clone().start();
    // Deaf to TERM, so that only the end of its keeper ends it.
    let line = format!("trap '' TERM; echo $$ >> {}; while :; do sleep 0.05; done", mark.display());
    let id = server.submit(&line);
    let process = || std::fs::read_to_string(&mark).unwrap_or_default().trim().to_owned();
    until("it runs", || !process().is_empty());
    let process = format!("/proc/{}", process());
    server.signal(Signal::TERM);
    until("it stops to take jobs", || {
        server.ask("GET", "/readyz", None).is_none_or(|answer| answer.0 == 503)
    });
    assert!(Path::new(&process).exists(), "the job has its grace");
    let began = Instant::now();
    server.signal(Signal::INT);
    assert_eq!(server.exit_code(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    until("nothing of it is left", || server.keepers() == 0 && !Path::new(&process).exists());

    let again = launch.start();
    until("it runs again", || again.job(&id)["status"] == "running");
    let job = again.job(&id);
    assert_eq!(job["attempts"].as_array().unwrap().len(), 1, "{job}");
    assert_eq!(job["attempts"][0]["fate"], "lost", "{job}");
}

#[test]
fn the_same_signal_twice_at_once_is_one_signal_and_later_it_is_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Launch::over(&folder.path().join("data")).grace("10m").start();
    let id = server.submit("trap '' TERM; while :; do sleep 0.05; done");
    server.until(&id, "running");
    server.signal(Signal::TERM);
    until("it stops to take jobs", || {
        server.ask("GET", "/readyz", None).is_none_or(|answer| answer.0 == 503)
    });
    server.signal(Signal::TERM);
    // Longer than an echo may take; a process that was ended by it would be gone by now.
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(server.job(&id)["status"], "running", "the echo ended nothing");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(1));
}

#[test]
fn a_server_that_is_open_to_everyone_says_so_wherever_one_may_look() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    for (bind, insecure, word) in [("0.0.0.0", "true", "1"), ("127.0.0.1", "false", "0")] {
        let launch = Launch::over(&folder.path().join("data")).variable("CALLBOARD_INSECURE", insecure);
        let mut server = launch.bind(bind).log_to(&log).start();
        let health = server.ask("GET", "/health", None).unwrap().1["warnings"].to_string();
        let metrics = exchange(server.port, "GET", "/metrics", None).unwrap().body;
        let gauge = format!("callboard_insecure {word}");
        assert!(metrics.lines().any(|line| line == gauge), "{gauge}");
        let logged = std::fs::read_to_string(&log).unwrap();
        for told in [health, logged] {
            assert_eq!(told.contains("anyone who reaches"), word == "1", "{told}");
        }
        assert_eq!(server.terminate(), Some(0));
        std::fs::remove_file(&log).unwrap();
    }
}
