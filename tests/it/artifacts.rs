//! Files that a job leaves: kept when it is over, whatever its end, read back byte for byte, saved by the command line;
//! and what a hostile job leaves in their place. As root and as an ordinary user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use serde_json::{Value, json};

use crate::server::{Answer, Server, exchange};
use crate::site::{Site, has_rooms, sites, users};

fn run(server: &Server, body: Value) -> Value {
    let (status, job) = server.ask("POST", "/v1/jobs?wait=60s", Some(&body)).unwrap();
    assert_eq!(status, 200, "{job}");
    job
}

/// A job in a room that keeps these.
fn keeping(command: &str, artifacts: &[&str]) -> Value {
    json!({"command": command, "isolation": "sandbox", "artifacts": artifacts})
}

fn read(server: &Server, job: &Value, path: &str) -> Answer {
    let path = format!("/v1/jobs/{}/artifacts?path={path}", job["id"].as_str().unwrap());
    exchange(server.port, "GET", &path, None).unwrap()
}

fn kept(job: &Value) -> Vec<&str> {
    let all = job["artifacts_kept"].as_array().into_iter().flatten();
    all.map(|file| file["path"].as_str().unwrap()).collect()
}

fn unkept(job: &Value) -> Vec<(&str, &str)> {
    let all = job["artifacts_unkept"].as_array().into_iter().flatten();
    all.map(|it| (it["path"].as_str().unwrap(), it["detail"].as_str().unwrap())).collect()
}

/// Names in the node's spool, and of what is in its folders.
fn spooled(site: &Site) -> Vec<String> {
    let mut names = Vec::new();
    for folder in fs::read_dir(site.path("state/spool")).unwrap() {
        let folder = folder.unwrap();
        names.extend(
            fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path().display().to_string()),
        );
        names.push(folder.path().display().to_string());
    }
    names
}

#[test]
fn what_is_left_is_kept_whatever_the_end_and_read_back_until_the_job_is_forgotten() {
    for (site, mut server) in sites("artifacts::kept") {
        let command = "mkdir -p out/deep; printf 'a\\0b' > out/bytes; echo '#!/bin/sh' > out/deep/tool; \
                       chmod 700 out/deep/tool; head -c 3000000 /dev/zero > big; echo no > other; echo said; exit 3";
        let job = run(&server, keeping(command, &["big", "out", "out/bytes", "absent"]));
        assert_eq!((&job["exit_code"], &job["stdout"]["text"]), (&json!(3), &json!("said\n")), "{job}");
        let told = json!([
            {"path": "big", "bytes": 3_000_000, "executable": false},
            {"path": "out/bytes", "bytes": 3, "executable": false},
            {"path": "out/deep/tool", "bytes": 10, "executable": true},
        ]);
        assert_eq!(job["artifacts_kept"], told, "{job}");
        assert_eq!(unkept(&job), [("absent", "it is not there")]);
        let answer = read(&server, &job, "out/bytes");
        assert_eq!((answer.status, answer.body.as_str()), (200, "a\0b"), "{}", answer.head);
        for header in ["application/octet-stream", "attachment; filename=\"bytes\"", "nosniff"] {
            assert!(answer.head.contains(header), "{}", answer.head);
        }
        // The next job of the slot has none of it, and a killed one keeps what it has written so far.
        let killed = json!({"command": "ls -A; echo half > part; sleep 60", "isolation": "sandbox",
            "artifacts": ["part"], "timeout_ms": 300, "grace_ms": 0});
        let killed = run(&server, killed);
        assert_eq!(
            (&killed["reason"], &killed["stdout"]["text"]),
            (&json!("timeout"), &json!("")),
            "{killed}"
        );
        assert_eq!(read(&server, &killed, "part").body, "half\n");
        // They outlive the node, and go with their job.
        server.terminate();
        let server = site.launch("state").start();
        let answer = read(&server, &job, "big");
        assert_eq!((answer.status, answer.body.len()), (200, 3_000_000), "{}", answer.head);
        assert_eq!(read(&server, &job, "other").status, 404);
        assert_eq!(read(&server, &job, "").status, 404);
        for job in [&job, &killed] {
            let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
            assert_eq!(server.ask("DELETE", &path, None).unwrap().0, 204);
        }
        assert_eq!(read(&server, &job, "big").status, 404);
        crate::process::until("nothing of them is left", || spooled(&site).is_empty());
    }
}

