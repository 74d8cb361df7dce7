//! Clients that wait, also for a server that does not keep them waiting.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{ask, callboard, command, said, url};
use crate::process::{finish, until};
use crate::server::{BINARY, Launch, Server, knows_no_settings};

#[test]
fn a_wait_that_ran_out_of_time_is_told_from_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (long, short) = (server.submit("sleep 100"), server.submit("exit 3"));
    server.until(&long, "running");
    let one = ask(&server, &["wait", "--timeout", "100ms", &long]);
    assert_eq!((one.code, one.out), (Some(125), format!("{long} running\n")));
    assert!(one.err.contains("still running"), "{}", one.err);
    let ids = ask(&server, &["wait", "-q", "--timeout", "100ms", &long, &short]);
    assert_eq!((ids.code, ids.out), (Some(7), format!("{short}\n")), "only what is over");
    let one = ask(&server, &["wait", &short]);
    assert_eq!((one.code, one.out), (Some(3), format!("{short} failed\n")));
    let both = ask(&server, &["wait", "--timeout", "100ms", &long, &short]);
    assert_eq!((both.code, both.out), (Some(7), format!("{long} running\n{short} failed\n")));
    assert_eq!(both.err.lines().count(), 1, "{}", both.err);
}

/// A server that is stopping, as far as a waiting client can tell: it holds no request. Its jobs run until `over`.
pub fn impatient_server(over: Duration, job: Value) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, began) = (asked.clone(), Instant::now());
    // It lives as long as the tests do: nobody waits for it.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            if request[..length].starts_with(b"GET /v1/jobs/") {
                count.fetch_add(1, Ordering::Relaxed);
            }
            let mut job = job.clone();
            if began.elapsed() > over {
                (job["status"], job["exit_code"]) = (json!("completed"), json!(0));
            }
            let body = job.to_string();
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n";
            let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    (port, asked)
}

#[test]
fn a_server_that_holds_no_request_is_not_asked_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let id = server.submit("sleep 100");
    let job = server.until(&id, "running");
    for timeout in [&[][..], &["--timeout", "1m"]] {
        let (port, asked) = impatient_server(Duration::from_millis(1200), job.clone());
        let waited = callboard(&[&["wait", "-s", &url(port), &id], timeout].concat());
        assert_eq!(waited.fine(), format!("{id} completed"));
        let asked = asked.load(Ordering::Relaxed);
        assert!((2..10).contains(&asked), "asked {asked} times in about a second");
    }
}

#[test]
fn output_is_followed_through_a_stop_and_an_end_that_is_not_the_jobs_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Launch::over(folder.path()).grace("3s").start();
    let mark = folder.path().join("go");
    // One is over within the grace of the stop, the other is not.
    let line = format!("echo begin; until [ -e {} ]; do sleep 0.05; done; echo end", mark.display());
    let long = server.submit("echo begin; sleep 100");
    server.until(&long, "running");
    let address = url(server.port);
    let run = command(&["run", "-s", &address, "--shell", &line]).spawn().unwrap();
    let running = || ask(&server, &["list", "-q", "--status", "running"]).out;
    until("both run", || running().lines().count() == 2);
    let short = running().lines().next().unwrap().to_owned();
    let follow = |id: &str| command(&["logs", "-f", "-s", &address, id]).spawn().unwrap();
    let (first, second) = (follow(&short), follow(&long));
    server.signal(Signal::TERM);
    until("it stops to take jobs", || {
        server.ask("GET", "/readyz", None).is_none_or(|answer| answer.0 == 503)
    });
    std::thread::sleep(Duration::from_millis(300));
    std::fs::write(&mark, "").unwrap();
    for child in [first, run] {
        let done = finish(child, None);
        assert_eq!((done.status.code(), done.stdout.as_slice()), (Some(0), &b"begin\nend\n"[..]));
    }
    assert_eq!(server.exit_code(), Some(0));
    let second = finish(second, None);
    let words = String::from_utf8_lossy(&second.stderr);
    assert_eq!((second.status.code(), second.stdout.as_slice()), (Some(6), &b"begin\n"[..]), "{words}");
    assert_eq!(words.lines().count(), 1, "{words}");
    assert!(words.contains("the job goes on"), "{words}");
}

#[test]
fn nothing_is_shown_of_the_wait_where_nobody_looks() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).start();
    assert_eq!(server.ask("POST", "/v1/queue/pause", Some(&json!({}))).unwrap().0, 200);
    let id = server.submit("true");
    let mut wait = command(&["wait", "--timeout", "1500ms", &id]);
    let waited = said(wait.env("CALLBOARD_SERVER", url(server.port)).env("TERM", "xterm"));
    assert_eq!((waited.code, waited.err.lines().count()), (Some(125), 1), "{waited:?}");
    assert!(!waited.err.contains(['\r', '\x1b']), "{waited:?}");
}

#[test]
fn a_terminal_shows_what_a_job_waits_for_until_it_is_over() {
    const TEST: &str = "a_terminal_shows_what_a_job_waits_for_until_it_is_over";
    if !Command::new("script").arg("--version").output().is_ok_and(|done| done.status.success()) {
        return crate::skip::missing(TEST, "script", "there is no `script`, which makes a terminal");
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).start();
    assert_eq!(server.ask("POST", "/v1/queue/pause", Some(&json!({}))).unwrap().0, 200);
    let id = server.submit("true");
    let terminal = |flags: &str, kind: &str| {
        let line = format!("{BINARY} wait --timeout 1500ms {flags} {id}");
        let mut script = Command::new("script");
        knows_no_settings(&mut script);
        script.args(["-qec", &line, "/dev/null"]).env("CALLBOARD_SERVER", url(server.port)).env("TERM", kind);
        said(script.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())).out
    };
    let shown = terminal("", "xterm");
    let line = format!("\r\x1b[Kjob {id}, pending: queue_paused");
    assert!(shown.starts_with(&line), "{shown:?}");
    assert!(
        shown.contains(&format!("queue_paused\r\x1b[K{id} pending\r\n")),
        "wiped out before the end: {shown:?}"
    );
    for (flags, kind) in [("--no-progress", "xterm"), ("-q", "xterm"), ("", "dumb")] {
        let shown = terminal(flags, kind);
        assert!(!shown.contains("\x1b[K"), "{flags} {kind}: {shown:?}");
    }
}
