//! Colour, and text that a job would like to write onto the terminal.

use std::time::Duration;

use serde_json::json;

use super::waiting::impatient_server;
use super::{Said, command, said, url};
use crate::server::Server;

fn coloured(server: &Server, args: &[&str], variables: &[(&str, &str)]) -> Said {
    said(command(args).env("CALLBOARD_SERVER", url(server.port)).envs(variables.iter().copied()))
}

#[test]
fn colour_is_where_it_is_wanted_and_never_in_a_pipe_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let id = server.submit("true");
    server.until(&id, "completed");
    let force = ("CLICOLOR_FORCE", "1");
    for (args, variables, wanted) in [
        (&["list"][..], &[][..], false),
        (&["list"], &[("NO_COLOR", "1"), force], false),
        (&["list"], &[("NO_COLOR", ""), force], true),
        (&["list", "--color", "never"], &[force], false),
        (&["list", "--color", "always"], &[("NO_COLOR", "1"), ("TERM", "dumb")], true),
        (&["show", "last"], &[force], true),
        (&["show", "last"], &[], false),
        (&["list", "--json"], &[force], false),
    ] {
        let said = coloured(&server, args, variables);
        let green = said.fine().contains("\x1b[32mcompleted\x1b[0m");
        assert_eq!((green, said.out.contains('\x1b')), (wanted, wanted), "{args:?} {variables:?}: {said:?}");
    }
    let columns = |said: Said| {
        said.fine().lines().map(|line| line.find("true").or(line.find("COMMAND"))).collect::<Vec<_>>()
    };
    let plain = columns(coloured(&server, &["list"], &[]));
    assert_eq!(plain[0], plain[1]);
    let painted = columns(coloured(&server, &["list", "--color", "always"], &[]));
    assert_eq!(painted[0], painted[1]);
}

#[test]
fn no_words_of_a_job_steer_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let trick = "a\x1b[2Jb\u{9b}31m\u{202e}c\r\nd";
    let accepted =
        server.ask("POST", "/v1/jobs", Some(&json!({"command": ["sleep", "100", trick]}))).unwrap();
    assert_eq!(accepted.0, 202);
    // This server refuses such words elsewhere; one that does not is no way to the terminal either.
    let mut job = accepted.1;
    for field in ["name", "status", "reason", "message", "signal", "cwd", "retry_of"] {
        job[field] = json!(trick);
    }
    let port = impatient_server(Duration::from_secs(60), job.clone()).0;
    let foreign = |args: &[&str]| said(command(args).args(["-s", &url(port)]));
    let id = job["id"].as_str().unwrap();
    for said in [
        coloured(&server, &["list"], &[]),
        coloured(&server, &["show", "last"], &[]),
        coloured(&server, &["show", trick], &[]),
        foreign(&["show", id]),
        foreign(&["wait", "--timeout", "1ms", id]),
        foreign(&["retry", id]),
    ] {
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!said.out.contains(steers) && !said.err.contains(steers), "{said:?}");
        assert!(said.out.contains(" [2Jb") || said.err.contains(" [2Jb"), "{said:?}");
    }
}

#[test]
fn a_job_that_never_started_has_used_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    assert_eq!(server.ask("POST", "/v1/queue/pause", Some(&json!({}))).unwrap().0, 200);
    let id = server.submit("true");
    assert_eq!(coloured(&server, &["cancel", "-q", &id], &[]).fine(), id);
    let shown = coloured(&server, &["show", &id], &[]);
    assert!(shown.fine().contains("cancelled") && !shown.out.contains("used:"), "{shown:?}");
}