#[test]
fn nothing_that_a_job_leaves_leads_out_of_its_room() {
    for (site, server) in sites("artifacts::hostile") {
        let secret = site.path("secret");
        fs::write(&secret, "SECRET").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
        let secret = secret.display();
        let command = format!(
            "ln -s {secret} link; ln -s / root; ln -s /proc/1/environ proc; mkdir out shut; ln -s ../../..{secret} out/up;
             ln -s /proc/self/root/etc/shadow out/magic; mkfifo out/pipe; ln -s out loop; ln -s loop out/loop;
             truncate -s 4E out/sparse || truncate -s 1T out/sparse; touch out/*; echo x > shut/in; chmod 0 shut;
             ln /proc/self/environ out/hard; (setsid sh -c 'while :; do echo more >> out/growing; done' &) ; sleep 0.2"
        );
        let wanted = ["link", "root{secret}", "proc", "out", "out/up", "loop/growing", "shut", "out/growing"];
        let wanted: Vec<_> =
            wanted.iter().map(|path| path.replace("{secret}", &secret.to_string())).collect();
        let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
        let job = run(&server, keeping(&command, &wanted));
        // The one that went on writing was dead before anything was read.
        assert!(kept(&job).iter().all(|path| ["out/growing", "shut/in"].contains(path)), "{job}");
        let growing =
            &job["artifacts_kept"].as_array().unwrap().iter().find(|it| it["path"] == "out/growing");
        let bytes = growing.unwrap()["bytes"].as_u64().unwrap();
        let answer = read(&server, &job, "out/growing");
        assert_eq!((answer.body.len() as u64, answer.status), (bytes, 200), "{}", answer.head);
        let told = unkept(&job);
        for (path, why) in [
            ("link", "symbolic link"),
            ("proc", "symbolic link"),
            ("out/up", "symbolic link"),
            ("out/magic", "symbolic link"),
            ("out/loop", "symbolic link"),
            ("loop/growing", "symbolic link"),
            ("out/pipe", "neither a file nor a folder"),
            ("out/sparse", "max_artifacts"),
        ] {
            assert!(told.iter().any(|(at, told)| *at == path && told.contains(why)), "{path}: {job}");
        }
        for text in [job.to_string(), spooled(&site).join(" ")] {
            assert!(!text.contains("SECRET") && !text.contains("root:"), "{text}");
        }
        let job = run(&server, json!({"command": "echo ok", "isolation": "sandbox"}));
        assert_eq!(job["stdout"]["text"], "ok\n", "{job}");
    }
}

#[test]
fn there_is_a_bound_that_an_operator_sets() {
    for uid in users() {
        let site = Site::new(uid);
        let server = site.launch("state").variable("CALLBOARD_MAX_ARTIFACTS", "1MiB").start();
        if !has_rooms("artifacts::bound", &server) {
            continue;
        }
        let command = "head -c 700000 /dev/zero > a; cp a b; head -c 300000 a > c; mkdir many; cd many; \
                       i=0; while [ $i -lt 300 ]; do : > $i; i=$((i+1)); done";
        let job = run(&server, keeping(command, &["a", "b", "c", "many"]));
        assert_eq!(job["artifacts_kept"].as_array().unwrap().len(), 256, "{job}");
        assert_eq!(&kept(&job)[..2], ["a", "c"]);
        let [("b", large), (_, many)] = unkept(&job)[..] else { panic!("{job}") };
        assert!(large.contains("max_artifacts") && many.contains("256 files"), "{job}");
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (_site, server) in sites("artifacts::refused") {
        let refused = |body: Value, pointer: &str| {
            let (status, problem) = server.ask("POST", "/v1/jobs", Some(&body)).unwrap();
            assert_eq!(status, 422, "{problem}");
            assert!(problem["errors"][0]["pointer"].as_str().unwrap().ends_with(pointer), "{problem}");
        };
        for path in ["/etc/passwd", "../x", "a/../../x", "", "a//b", "a/", ".", "a\u{0}b"] {
            refused(keeping("true", &[path]), "/artifacts/0");
        }
        refused(keeping("true", &["a", "a"]), "/artifacts/1");
        let many: Vec<_> = (0..65).map(|number| format!("a{number}")).collect();
        refused(json!({"command": "true", "artifacts": many}), "/artifacts");
        refused(json!({"command": "true", "isolation": "none", "artifacts": ["a"]}), "/artifacts");
        let path = format!("/v1/jobs/{}/artifacts", server.submit("sleep 60"));
        for (query, status) in [("", 422), ("?path=a", 409), ("?path=a&x=1", 422)] {
            let (got, problem) = server.ask("GET", &format!("{path}{query}"), None).unwrap();
            assert_eq!(got, status, "{query}: {problem}");
        }
        // A batch's job and a repeated one keep theirs, too.
        let (_, batch) = server
            .ask("POST", "/v1/jobs/batch", Some(&json!({"jobs": [keeping("echo x > a", &["a"])]})))
            .unwrap();
        let id = batch["items"][0]["job"]["id"].as_str().unwrap();
        server.until(id, "completed");
        let (_, again) = server.ask("POST", &format!("/v1/jobs/{id}/retry"), None).unwrap();
        let again = server.until(again["id"].as_str().unwrap(), "completed");
        assert_eq!(read(&server, &again, "a").body, "x\n");
    }
}

#[test]
fn the_command_line_brings_them_home() {
    for (site, server) in sites("artifacts::command_line") {
        let here = site.path("here");
        fs::create_dir(&here).unwrap();
        fs::set_permissions(&here, fs::Permissions::from_mode(0o777)).unwrap();
        let url = format!("http://127.0.0.1:{}", server.port);
        let callboard = |arguments: &[&str]| -> Output {
            site.callboard(&here, &[&["-s", url.as_str()], arguments].concat())
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let script = "mkdir out; echo one > out/a; echo two > out/b; echo '#!/bin/sh' > tool; chmod +x tool; echo said";
        let job = ["--isolation", "sandbox", "--shell", script];
        let done = callboard(&[&["run", "--artifact", "out/", "--artifact", "tool"], &job[..]].concat());
        assert_eq!((done.status.code(), text(&done.stdout)), (Some(0), "said\n".into()), "{done:?}");
        assert_eq!(fs::read_to_string(here.join("out/b")).unwrap(), "two\n");
        assert_ne!(fs::metadata(here.join("tool")).unwrap().permissions().mode() & 0o111, 0);
        // Something that was wanted is not there: no success, and another folder has the rest.
        let to = ["run", "--artifact", "tool", "--artifact", "absent", "--artifacts-to", "else/where"];
        let done = callboard(&[&to[..], &job].concat());
        assert_eq!(done.status.code(), Some(125), "{done:?}");
        assert!(text(&done.stderr).contains("`absent` was not kept: it is not there"), "{done:?}");
        assert!(here.join("else/where/tool").exists());
        let done = callboard(&["artifacts", "last"]);
        assert!(text(&done.stdout).contains("tool") && text(&done.stderr).contains("absent"), "{done:?}");
        let done = callboard(&["artifacts", "last", "tool"]);
        assert_eq!((done.status.code(), text(&done.stdout)), (Some(0), "#!/bin/sh\n".into()), "{done:?}");
        for (arguments, code) in [
            (&["artifacts", "last", "nothing"][..], 3),
            (&["artifacts", "last", "--to", "/proc/nowhere"], 1),
            (&["artifacts", "0000000000"], 3),
            (&["run", "--artifacts-to", "x", "--", "true"], 2),
            (&["run", "--artifact", "../x", "--", "true"], 125),
        ] {
            let done = callboard(arguments);
            assert_eq!(done.status.code(), Some(code), "{arguments:?} {done:?}");
            assert_eq!(
                text(&done.stderr).lines().count(),
                if code == 2 { text(&done.stderr).lines().count() } else { 1 }
            );
        }
        // A name that no header takes hides no other file.
        let odd = ["run", "--artifact", "odd", "--artifacts-to", "odd", "--isolation", "sandbox", "--shell"];
        let script = r#"mkdir odd; for name in a z "$(printf 'n\nl')" "$(printf 'c\033[31m')"; do echo x > "odd/$name"; done"#;
        let done = callboard(&[&odd[..], &[script]].concat());
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let names = fs::read_dir(here.join("odd/odd")).unwrap().map(|it| it.unwrap().file_name());
        assert!(names.into_iter().any(|name| name.to_string_lossy() == "n\nl"), "{done:?}");
        assert!(here.join("odd/odd/z").exists(), "{done:?}");
        let done = callboard(&["artifacts", "last", "odd/z", "--to", "saved", "-o", "name"]);
        assert_eq!((done.status.code(), text(&done.stdout)), (Some(0), "odd/z\n".into()), "{done:?}");
        assert!(here.join("saved/odd/z").exists());
    }
}
