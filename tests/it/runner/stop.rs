//! Where a runner does not start, who may use it, and how it stops.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::*;
use crate::process::{finish, until};
use crate::server::BINARY;

fn start(args: &[&str], variable: Option<(&str, &str)>) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("runner").args(args).envs(variable).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap(), None)
}

#[test]
fn a_runner_that_cannot_start_says_why_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (new, kept) = (path("new"), path("kept"));
    // A server was here once, and its records refer to the output in this folder.
    assert_eq!(Launch::over(&folder.path().join("kept")).start().terminate(), Some(0));
    let runner = launch(folder.path()).start();
    let used = runner.data_dir.display().to_string();
    let local = "127.0.0.1:0";
    for (args, variable, code, said) in [
        (&["--bind", "0.0.0.0:0", "--data-dir", &new][..], None, 78, "--token-file"),
        (&["--bind", local, "--data-dir", &kept], None, 1, "records of a durable node"),
        (&["--bind", local, "--data-dir", &used], None, 1, "in use by another callboard"),
        (&["--bind", local, "--data-dir", &new], Some(("CALLBOARD_STORE", "sqlite")), 78, "keeps no jobs"),
        (&["--bind", local, "--data-dir", &new], Some(("CALLBOARD_MAX_WAITERS", "5")), 78, "max_waiters"),
        (&["--bind", local, "--json"], None, 2, "--log-format json"),
    ] {
        let done = start(args, variable);
        let words = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{args:?}: {words}");
        assert_eq!(words.lines().count(), 1, "{args:?}: {words}");
        assert!(words.contains(said), "{args:?}: {words}");
    }
}

#[test]
fn an_open_runner_has_a_token_or_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let open = launch(folder.path()).bind("0.0.0.0");
    let mut server = open.clone().variable("CALLBOARD_INSECURE", "1").start();
    // The original's coordinator sends no token.
    assert_eq!(run(&server, "echo open")["stdout"], "open\n");
    let warnings = server.ask("GET", "/health", None).unwrap().1["warnings"].to_string();
    assert!(warnings.contains("INSECURE"), "{warnings}");
    assert_eq!(server.terminate(), Some(0));
    let guarded = open.variable("CALLBOARD_TOKEN_FILE", token.to_str().unwrap()).start();
    assert_eq!(execute(&guarded, &json!({"command": "true"})).status, 401);
    let health = guarded.ask("GET", "/health", None).unwrap();
    assert_eq!((health.0, &health.1["service"]), (200, &json!("runner")));
}

#[test]
fn a_stop_lets_what_runs_be_answered_and_refuses_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = launch(folder.path()).slots(1).grace("30s").start();
    let mark = folder.path().join("mark");
    let line = "head -c 100000 /dev/zero | tr '\\0' x";
    let running = run_beside(&server, &format!("touch {}; sleep 1.5; {line}", mark.display()));
    until("it runs", || mark.exists());
    let waiting = run_beside(&server, "true");
    let counts = |pending, running| {
        metric(&server, "jobs_pending_total") == pending && metric(&server, "jobs_running_total") == running
    };
    until("the other waits", || counts(1.0, 1.0));
    server.signal(Signal::TERM);
    let refused = waiting.join().unwrap().expect("it is answered");
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.body.contains("nothing was started"), "{}", refused.body);
    let late = exchange(server.port, "POST", "/execute", Some(&json!({"command": "true"})));
    assert!(late.is_none_or(|late| late.status == 503));
    let done = running.join().unwrap().expect("it is answered").json();
    assert_eq!((&done["exit_code"], done["stdout"].as_str().unwrap().len()), (&json!(0), 100_000));
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(server.keepers(), 0);
}

#[test]
fn an_execution_that_outlasts_the_grace_is_ended_and_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = launch(folder.path()).grace("300ms").start();
    let running = run_beside(&server, "echo begun; sleep 100");
    until("it runs", || metric(&server, "jobs_running_total") == 1.0);
    let began = Instant::now();
    assert_eq!(server.terminate(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let done = running.join().unwrap().expect("it is answered").json();
    assert_eq!((&done["exit_code"], &done["reason"]), (&json!(-15), &json!("shutdown")), "{done}");
    assert_eq!(server.keepers(), 0);
}
