//! The forms of output of the commands about jobs, in pipes and on a terminal.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{ask, callboard, command, said, url};
use crate::server::{BINARY, Server, knows_no_settings};

/// A server with one job, over, whose words would like to break a form.
fn with_job(folder: &std::path::Path) -> (Server, String) {
    let server = Server::start(folder);
    let argv = ["submit", "--wait", "-q", "--name", "=1+1,\"x\"", "--", "echo", "a\r\nb", "\u{1b}[2J"];
    let id = ask(&server, &argv).fine().to_owned();
    (server, id)
}

#[test]
fn a_job_is_printed_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let (server, id) = with_job(folder.path());
    for what in [&["list"][..], &["show", &id], &["wait", &id]] {
        let form = |form: &[&str]| ask(&server, &[what, form].concat());
        let csv = form(&["-o", "csv", "--fields", "name,command,exit_code,created_at"]);
        let mut lines = csv.out.splitn(2, "\r\n");
        assert_eq!(lines.next(), Some("name,command,exit_code,created_at"), "{csv:?}");
        let row = lines.next().unwrap();
        assert!(row.starts_with("\"'=1+1,\"\"x\"\"\",\"echo a\r\nb \u{1b}[2J\",0,20"), "{csv:?}");
        assert!(row.ends_with("Z\r\n"), "{csv:?}");
        let bare = form(&["-o", "csv", "--no-headers", "--fields", "id"]);
        assert_eq!(bare.fine(), id, "{what:?}");
        assert_eq!(form(&["-o", "name"]).fine(), id);
        let line: Value = serde_json::from_str(form(&["-o", "jsonl"]).fine()).unwrap();
        assert_eq!(line["id"], json!(id));
        let picked = form(&["--json", "--fields", "status,command"]).json();
        let picked = picked.get(0).unwrap_or(&picked);
        assert_eq!(*picked, json!({"status": "completed", "command": ["echo", "a\r\nb", "\u{1b}[2J"]}));
        let wide = form(&["-o", "wide"]);
        assert!(wide.fine().starts_with("ID ") && wide.out.contains("MEMORY"), "{wide:?}");
        assert_eq!(wide.out.lines().count(), 2, "{wide:?}");
        let table = form(&["--fields", "status,id", "--no-headers"]);
        assert_eq!(table.fine(), format!("completed  {id}"));
        let utc = form(&["--fields", "created_at", "--utc"]);
        assert!(utc.fine().lines().nth(1).is_some_and(|time| time.ends_with('Z')), "{utc:?}");
    }
    let submitted = ask(&server, &["submit", "-o", "csv", "--fields", "status,name", "--", "true"]);
    assert_eq!(submitted.fine(), "status,name\r\npending,");
    let retried = ask(&server, &["retry", "--fields", "retry_of", "--no-headers", &id]);
    assert_eq!(retried.fine(), id);
    let deleted = ask(&server, &["delete", "-o", "csv", &id]);
    assert_eq!(deleted.fine(), format!("id,deleted\r\n{id},true"));
}

#[test]
fn the_form_comes_from_the_environment_where_the_command_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let (server, id) = with_job(folder.path());
    let with = |form: &str, args: &[&str]| {
        said(command(args).env("CALLBOARD_SERVER", url(server.port)).env("CALLBOARD_OUTPUT", form))
    };
    assert_eq!(with("json", &["show", &id]).json()["id"], json!(id));
    assert_eq!(with("json", &["show", "-q", &id]).fine(), id, "a flag goes before a variable");
    assert_eq!(with("json", &["show", "-o", "name", &id]).fine(), id);
    assert_eq!(with("csv", &["queue", "resume"]).fine(), "The queue runs");
    assert_eq!(with("csv", &["run", "--", "echo", "hi"]).fine(), "hi");
    with("xml", &["list"]).refused(78, "CALLBOARD_OUTPUT: `xml`: `xml` is not one of: table, wide, json");
    with("xml", &["run", "--", "true"]).refused(125, "CALLBOARD_OUTPUT");
    with("name", &["list", "--fields", "id"]).refused(2, "--fields");
}

