//! Output that cannot be written is no success, and one whose reader is gone is no failure.

use std::fs::File;
use std::process::Stdio;

use serde_json::Value;

use super::{Said, ask, callboard, command, said, url};
use crate::server::{Launch, Server, free_port};

/// A command whose standard output is a full disk.
fn full(server: Option<&Server>, args: &[&str]) -> Said {
    let mut command = command(args);
    if let Some(server) = server {
        command.env("CALLBOARD_SERVER", url(server.port));
    }
    said(command.stdout(File::options().write(true).open("/dev/full").unwrap()))
}

fn lost(said: &Said, code: i32) {
    said.refused(code, "standard output cannot be written: No space left on device");
}

#[test]
fn what_cannot_be_written_is_a_failure_of_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let id = server.submit("echo out");
    server.until(&id, "completed");
    for args in [
        &["list"][..],
        &["list", "-q"],
        &["show", &id],
        &["show", "--json", &id],
        &["logs", &id],
        &["logs", "--json", &id],
        &["logs", "-f", &id],
        &["history"],
        &["history", "-o", "jsonl"],
        &["history", "--group-by", "status"],
        &["stats"],
        &["stats", "--watch"],
        &["events"],
        &["events", "--json"],
        &["api", "/v1/jobs"],
        &["api", "--paginate", "/v1/jobs"],
        &["prune", "--dry-run"],
        &["queue", "resume"],
        &["healthcheck"],
        &["version"],
        &["token", "list"],
        &["context", "list"],
        &["wait", &id, &id],
    ] {
        lost(&full(Some(&server), args), 1);
    }
    // Where any code may be the job's.
    lost(&full(Some(&server), &["wait", &id]), 125);
    lost(&full(Some(&server), &["submit", "--wait", "--", "true"]), 125);
    for args in [
        &["openapi"][..],
        &["man"],
        &["completions", "bash"],
        &["config", "show"],
        &["help", "list"],
        &["help", "output"],
        &["list", "--help"],
        &["--version"],
    ] {
        lost(&full(None, args), 1);
    }
}

#[test]
fn a_job_whose_id_could_not_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let said = full(Some(&server), &["submit", "-q", "--", "true"]);
    lost(&said, 1);
    let listed = ask(&server, &["list", "-q"]);
    assert!(said.err.contains(listed.fine()), "{said:?} {listed:?}");
}

#[test]
fn run_ends_its_job_when_the_output_cannot_be_written_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let quick = full(Some(&server), &["run", "--", "echo", "out"]);
    lost(&quick, 125);
    assert!(quick.err.contains(" is completed"), "{quick:?}");
    let long = full(Some(&server), &["run", "--", "sh", "-c", "echo out; sleep 1000"]);
    lost(&long, 125);
    assert!(long.err.contains(" is cancelled"), "{long:?}");
    let last = ask(&server, &["show", "--json", "last"]).json();
    assert_eq!(last["status"], "cancelled", "{last}");
    // Nothing is lost of one that writes nothing.
    assert_eq!(full(Some(&server), &["run", "--", "true"]).fine(), "");
    // Without a server: the private node ends too.
    let nobody = full(None, &["run", "--", "sh", "-c", "echo out; sleep 1000"]);
    lost(&nobody, 125);
}

#[test]
fn a_token_that_nobody_got_is_revoked_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).start();
    let file = folder.path().join("admin");
    ask(&server, &["token", "create", "--role", "admin", "--out", file.to_str().unwrap()]).fine();
    let shown = ["--token-file", file.to_str().unwrap()];
    let create = ["token", "create", "--role", "user"];
    let status = |said: &Said| {
        let tokens: Value = ask(&server, &[&["token", "list", "--json"], &shown[..]].concat()).json();
        let named = |token: &&Value| said.err.contains(token["id"].as_str().unwrap());
        let token = tokens.as_array().unwrap().iter().find(named);
        token.unwrap_or_else(|| panic!("{said:?} names no token of {tokens}"))["status"].clone()
    };
    for json in [&[][..], &["--json"]] {
        let unwritten = full(Some(&server), &[&create, &shown[..], json].concat());
        lost(&unwritten, 1);
        assert!(unwritten.err.contains("it is revoked"), "{unwritten:?}");
        assert_eq!(status(&unwritten), "revoked");
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut gone = command(&[&create, &shown[..]].concat());
    let gone = said(gone.env("CALLBOARD_SERVER", url(server.port)).stdout(writer));
    gone.refused(1, "its reader is gone");
    assert_eq!(status(&gone), "revoked");
    // With a file of its own it is kept, and only its place could not be said.
    let other = folder.path().join("other");
    let kept = full(Some(&server), &[&create, &shown[..], &["--out", other.to_str().unwrap()]].concat());
    lost(&kept, 1);
    assert!(kept.err.contains(other.to_str().unwrap()), "{kept:?}");
    assert_eq!(status(&kept), "active");
}

#[test]
fn a_reader_that_is_gone_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let id = server.submit("echo out; sleep 1000");
    let port = free_port().to_string();
    for args in [
        &["list"][..],
        &["show", &id],
        &["logs", "-f", &id],
        &["stats", "--watch", "--interval", "100ms"],
        &["openapi"],
        &["help", "list"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command(args);
        let said = said(command.env("CALLBOARD_SERVER", url(server.port)).stdout(Stdio::from(writer)));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{args:?}");
    }
    // And it does not hide what else is wrong.
    callboard(&["list", "--server", &format!("http://127.0.0.1:{port}")]).refused(6, "no answer");
}
