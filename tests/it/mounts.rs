//! Folders and files of the host in a job's room: what the node allows, what a link cannot reach, who owns what is made,
//! and a command in the caller's own folder. As root and as an ordinary user.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::getuid;
use serde_json::{Value, json};

use crate::server::Server;
use crate::site::{Site, has_rooms, users};
use crate::skip::missing;

/// A site, and what the tests bring into rooms.
struct Ground {
    site: Site,
}

impl Ground {
    fn new(uid: u32) -> Self {
        let ground = Self { site: Site::new(uid) };
        for name in ["data", "data/in", "data/out", "other"] {
            fs::create_dir(ground.path(name)).unwrap();
        }
        for name in ["data/in/word", "other/secret"] {
            fs::write(ground.path(name), format!("{name}\n")).unwrap();
        }
        for name in ["data", "data/in", "data/out", "other", "data/in/word", "other/secret", "."] {
            chown(ground.path(name), Some(uid), Some(uid)).unwrap();
        }
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn server(&self, allowed: &str) -> Server {
        self.site.launch("state").variable("CALLBOARD_ALLOW_MOUNTS", allowed).start()
    }

    fn callboard(&self, folder: &Path, arguments: &[&str]) -> Output {
        self.site.callboard(folder, arguments)
    }
}

fn run(server: &Server, command: &str, mounts: Value) -> Value {
    let body = json!({"command": command, "isolation": "sandbox", "mounts": mounts});
    let (status, job) = server.ask("POST", "/v1/jobs?wait=60s", Some(&body)).unwrap();
    assert_eq!(status, 200, "{job}");
    job
}

fn said(job: &Value) -> &str {
    job["stdout"]["text"].as_str().unwrap_or_else(|| panic!("{job}"))
}

/// The message of a job that was not run.
fn refusal(job: &Value, reason: &str) -> String {
    assert_eq!((&job["status"], &job["reason"]), (&json!("failed"), &json!(reason)), "{job}");
    assert_eq!(job["started_at"], Value::Null, "{job}");
    job["message"].as_str().unwrap().to_owned()
}

fn mounts_of_host() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

#[test]
fn what_is_allowed_is_there_and_belongs_to_its_owner() {
    for uid in users() {
        let site = Ground::new(uid);
        let (data, word) = (site.text("data"), site.text("data/in/word"));
        let server = site.server(&data);
        if !has_rooms("mounts::allowed", &server) {
            return;
        }
        let before = mounts_of_host();
        let job = run(&server, &format!("cat {word}; echo new > {data}/out/new"), json!([{"path": data}]));
        assert_eq!(said(&job), "data/in/word\n", "{job}");
        assert_eq!(fs::read_to_string(site.path("data/out/new")).unwrap(), "new\n");
        let made = fs::metadata(site.path("data/out/new")).unwrap();
        assert_eq!((made.uid(), made.gid()), (uid, uid));
        // A file alone, and nothing else of its folder; what is read only stays as it is, and what is nobody's is not there.
        let command =
            format!("ls {data}/in; cat {word}; echo x > {word}; ls -d {}; ls {data}/out", site.text("other"));
        let job = run(&server, &command, json!([{"path": word, "read_only": true}]));
        assert_eq!(said(&job), "word\ndata/in/word\n", "{job}");
        assert_eq!(fs::read_to_string(&word).unwrap(), "data/in/word\n");
        // One within the other, as each was asked for.
        let command = format!("echo 1 > {data}/out/1 && echo fine; echo 2 > {data}/in/2 || echo closed");
        let mounts = json!([{"path": format!("{data}/in"), "read_only": true}, {"path": data}]);
        assert_eq!(said(&run(&server, &command, mounts)), "fine\nclosed\n");
        // Whoever can write there can leave a program for root there, which is no longer one in the room nor outside.
        let command = format!(
            "cp /bin/sh {data}/out/sh; chmod 6755 {data}/out/sh; {data}/out/sh -c 'id -u'; mknod {data}/out/null c 1 3 || echo no"
        );
        let job = run(&server, &command, json!([{"path": data}]));
        assert_eq!(said(&job), "1000\nno\n", "{job}");
        assert_eq!(
            fs::metadata(site.path("data/out/sh")).unwrap().mode() & 0o6000,
            0,
            "no program of its owner's is left"
        );
        assert_eq!(mounts_of_host(), before);
    }
}

#[test]
fn what_is_not_allowed_is_refused_with_the_flag_that_allows_it() {
    for uid in users() {
        let site = Ground::new(uid);
        let (data, other) = (site.text("data"), site.text("other"));
        let server = site.server(&format!("{data}/in:ro,{data}/out"));
        if !has_rooms("mounts::refused", &server) {
            return;
        }
        for (path, read_only, flag) in [
            (other.as_str(), true, format!("--allow-mount {other}")),
            (data.as_str(), true, format!("--allow-mount {data}")),
            (&format!("{data}/in"), false, format!("--mount {data}/in:ro")),
            (&format!("{data}/input"), true, "--allow-mount".into()),
        ] {
            let body = json!({"command": "true", "isolation": "sandbox",
                "mounts": [{"path": path, "read_only": read_only}]});
            let (status, problem) = server.ask("POST", "/v1/jobs", Some(&body)).unwrap();
            assert_eq!((status, &problem["setting"]), (403, &json!("runner.allow_mounts")), "{problem}");
            assert!(problem["detail"].as_str().unwrap().contains(&flag), "{problem}");
        }
        let job = run(&server, "true", json!([{"path": format!("{data}/out/absent")}]));
        assert!(refusal(&job, "spawn_error").contains("does not exist"), "{job}");
        for path in ["/", "/proc", "/etc/ssl", "relative", "/a/../b", "/usr"] {
            let body = json!({"command": "true", "mounts": [{"path": path}]});
            let (status, problem) = server.ask("POST", "/v1/jobs", Some(&body)).unwrap();
            assert_eq!(status, 422, "{problem}");
        }
        let body = json!({"command": "true", "isolation": "none", "mounts": [{"path": data}]});
        assert_eq!(server.ask("POST", "/v1/jobs", Some(&body)).unwrap().0, 422);
        assert_eq!(said(&run(&server, "echo ok", json!([]))), "ok\n");
    }
}

#[test]
fn no_link_leads_out_of_what_is_allowed() {
    for uid in users() {
        let site = Ground::new(uid);
        let (data, other) = (site.text("data"), site.text("other"));
        let server = site.server(&data);
        if !has_rooms("mounts::links", &server) {
            return;
        }
        symlink(&other, site.path("data/absolute")).unwrap();
        symlink("../other", site.path("data/relative")).unwrap();
        symlink("/proc/self/root", site.path("data/magic")).unwrap();
        for name in ["absolute", "relative", "absolute/secret", "magic/etc"] {
            let job = run(&server, "true", json!([{"path": format!("{data}/{name}")}]));
            assert!(refusal(&job, "spawn_error").contains("symbolic link"), "{job}");
        }
        // In the room they lead to where nothing is.
        let command = format!("cat {data}/absolute/secret {data}/relative/secret; cat {data}/in/word");
        let job = run(&server, &command, json!([{"path": data}]));
        assert_eq!(said(&job), "data/in/word\n", "{job}");
        let fifo = site.path("data/fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let job = run(&server, "true", json!([{"path": fifo}]));
        assert!(refusal(&job, "spawn_error").contains("only folders and files"), "{job}");
    }
}

#[test]
fn a_link_that_is_swapped_in_while_jobs_start_leads_nowhere_either() {
    let site = Ground::new(getuid().as_raw());
    let (data, other) = (site.text("data"), site.text("other"));
    let server = site.server(&data);
    if !has_rooms("mounts::swapped", &server) {
        return;
    }
    let (spot, spare) = (site.path("data/spot"), site.path("data/spare"));
    fs::create_dir(&spot).unwrap();
    symlink(&other, &spare).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let (spot, spare) = (&spot, &spare);
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, spot, rustix::fs::CWD, spare, exchange).unwrap();
            }
        });
        let mut ends = std::collections::BTreeSet::new();
        for _ in 0..60 {
            let path = spot.display().to_string();
            let job = run(&server, &format!("ls {path}"), json!([{"path": path}]));
            ends.insert(job["reason"].as_str().unwrap().to_owned());
            assert!(!job.to_string().contains("secret"), "{job}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(ends.into_iter().collect::<Vec<_>>(), ["exited", "spawn_error"], "both were met");
    });
}

