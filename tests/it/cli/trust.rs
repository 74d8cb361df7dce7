//! Whom a client believes, and what it does not give away: strangers that answer, files that others read, passwords and
//! tokens where they do not belong.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Said, ask, callboard, command, said, url};
use crate::server::{Launch, Server};

/// A server that answers everything with 200 and this.
fn agreeable(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // It lives as long as the tests do: nobody waits for it.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let length = body.len();
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n";
            let _ = write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}");
        }
    });
    url(port)
}

#[test]
fn a_stranger_that_agrees_to_everything_is_not_believed() {
    for body in ["null", "ok\n", "{}", "[]", r#"{"status":"healthy","service":"shop","warnings":[]}"#] {
        let server = agreeable(body);
        for args in [
            &["healthcheck"][..],
            &["queue", "pause"],
            &["queue", "resume"],
            &["events"],
            &["events", "-f"],
            &["token", "revoke", "0123456789abcdef"],
        ] {
            let said = callboard(&[&["--server", &server], args].concat());
            said.refused(6, "does not answer like a callboard");
        }
    }
    // It does not say what was asked of it.
    let server = agreeable(r#"{"paused":false}"#);
    callboard(&["--server", &server, "queue", "pause"]).refused(6, "does not answer like a callboard");
}

#[test]
fn a_health_check_shows_no_token_and_so_asks_as_often_as_it_likes() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("token");
    private(&secret, "s3cret\n");
    let launch = Launch::over(folder.path()).variable("CALLBOARD_TOKEN_FILE", secret.to_str().unwrap());
    let server = launch.variable("CALLBOARD_AUTH_FAILURES_PER_MINUTE", "1").start();
    let wrong = |args: &[&str]| {
        said(command(args).env("CALLBOARD_SERVER", url(server.port)).env("CALLBOARD_TOKEN", "wrong"))
    };
    assert_eq!(wrong(&["list"]).code, Some(4));
    wrong(&["list"]).refused(1, "");
    assert_eq!(wrong(&["healthcheck"]).fine(), "ok");
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn a_token_file_without_end_is_refused_and_one_that_others_may_read_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    ask(&server, &["list", "--token-file", "/dev/zero"]).refused(78, "holds more than 4096 bytes");
    callboard(&["serve", "--bind", "127.0.0.1:0", "--token-file", "/dev/zero"]).refused(78, "4096 bytes");
    let file = folder.path().join("token");
    private(&file, "s3cret\n");
    let list =
        |more: &[&str]| ask(&server, &[&["list", "--token-file", file.to_str().unwrap()], more].concat());
    list(&[]).fine();
    for mode in [0o640, 0o604, 0o622] {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        let warned = list(&[]);
        assert_eq!((warned.code, warned.err.lines().count()), (Some(0), 1), "{warned:?}");
        assert!(warned.err.contains("warning: ") && warned.err.contains("chmod 600"), "{warned:?}");
        list(&["-q"]).fine();
    }
}

#[test]
fn a_name_that_no_context_can_have_is_refused_by_every_reader_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, "[client]\noutput = 'json'\n[contexts.'a b']\nserver = 'http://h'\n").unwrap();
    let file = file.to_str().unwrap();
    for args in [
        &["list"][..],
        &["config", "show"],
        &["config", "show", "serve"],
        &["config", "check"],
        &["context", "list"],
        &["context", "use", "a b"],
        &["serve", "--bind", "127.0.0.1:0"],
    ] {
        let said = callboard(&[args, &["--config", file]].concat());
        said.refused(78, "`a b` is no name of a context");
        assert!(said.err.contains(&format!("{file}:3")), "{said:?}");
    }
}

#[test]
fn a_server_with_a_password_is_refused_and_the_password_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    let hidden = |said: Said, code| {
        said.refused(code, "--token-file");
        assert!(!said.err.contains("hunter2"), "{said:?}");
    };
    for server in ["http://me:hunter2@127.0.0.1:1", "https://me:hunter2@h", "me:hunter2@h"] {
        hidden(callboard(&["--server", server, "list"]), 2);
        hidden(callboard(&["--server", server, "run", "--", "true"]), 2);
        hidden(callboard(&["--server", server, "-vv", "version"]), 2);
        hidden(callboard(&["--server", server, "--config", "/nonexistent", "context", "set", "x"]), 2);
        let variable = |args: &[&str]| said(command(args).env("CALLBOARD_SERVER", server));
        hidden(variable(&["list"]), 78);
        hidden(variable(&["config", "show", "--origin"]), 78);
        for section in ["client", "contexts.x"] {
            std::fs::write(&file, format!("[{section}]\nserver = '{server}'\n")).unwrap();
            let config = ["--config", file.to_str().unwrap()];
            for args in [&["list"][..], &["config", "show"], &["config", "check"], &["context", "list"]] {
                hidden(callboard(&[args, &config].concat()), 78);
            }
        }
    }
}

#[test]
fn a_token_where_an_id_should_be_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let secret = "5ec7e7".repeat(8);
    let token = format!("callboard_0123456789abcdef_{secret}");
    for (args, code) in [
        (&["token", "revoke", &token][..], 3),
        (&["show", &token], 3),
        (&["logs", &token], 3),
        (&["events", "--job", &token], 3),
        (&["delete", &token], 3),
    ] {
        let said = ask(&server, args);
        said.refused(code, "its id is 0123456789abcdef");
        assert!(!said.err.contains("5ec7e7"), "{said:?}");
    }
    let several = ask(&server, &["token", "revoke", &token, &secret, "callboard_x"]);
    assert!(several.code == Some(3) && !several.err.contains(&secret), "{several:?}");
    let several = ask(&server, &["cancel", &token, &secret]);
    assert!(several.code == Some(3) && !several.err.contains(&secret), "{several:?}");
}
