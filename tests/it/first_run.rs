//! The first minutes of a user: `run` without a server, the original's curl session, what bad input gets.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::process::{exit_within, finish};
use crate::server::{BINARY, Server, free_port};

fn run(args: &[&str], input: Option<Vec<u8>>) -> Output {
    let child = Command::new(BINARY)
        .arg("run")
        .args(args)
        // No server of the developer's own may answer.
        .env_remove("CALLBOARD_SERVER")
        .env("XDG_CONFIG_HOME", "/dev/null")
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    finish(child, input)
}

#[test]
fn run_passes_output_and_exit_code_through() {
    let done = run(&["--", "sh", "-c", "echo out; echo err >&2; exit 3"], None);
    assert_eq!(String::from_utf8_lossy(&done.stdout), "out\n");
    assert_eq!(String::from_utf8_lossy(&done.stderr), "err\n");
    assert_eq!(done.status.code(), Some(3));
}

#[test]
fn run_says_how_a_job_ended_otherwise() {
    for (args, code) in [
        (&["--timeout", "300ms", "--", "sleep", "30"][..], 124),
        (&["--", "no-such-program-anywhere"], 127),
        (&["--", "/etc/passwd"], 126),
        (&["--cwd", "/not found", "--", "true"], 126),
        (&["--", "sh", "-c", "kill -9 $$"], 137),
        (&["--isolation", "strict", "--", "true"], 125),
    ] {
        let done = run(args, None);
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
    }
}

#[test]
fn run_streams_input_and_large_output_byte_for_byte() {
    let input: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
    let done = run(&["--", "cat"], Some(input.clone()));
    assert_eq!(done.status.code(), Some(0));
    // The first piece is refused until the job has started, which is nobody's trouble.
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    assert!(done.stdout == input, "{} bytes came back of {}", done.stdout.len(), input.len());
}

#[test]
fn a_job_is_done_when_its_process_is_and_takes_its_daemons_along() {
    let began = Instant::now();
    let mark = format!("{}.5", 20_000 + u64::from(free_port()));
    let done = run(&["--", "sh", "-c", &format!("setsid sleep {mark} & echo done")], None);
    assert_eq!(String::from_utf8_lossy(&done.stdout), "done\n");
    assert!(began.elapsed() < Duration::from_secs(10));
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok());
    let survivors: Vec<_> = lines.filter(|line| line.starts_with("sleep") && line.contains(&mark)).collect();
    assert_eq!(survivors, Vec::<String>::new());
}

#[test]
fn the_originals_session_works_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let (status, accepted) =
        server.ask("POST", "/jobs", Some(&json!({"command": "echo hi; echo no >&2"}))).unwrap();
    assert_eq!((status, &accepted["status"]), (200, &json!("pending")));
    let id = accepted["job_id"].as_str().unwrap().to_owned();
    let (status, _) = server.ask("GET", &format!("/v1/jobs/{id}?wait=10s"), None).unwrap();
    assert_eq!(status, 200);
    let (_, job) = server.ask("GET", &format!("/jobs/{id}"), None).unwrap();
    assert_eq!(job["status"], "completed");
    assert_eq!(
        (&job["stdout"], &job["stderr"], &job["exit_code"]),
        (&json!("hi\n"), &json!("no\n"), &json!(0))
    );
    let (_, late) = server.ask("POST", "/jobs", Some(&json!({"command": "sleep 9", "timeout": 1}))).unwrap();
    let late = late["job_id"].as_str().unwrap().to_owned();
    server.ask("GET", &format!("/v1/jobs/{late}?wait=10s"), None).unwrap();
    let (_, late) = server.ask("GET", &format!("/jobs/{late}"), None).unwrap();
    assert_eq!((&late["status"], &late["exit_code"]), (&json!("failed"), &json!(-1)));
    assert!(late["stderr"].as_str().unwrap().starts_with("Command timed out after 1 seconds"));
    let (_, health) = server.ask("GET", "/health", None).unwrap();
    assert_eq!((&health["status"], &health["service"]), (&json!("healthy"), &json!("coordinator")));
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(server.keepers(), 0);
}

