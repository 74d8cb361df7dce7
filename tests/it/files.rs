//! Small files that come with a job: what lies in its room, whose it is, what is refused, and `--file`. As root and as an
//! ordinary user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::getuid;
use serde_json::{Value, json};

use crate::death::ordinary_user;
use crate::process::finish;
use crate::server::{BINARY, Launch, Server, copy_binary, knows_no_settings};
use crate::skip::missing;

struct Site {
    folder: tempfile::TempDir,
    binary: PathBuf,
    uid: u32,
}

impl Site {
    fn new(uid: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut binary = PathBuf::from(BINARY);
        if uid != getuid().as_raw() {
            binary = folder.path().join("callboard");
            copy_binary(&binary);
        }
        Self { folder, binary, uid }
    }

    fn server(&self) -> Server {
        Launch::over(&self.folder.path().join("state")).user(self.uid, self.binary.clone()).start()
    }

    fn callboard(&self, server: &Server, folder: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.binary);
        knows_no_settings(&mut command);
        command
            .args(["-s", &format!("http://127.0.0.1:{}", server.port)])
            .args(arguments)
            .current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("HOME", folder);
        if self.uid != getuid().as_raw() {
            command.uid(self.uid).gid(self.uid);
        }
        finish(command.spawn().unwrap(), None)
    }
}

fn run(server: &Server, body: Value) -> Value {
    let (status, job) = server.ask("POST", "/v1/jobs?wait=60s", Some(&body)).unwrap();
    assert_eq!(status, 200, "{job}");
    job
}

/// Every site with its server, as root and as an ordinary user; out loud where no room can be made.
fn sites(test: &str) -> Vec<(Site, Server)> {
    let mut users = vec![getuid().as_raw(), ordinary_user()];
    users.dedup();
    let sites = users.into_iter().map(|uid| {
        let site = Site::new(uid);
        let server = site.server();
        (site, server)
    });
    sites
        .filter(|(_, server)| {
            let job = run(server, json!({"command": "true", "isolation": "sandbox"}));
            if job["reason"] == "isolation_unavailable" {
                missing(test, "namespaces", job["message"].as_str().unwrap());
            }
            job["status"] == "completed"
        })
        .collect()
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
        let here = site.folder.path().join("here");
        fs::create_dir(&here).unwrap();
        fs::write(here.join("tool"), "#!/bin/sh\ncat data/words\n").unwrap();
        fs::set_permissions(here.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(here.join("a:b"), "words of here\n").unwrap();
        let sandbox = ["run", "--isolation", "sandbox"];
        let sent = ["--file", "tool", "--file", "a:b:data/words", "--", "./tool"];
        let done = site.callboard(&server, &here, &[&sandbox[..], &sent[..]].concat());
        assert_eq!(String::from_utf8_lossy(&done.stdout), "words of here\n", "{done:?}");
        let done =
            site.callboard(&server, &here, &[&sandbox[..], &["--file", "a:b", "--", "cat", "a:b"]].concat());
        assert_eq!(String::from_utf8_lossy(&done.stdout), "words of here\n", "{done:?}");
        fs::write(here.join("large"), vec![0; 512 * 1024 + 1]).unwrap();
        for (file, why) in [
            ("absent", "No such file"),
            ("large", "--mount"),
            (".", "no name of its own"),
            ("..:x", "only a file"),
        ] {
            let done =
                site.callboard(&server, &here, &[&sandbox[..], &["--file", file, "--", "true"]].concat());
            let err = String::from_utf8_lossy(&done.stderr);
            assert_eq!(done.status.code(), Some(2), "{err}");
            assert!(err.lines().count() == 1 && err.contains(why), "{err}");
        }
    }
}
