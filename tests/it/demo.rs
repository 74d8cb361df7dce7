//! The demo, as a user starts it: what it shows, what it says when something does not go as planned, and its end.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::process::{PATIENCE, exit_within, finish, until};
use crate::server::{BINARY, ask};
use crate::skip;

const DONE: &str = "all 10 jobs ended as planned";

fn demo(args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("demo").args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("NO_COLOR", "1");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What the program itself said on standard error; its log has lines of its own.
fn messages(done: &Output) -> Vec<String> {
    let said = text(&done.stderr);
    said.lines().filter_map(|line| line.strip_prefix("callboard: ").map(str::to_owned)).collect()
}

/// A demo that goes on while a test does something, and what it has printed so far.
struct Running {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    port: u16,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = demo(args).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let first = line_with(&mut out, "answers at");
        let port = first.trim().rsplit(':').next().unwrap().parse().unwrap();
        Self { child, out, port }
    }

    fn interrupt(&mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.exit_code()
    }

    fn exit_code(&mut self) -> Option<i32> {
        exit_within(&mut self.child, PATIENCE).code()
    }
}

/// Reads up to a line with this in it.
fn line_with(out: &mut impl BufRead, word: &str) -> String {
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        if line.contains(word) {
            return line;
        }
        line.clear();
    }
    panic!("it ended without `{word}`");
}

#[test]
fn every_kind_of_job_is_shown_to_its_planned_end_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    // Its jobs start in the temporary folder, perhaps as another user.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let child = demo(&["--exit", "--bind", "127.0.0.1:0"]).env("TMPDIR", folder.path()).spawn().unwrap();
    let done = finish(child, None);
    let out = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{out}{}", text(&done.stderr));
    assert_eq!(messages(&done), [""; 0]);
    for line in [
        "quick completed: exit code 0, as planned",
        "slow running",
        "slow completed: exit code 0, as planned",
        "failing failed: exit code 3, as planned",
        "timed-out failed: timeout SIGTERM, as planned",
        "cancelled cancelled: user SIGTERM, as planned",
        "chatty completed: exit code 0, as planned",
        "killed failed: signal SIGKILL, as planned",
    ] {
        assert!(out.lines().any(|said| said.ends_with(line)), "{line} is not in\n{out}");
    }
    assert_eq!(out.lines().last(), Some(DONE));
    assert!(!out.contains('\u{1b}'), "no terminal is steered where none is");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_end_that_was_not_planned_is_said_and_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let mut running =
        Running::start(&["--exit", "--slots", "1", "--bind", "127.0.0.1:0", "--data-dir", &data]);
    let slow = || ask(running.port, "GET", "/v1/jobs?name=slow", None).unwrap().1["items"][0]["id"].clone();
    until("the job is there", || slow().is_string());
    let id = slow();
    let (status, job) =
        ask(running.port, "POST", &format!("/v1/jobs/{}/cancel", id.as_str().unwrap()), None).unwrap();
    assert!([200, 202].contains(&status), "{job}");
    let mut rest = String::new();
    running.out.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("slow cancelled: user") && rest.contains("NOT AS PLANNED"), "{rest}");
    assert_eq!(rest.lines().last(), Some("1 of 10 jobs did not end as planned"));
    assert_eq!(running.exit_code(), Some(1));
}

#[test]
fn it_goes_on_serving_until_ctrl_c_and_one_that_comes_early_is_130() {
    let mut running = Running::start(&["--bind", "127.0.0.1:0", "--slots", "8"]);
    line_with(&mut running.out, DONE);
    let (status, job) =
        ask(running.port, "POST", "/v1/jobs?wait=20s", Some(&json!({"command": "exit 4"}))).unwrap();
    assert_eq!((status, &job["exit_code"]), (200, &json!(4)), "{job}");
    assert_eq!(running.interrupt(), Some(0));
    let mut early = Running::start(&["--exit", "--bind", "127.0.0.1:0", "--slots", "1"]);
    assert_eq!(early.interrupt(), Some(130));
}

#[test]
fn a_taken_port_is_avoided_or_named_and_no_other_machine_is_let_in() {
    // It may also be taken by something else, which is as good.
    let usual = TcpListener::bind("127.0.0.1:8000");
    let done = finish(demo(&["--exit", "--slots", "8"]).spawn().unwrap(), None);
    drop(usual);
    let said = messages(&done);
    assert_eq!(done.status.code(), Some(0), "{said:?}");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("port 8000 is in use"), "{said:?}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    for (args, code, why) in [
        (&["--bind", &taken][..], 1, "is in use"),
        (&["--bind", "0.0.0.0:0"], 78, "loopback"),
        (&["--json"], 2, "--json"),
        (&["--slots", "0"], 2, "0"),
    ] {
        let done = finish(demo(args).spawn().unwrap(), None);
        let said = text(&done.stderr);
        assert_eq!((done.status.code(), done.stdout.as_slice()), (Some(code), &b""[..]), "{args:?}: {said}");
        assert!(said.contains(why), "{args:?}: {said}");
    }
}

#[test]
fn on_a_terminal_the_table_is_drawn_over_itself() {
    let test = "on_a_terminal_the_table_is_drawn_over_itself";
    let line = format!("{BINARY} demo --exit --slots 8 --bind 127.0.0.1:0");
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(child) = command.spawn() else {
        return skip::skipped(test, "no `script`, which gives a program a terminal");
    };
    let done = finish(child, None);
    let out = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{out}");
    // A header and ten jobs.
    let last = out.rsplit("\u{1b}[11A").next().unwrap();
    assert!(out.contains("\u{1b}[11A"), "{out}");
    for name in ["quick", "slow", "failing", "timed-out", "cancelled", "chatty", "killed"] {
        let lines = last.lines().filter(|line| line.contains(name) && line.contains("as planned")).count();
        assert!(lines > 0, "{name} is not in\n{last}");
    }
    assert!(last.contains("\u{1b}[32mcompleted\u{1b}[0m") && last.contains(DONE), "{last}");
}