#[test]
fn what_makes_no_sense_together_is_refused_by_name() {
    for (args, why) in [
        (&["run", "-o", "csv", "--", "true"][..], "--output csv"),
        (&["serve", "-o", "csv"], "--output csv"),
        (&["serve", "--fields", "id"], "--fields"),
        (&["logs", "-o", "csv", "last"], "--output csv: this command prints table, json, jsonl"),
        (&["queue", "pause", "-o", "wide"], "--output wide"),
        (&["version", "--fields", "id"], "--fields"),
        (&["list", "-q", "--fields", "id"], "--fields"),
        (&["list", "-o", "json", "--no-headers"], "--no-headers"),
        (&["list", "-o", "csv", "--utc"], "--utc"),
        (&["show", "last", "--no-headers"], "--no-headers"),
        (&["submit", "--utc", "--", "true"], "--utc"),
        (&["completions", "bash", "--context", "x"], "--context"),
        (&["completions", "bash", "--config", "x"], "--config"),
        (&["serve", "--request-timeout", "1s"], "--request-timeout"),
        (&["serve", "-v"], "--verbose"),
        (&["bench", "-v"], "--verbose"),
    ] {
        callboard(args).refused(2, why);
    }
    for args in [
        &["list", "--json", "-o", "json"][..],
        &["list", "-o", "xml"],
        &["list", "-v", "-q"],
        &["list", "--request-timeout", "0"],
        &["list", "--request-timeout", "25h"],
    ] {
        assert_eq!(callboard(args).code, Some(2), "{args:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = with_job(folder.path());
    ask(&server, &["list", "--fields", "id,colour"]).refused(2, "no `colour`: known are id,name,status");
    ask(&server, &["list", "--fields", "id,id"]).refused(2, "`id` is named twice");
}

#[test]
fn a_table_fits_the_terminal_and_a_pipe_gets_all_of_it() {
    const TEST: &str = "a_table_fits_the_terminal_and_a_pipe_gets_all_of_it";
    if !Command::new("script").arg("--version").output().is_ok_and(|done| done.status.success()) {
        return crate::skip::missing(TEST, "script", "there is no `script`, which makes a terminal");
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let long = "x".repeat(200);
    let id = ask(&server, &["submit", "--wait", "-q", "--", "echo", &long, "\u{1b}[2J\u{9b}2J\u{202e}"])
        .fine()
        .to_owned();
    assert!(ask(&server, &["list"]).fine().contains(&format!("echo {long}")));
    let terminal = |arguments: &str, columns: &str| {
        let mut script = Command::new("script");
        script.args(["-qec", &format!("{BINARY} {arguments}"), "/dev/null"]);
        knows_no_settings(&mut script);
        script.env("CALLBOARD_SERVER", url(server.port)).env("TERM", "xterm").env_remove("NO_COLOR");
        said(
            script.env("COLUMNS", columns).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()),
        )
        .out
    };
    for columns in [40, 80, 120] {
        let shown = terminal("list", &columns.to_string());
        assert!(shown.contains("\x1b[32mcompleted"), "{shown:?}");
        let visible =
            ["\x1b[32m", "\x1b[39m", "\x1b[0m"].iter().fold(shown, |text, code| text.replace(code, ""));
        for line in visible.lines() {
            assert!(line.chars().count() <= columns, "{columns}: {line:?}");
        }
        assert!(visible.contains(&id[..13]) && visible.contains('\u{2026}'), "{visible:?}");
    }
    for form in [
        "list -o wide",
        "list --json",
        "list -o jsonl",
        "list -o csv",
        "list -o name",
        "show last",
        "show last --json",
        "api /v1/jobs",
    ] {
        let shown =
            terminal(&format!("{form} --color never").replace("/v1/jobs --color never", "/v1/jobs"), "80");
        let steers = |c: char| (c.is_control() && !"\r\n".contains(c)) || c == '\u{202e}';
        assert!(shown.contains(&id) && !shown.contains(steers), "{form}: {shown:?}");
    }
}
