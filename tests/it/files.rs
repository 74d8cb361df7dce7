//! Small files that come with a job: what lies in its room, whose it is, what is refused, and `--file`. As root and as an
//! ordinary user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::server::Server;
use crate::site::sites;

fn run(server: &Server, body: Value) -> Value {
    let (status, job) = server.ask("POST", "/v1/jobs?wait=60s", Some(&body)).unwrap();
    assert_eq!(status, 200, "{job}");
    job
}

#[test]
fn they_lie_below_its_folder_and_are_its_own() {
    for (_site, server) in sites("files::below") {
        let files = json!([
            {"path": "in/deep/word", "content": {"text": "héllo\n"}},
            {"path": "bytes", "content": {"base64": "AP8K"}},
            {"path": "empty", "content": {"text": ""}},
            {"path": "run me", "content": {"text": "#!/bin/sh\necho ran in $PWD; cat in/deep/word\n"}, "executable": true},
        ]);
        let command = "./'run me'; od -An -tx1 bytes; stat -c '%n %a %u' in in/deep/word bytes empty 'run me'; \
                       echo more >> empty && rm bytes && rmdir in/deep 2>/dev/null; cat empty; ls";
        let job = run(&server, json!({"command": command, "isolation": "sandbox", "files": files}));
        let wanted = "ran in /job\nhéllo\n 00 ff 0a\nin 755 1000\nin/deep/word 644 1000\nbytes 644 1000\nempty 644 1000\n\
                      run me 755 1000\nmore\nempty\nin\nrun me\n";
        assert_eq!(job["stdout"]["text"], wanted, "{job}");
        // What they are is told, what is in them is not.
        let told = json!([
            {"path": "in/deep/word", "bytes": 7, "executable": false}, {"path": "bytes", "bytes": 3, "executable": false},
            {"path": "empty", "bytes": 0, "executable": false}, {"path": "run me", "bytes": 45, "executable": true},
        ]);
        assert_eq!(job["files"], told, "{job}");
        // The next job of the slot has none of it.
        let job = run(&server, json!({"command": "ls -A", "isolation": "sandbox"}));
        assert_eq!(job["stdout"]["text"], "", "{job}");
    }
}

#[test]
fn the_most_that_is_taken_arrives_whole_and_survives_the_store() {
    for (_site, server) in sites("files::most") {
        let files: Vec<_> = (0..64)
            .map(|at| json!({"path": format!("f{at:02}"), "content": {"text": "x".repeat(8000)}}))
            .collect();
        let command = "cat f* | wc -c; ls | wc -l; test -e f00";
        let job = run(&server, json!({"command": command, "isolation": "sandbox", "files": files}));
        assert_eq!(job["stdout"]["text"], "512000\n64\n", "{job}");
        let retry = server.ask("POST", &format!("/v1/jobs/{}/retry", job["id"].as_str().unwrap()), None);
        let (status, again) = retry.unwrap();
        assert!((200..300).contains(&status), "{again}");
        let path = format!("/v1/jobs/{}?wait=60s", again["id"].as_str().unwrap());
        let (_, again) = server.ask("GET", &path, None).unwrap();
        assert_eq!(again["stdout"]["text"], "512000\n64\n", "{again}");
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (_site, server) in sites("files::refused") {
        let refused = |body: Value, pointer: &str| {
            let (status, problem) = server.ask("POST", "/v1/jobs", Some(&body)).unwrap();
            assert_eq!(status, 422, "{problem}");
            assert!(problem["errors"][0]["pointer"].as_str().unwrap().ends_with(pointer), "{problem}");
        };
        let one = |path: &str| json!({"path": path, "content": {"text": "x"}});
        for path in ["/etc/passwd", "../x", "a/../../x", "", "a//b", "a/", ".", "a\u{0}b"] {
            refused(json!({"command": "true", "files": [one(path)]}), "/files/0/path");
        }
        refused(json!({"command": "true", "files": [one("a"), one("a")]}), "/files/1/path");
        refused(json!({"command": "true", "files": [one("a"), one("a/b")]}), "/files/1/path");
        refused(json!({"command": "true", "files": vec![one("a"); 65]}), "/files");
        let large = json!({"path": "a", "content": {"text": "x".repeat(512 * 1024)}});
        refused(json!({"command": "true", "files": [large]}), "/files");
        let strange = json!({"path": "a", "content": {"base64": "%%"}});
        refused(json!({"command": "true", "files": [strange]}), "/files/0/content/base64");
        refused(json!({"command": "true", "isolation": "none", "files": [one("a")]}), "/files");
        // They count against what the job may write; the reason names the limit.
        let large = json!([{"path": "a", "content": {"text": "x".repeat(300_000)}}]);
        let limits = json!({"disk_bytes": 65_536});
        let job = run(
            &server,
            json!({"command": "true", "isolation": "sandbox", "files": large, "limits": limits}),
        );
        assert_eq!(job["reason"], "spawn_error", "{job}");
        assert!(job["message"].as_str().unwrap().contains("disk_bytes"), "{job}");
        let job = run(&server, json!({"command": "echo ok", "isolation": "sandbox"}));
        assert_eq!(job["stdout"]["text"], "ok\n", "{job}");
    }
}

#[test]
fn the_command_line_sends_them_and_starts_among_them() {
    for (site, server) in sites("files::command_line") {
        let here = site.path("here");
        let url = format!("http://127.0.0.1:{}", server.port);
        let run = |arguments: &[&str]| -> Output {
            let sandbox = ["-s", url.as_str(), "run", "--isolation", "sandbox"];
            site.callboard(&here, &[&sandbox[..], arguments].concat())
        };
        fs::create_dir(&here).unwrap();
        fs::write(here.join("tool"), "#!/bin/sh\ncat data/words\n").unwrap();
        fs::set_permissions(here.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(here.join("a:b"), "words of here\n").unwrap();
        let sent = ["--file", "tool", "--file", "a:b:data/words", "--", "./tool"];
        let done = run(&sent);
        assert_eq!(String::from_utf8_lossy(&done.stdout), "words of here\n", "{done:?}");
        let done = run(&["--file", "a:b", "--", "cat", "a:b"]);
        assert_eq!(String::from_utf8_lossy(&done.stdout), "words of here\n", "{done:?}");
        fs::write(here.join("large"), vec![0; 512 * 1024 + 1]).unwrap();
        assert!(Command::new("mkfifo").arg(here.join("fifo")).status().unwrap().success());
        for (file, why) in [
            ("fifo", "only a file"),
            ("absent", "No such file"),
            ("large", "--mount"),
            (".", "no name of its own"),
            ("..:x", "only a file"),
        ] {
            let done = run(&["--file", file, "--", "true"]);
            let err = String::from_utf8_lossy(&done.stderr);
            assert_eq!(done.status.code(), Some(2), "{err}");
            assert!(err.lines().count() == 1 && err.contains(why), "{err}");
        }
    }
}
