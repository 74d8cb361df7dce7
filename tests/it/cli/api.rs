//! Raw requests: what goes out is what was written, what comes back is printed, also when it is a refusal.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::{ask, callboard, command, said, url};
use crate::process::finish;
use crate::server::{Server, free_port};

#[test]
fn an_answer_is_printed_as_it_came_and_its_status_is_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let api = |args: &[&str]| ask(&server, &[&["api"], args].concat());
    assert_eq!(api(&["/v1/version"]).json()["service"], "callboard");
    assert_eq!(api(&["GET", "/v1/version"]).json()["service"], "callboard");
    assert_eq!(api(&["v1/version"]).json()["service"], "callboard");
    assert_eq!(api(&["/v1/version?of=http://h"]).code, api(&["/v1/version?of=h"]).code, "a URL in the query");
    let made = api(&["/v1/jobs", "-d", r#"{"command": "true"}"#]).json();
    let id = made["id"].as_str().unwrap();
    let body = folder.path().join("body.json");
    std::fs::write(&body, r#"{"command": "true", "name": "filed"}"#).unwrap();
    assert_eq!(api(&["/v1/jobs", "-d", &format!("@{}", body.display())]).json()["name"], "filed");
    let mut piped = command(&["api", "/v1/jobs", "-d", "-"]);
    piped.env("CALLBOARD_SERVER", url(server.port)).stdin(std::process::Stdio::piped());
    let piped = finish(piped.spawn().unwrap(), Some(br#"{"command": "true", "name": "piped"}"#.to_vec()));
    assert_eq!(serde_json::from_slice::<Value>(&piped.stdout).unwrap()["name"], "piped");
    server.until(id, "completed");
    let head = api(&["-X", "HEAD", "-i", "/v1/version"]);
    assert!(head.fine().contains("content-type: application/json"), "{head:?}");
    let deleted = api(&["delete", &format!("/v1/jobs/{id}"), "-i"]);
    assert!(deleted.fine().starts_with("HTTP/1.1 204 No Content\n"), "{deleted:?}");

    for (args, code, status) in [
        (&["/v1/jobs/00000000-0000-7000-8000-000000000000"][..], 3, 404),
        (&["/v1/jobs", "-d", "{}"], 5, 422),
        (&["/v1/jobs", "-d", "{}", "-H", "Content-Type: text/plain"], 1, 415),
    ] {
        let refused = api(args);
        assert_eq!((refused.code, refused.err.lines().count()), (Some(code), 1), "{refused:?}");
        assert_eq!(refused.json()["status"], status, "{refused:?}");
    }
    for (args, why) in [
        (&["api", "http://h/v1/jobs"][..], "name the path only"),
        (&["api", "/a b"], "is no path"),
        (&["api", "/", "-X", "B AD"], "is no method"),
        (&["api", "B AD", "/"], "is no method"),
        (&["api", "GET", "/", "-X", "GET"], "stands before the path already"),
        (&["api", "/", "-H", "nonsense"], "NAME: VALUE"),
        (&["api", "/", "-H", "a b: c"], "is no header"),
        (&["api", "/", "--json"], "--output json"),
        (&["api", "/", "--fields", "id"], "--fields"),
        (&["api", "/", "-q"], "--quiet"),
        (&["api", "/", "-X", "PUT", "--paginate"], "GET"),
    ] {
        callboard(args).refused(2, why);
    }
    callboard(&["api", "/", "-d", "@/nonexistent"]).refused(1, "/nonexistent");
    callboard(&["api", "/", "-s", &url(free_port())]).refused(6, "no answer from");
}

#[test]
fn all_pages_of_a_list_are_one_array_or_lines() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut ids: Vec<_> = (0..5).map(|_| json!(server.submit("true"))).collect();
    ids.reverse();
    let array = ask(&server, &["api", "/v1/jobs?limit=2", "--paginate"]).json();
    assert_eq!(array.as_array().unwrap().iter().map(|job| job["id"].clone()).collect::<Vec<_>>(), ids);
    let lines = ask(&server, &["api", "/v1/jobs?limit=2", "--paginate", "-o", "jsonl"]);
    let lines = lines.fine().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone());
    assert_eq!(lines.collect::<Vec<_>>(), ids);
    let none = ask(&server, &["api", "/v1/jobs?status=failed", "--paginate"]);
    assert_eq!(none.fine(), "[]");
    ask(&server, &["api", "/v1/version", "--paginate"]).refused(2, "is no list");
    ask(&server, &["api", "/v1/jobs?limit=0", "--paginate"]).refused(5, "limit");
}

#[test]
fn a_server_that_says_nothing_is_waited_for_as_long_as_was_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = url(listener.local_addr().unwrap().port());
    // It takes requests and never answers.
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            held.push(stream);
        }
    });
    for args in [&["list"][..], &["api", "/"], &["show", "last"]] {
        let tried = said(command(args).args(["-s", &silent, "--request-timeout", "200ms"]));
        tried.refused(6, "no answer from");
        let tried = said(command(args).args(["-s", &silent]).env("CALLBOARD_REQUEST_TIMEOUT", "200ms"));
        tried.refused(6, "no answer from");
    }
}

#[test]
fn the_token_of_the_context_is_shown_and_what_is_cut_short_is_no_success() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = url(listener.local_addr().unwrap().port());
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
        String::from_utf8_lossy(&request[..length]).to_lowercase()
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(folder.path().join("t"), "s3cret\n").unwrap();
    // One that others may read is warned of, and only what was cut short is to be heard of here.
    std::fs::set_permissions(folder.path().join("t"), PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&file, format!("[contexts.c]\nserver = '{server}'\ntoken_file = 't'\n")).unwrap();
    let args = ["api", "/x", "-H", "X-One: 1", "-c", "c", "--config"];
    let cut = said(command(&args).arg(&file));
    assert_eq!((cut.code, cut.out.as_str(), cut.err.lines().count()), (Some(6), "half", 1), "{cut:?}");
    let request = answering.join().unwrap();
    assert!(request.starts_with("get /x http/1.1\r\n"), "{request}");
    assert!(
        request.contains("authorization: bearer s3cret\r\n") && request.contains("x-one: 1\r\n"),
        "{request}"
    );
}