#[test]
fn a_command_runs_in_the_caller_s_own_folder() {
    for uid in users() {
        let site = Ground::new(uid);
        let here = site.path("data");
        let script = site.path("data/script");
        fs::write(&script, "#!/bin/sh\npwd; cat in/word; echo made > made; cat ../other/secret\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let done = site.callboard(&here, &["run", "--isolation", "sandbox", "--", "./script"]);
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        if err.contains("no room can be made") {
            return missing("mounts::caller_s_folder", "namespaces", &err);
        }
        assert_eq!(out, format!("{}\ndata/in/word\n", here.display()), "{err}");
        assert!(err.contains("secret: No such file"), "{err}");
        assert_eq!(fs::metadata(site.path("data/made")).unwrap().uid(), uid);
        // A name from here, and one that is a link.
        symlink("other", site.path("link")).unwrap();
        let arguments =
            ["run", "--isolation", "sandbox", "--mount", "../link:ro", "--", "cat", "../other/secret"];
        let done = site.callboard(&here, &arguments);
        assert_eq!(String::from_utf8_lossy(&done.stdout), "other/secret\n", "{done:?}");
        // A node that lets in nothing says in its first line what would.
        let server = site.server("none");
        let url = format!("http://127.0.0.1:{}", server.port);
        let done = site.callboard(&here, &["-s", &url, "run", "--isolation", "sandbox", "--", "./script"]);
        let err = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(126), "{err}");
        assert!(err.lines().next().unwrap().contains("--allow-mount"), "{err}");
    }
}