#[test]
fn bad_input_gets_its_status_as_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let job = |command: String| json!({ "command": command });
    for (method, path, body, wanted) in [
        ("POST", "/jobs", json!({"command": "x", "timeout": 301}), 422),
        ("POST", "/jobs", json!({"command": ""}), 422),
        ("POST", "/v1/jobs", job("a\u{0}b".into()), 422),
        ("POST", "/v1/jobs", job("a".repeat(200 * 1024)), 422),
        ("POST", "/v1/jobs", job("a".repeat(10 << 20)), 413),
        ("POST", "/v1/jobs", json!({"command": "x", "isolation": "strict"}), 422),
        ("POST", "/v1/jobs", json!({"command": "x", "colour": "red"}), 422),
        ("GET", "/v1/jobs/00000000-0000-7000-8000-000000000000", json!(null), 404),
        ("GET", "/jobs/nonsense", json!(null), 404),
        ("GET", "/nowhere", json!(null), 404),
        ("DELETE", "/jobs", json!(null), 405),
        ("GET", "/v1/jobs?colour=red", json!(null), 422),
    ] {
        let body = (!body.is_null()).then_some(body);
        let (status, problem) = server.ask(method, path, body.as_ref()).unwrap();
        assert_eq!(status, wanted, "{method} {path}: {problem}");
        assert_eq!(problem["status"], wanted, "{method} {path}: {problem}");
        assert!(problem["request_id"].is_string(), "{method} {path}: {problem}");
    }
}

#[test]
fn cancel_twice_and_wait_on_a_finished_job() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (_, job) = server
        .ask("POST", "/v1/jobs", Some(&json!({"command": "trap '' TERM; sleep 60", "grace_ms": 200})))
        .unwrap();
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    let cancel = format!("{path}/cancel");
    assert!(matches!(server.ask("POST", &cancel, None).unwrap().0, 200 | 202));
    assert!(matches!(server.ask("POST", &cancel, None).unwrap().0, 200 | 202));
    let (_, ended) = server.ask("GET", &format!("{path}?wait=10s"), None).unwrap();
    assert_eq!((&ended["status"], &ended["reason"]), (&json!("cancelled"), &json!("user")));
    let (status, again) = server.ask("GET", &format!("{path}?wait=10s"), None).unwrap();
    assert_eq!((status, &again["status"]), (200, &json!("cancelled")));
    let (_, done) = server.ask("POST", "/v1/jobs?wait=10s", Some(&json!({"command": "true"}))).unwrap();
    let (status, _) =
        server.ask("POST", &format!("/v1/jobs/{}/cancel", done["id"].as_str().unwrap()), None).unwrap();
    assert_eq!(status, 409);
}

/// `run` with a job that says that it runs by making a file, after `prepare` of a shell; its temporary folder.
fn long_run(prepare: &str) -> (Child, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let started = folder.path().join("started");
    let temporary = folder.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let line =
        format!("{prepare} exec \"$0\" run --grace 100ms -- sh -c 'touch {}; sleep 60'", started.display());
    let child = Command::new("sh")
        .args(["-c", &line, BINARY])
        .env_remove("CALLBOARD_SERVER")
        .env("XDG_CONFIG_HOME", "/dev/null")
        .env("TMPDIR", &temporary)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&started);
    (child, folder)
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn a_signal_cancels_the_job_and_leaves_nothing() {
    for (kind, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let (mut child, folder) = long_run("");
        signal(&child, kind);
        assert_eq!(exit_within(&mut child, Duration::from_secs(20)).code(), Some(code));
        let left: Vec<_> = std::fs::read_dir(folder.path().join("tmp")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_hangup_that_nohup_ignores_stays_ignored() {
    let (mut child, _folder) = long_run("trap '' HUP;");
    signal(&child, Signal::HUP);
    signal(&child, Signal::TERM);
    assert_eq!(exit_within(&mut child, Duration::from_secs(20)).code(), Some(143));
}

#[test]
fn ctrl_c_is_heard_while_nobody_reads_the_output() {
    let folder = tempfile::tempdir().unwrap();
    let started = folder.path().join("started");
    let line = format!("yes | head -c 4000000; touch {}; sleep 60", started.display());
    let mut child = Command::new(BINARY)
        .current_dir(folder.path())
        .args(["run", "--", "sh", "-c", &line])
        .env_remove("CALLBOARD_SERVER")
        .env("XDG_CONFIG_HOME", "/dev/null")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&started);
    signal(&child, Signal::INT);
    // The first cancels the job; the second leaves without the rest of its output.
    std::thread::sleep(Duration::from_secs(1));
    assert!(child.try_wait().unwrap().is_none(), "the output was not all read");
    signal(&child, Signal::INT);
    assert_eq!(exit_within(&mut child, Duration::from_secs(20)).code(), Some(130));
}

#[test]
fn a_reader_that_goes_away_ends_the_job() {
    let mut child = Command::new(BINARY)
        .args(["run", "--grace", "1s", "--", "sh", "-c", "while sleep 0.05; do echo tick; done"])
        .env_remove("CALLBOARD_SERVER")
        .env("XDG_CONFIG_HOME", "/dev/null")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = [0; 5];
    let mut reader = child.stdout.take().unwrap();
    std::io::Read::read_exact(&mut reader, &mut first).unwrap();
    drop(reader);
    exit_within(&mut child, Duration::from_secs(20));
}

fn wait_for(file: &std::path::Path) {
    let began = Instant::now();
    while !file.exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "{} does not appear", file.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}
