//! Jobs where no room can be made: what confines them all the same, what they leave, that it is told, and that nothing is
//! claimed where nothing does. As root, as root with jobs of another user, and as an ordinary user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use callboard_actors::exec::HostFacts;
use rustix::process::{Signal, getuid, kill_process};
use serde_json::{Value, json};

use crate::behind::{Lack, without};
use crate::death::ordinary_user;
use crate::process::{finish, until};
use crate::server::{BINARY, Server, exchange, knows_no_settings};
use crate::site::Site;
use crate::skip::missing;

/// A server that can make no rooms, and where it lives.
struct Hut {
    server: Server,
    site: Site,
    job_uid: u32,
}

impl Hut {
    /// For each kind of user; out loud where the kernel's own Landlock does not do.
    fn each(test: &str) -> Vec<Self> {
        if HostFacts::read().landlock_version < 3 {
            missing(test, "landlock", "this kernel has no Landlock of version 3");
            return Vec::new();
        }
        let (me, other) = (getuid().as_raw(), ordinary_user());
        let mut kinds = vec![(me, me), (me, other), (other, other)];
        kinds.dedup();
        kinds.into_iter().map(|(uid, job_uid)| Self::open(uid, job_uid)).collect()
    }

    fn open(uid: u32, job_uid: u32) -> Self {
        let site = Site::new(uid);
        let temporary = site.path("tmp");
        fs::create_dir(&temporary).unwrap();
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o1777)).unwrap();
        let server = Self::start(&site, job_uid);
        Self { server, site, job_uid }
    }

    fn start(site: &Site, job_uid: u32) -> Server {
        let launch = site.launch("data").jobs_as(job_uid).with_rooms().slots(1);
        let temporary = site.path("tmp").display().to_string();
        let launch = launch.variable("PROBE_SECRET", "hunter2").variable("TMPDIR", &temporary);
        without(&[Lack::Namespaces], || launch.start())
    }

    fn ask(&self, body: Value) -> Value {
        let (status, job) = self.server.ask("POST", "/v1/jobs?wait=60s", Some(&body)).unwrap();
        assert_eq!(status, 200, "{job}");
        job
    }

    fn run(&self, command: &str) -> Value {
        let job = self.ask(json!({"command": command, "timeout_ms": 60_000}));
        assert_eq!(job["isolation_effective"]["tier"], "lite", "{job}");
        job
    }

    fn said(&self, command: &str) -> String {
        said(&self.run(command))
    }

    fn said_outside(&self, command: &str) -> String {
        said(&self.ask(json!({"command": command, "isolation": "none"})))
    }

    /// Folders of jobs, wherever they are.
    fn folders(&self) -> usize {
        let temporary = self.site.path("tmp");
        let own = self.site.path("data/slots");
        let of = |folder: &std::path::Path| {
            let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
            names.filter(|name| name.to_string_lossy().ends_with(".home")).count()
        };
        of(&temporary) + of(&own)
    }
}

/// Whether jobs have Python to ask the kernel with; if not, out loud.
fn has_python(test: &str) -> bool {
    let found = ["/usr/local/bin", "/usr/bin", "/bin"]
        .iter()
        .any(|folder| fs::exists(format!("{folder}/python3")).unwrap());
    if !found {
        missing(test, "python3", "there is no python3 where jobs see it");
    }
    found
}

fn said(job: &Value) -> String {
    job["stdout"]["text"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_job_sees_and_changes_nothing_but_programs_and_its_own() {
    for hut in Hut::each("lite::sees") {
        let secret = hut.site.path("secret");
        fs::write(&secret, "a secret of the host\n").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o666)).unwrap();
        let (secret, port) = (secret.display(), hut.server.port);
        let python = |line: &str| format!("python3 -c '{line}' 2>&1 | tail -n 1");
        let is_tried = |probe: &str| !probe.starts_with("python3") || has_python("lite::sees");
        let keeper = "/proc/$PPID";
        for (probe, outside, inside) in [
            (format!("cat {secret}"), "a secret of the host\n", ""),
            (format!("echo more >> {secret} && echo written"), "written\n", ""),
            (format!("cp {secret} {secret}.copy && echo made"), "made\n", ""),
            ("head -c 4 /etc/passwd; ls /etc | head -n 1 | wc -l".into(), "root1\n", "0\n"),
            ("ls / /tmp /home > /dev/null && echo seen".into(), "seen\n", ""),
            (
                python(&format!(
                    "import socket; socket.create_connection((\"127.0.0.1\", {port})); print(\"reached\")"
                )),
                "reached\n",
                "OSError: [Errno 97] Address family not supported by protocol\n",
            ),
            (
                python("import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); print(\"made\")"),
                "made\n",
                "OSError: [Errno 97] Address family not supported by protocol\n",
            ),
        ] {
            if is_tried(&probe) {
                assert_eq!(hut.said_outside(&probe), outside, "the probe bites: {probe}");
                assert_eq!(hut.said(&probe), inside, "{probe}");
            }
        }
        // The node's own files, by their names and by whatever is in its folder.
        let data = hut.site.path("data");
        let files =
            format!("cat {0}/store.lock {0}/node_id {0}/* {0}/*/* 2>/dev/null | wc -c", data.display());
        if hut.site.uid == hut.job_uid {
            assert_ne!(hut.said_outside(&files), "0\n", "the probe bites");
        }
        assert_eq!(hut.said(&files), "0\n");
        for (command, expected) in [
            (format!("cat {keeper}/environ {keeper}/maps {keeper}/mem 2>/dev/null | wc -c"), "0\n"),
            (format!("ls {keeper}/root/ {keeper}/cwd/ 2>/dev/null | wc -l"), "0\n"),
            (format!("readlink {keeper}/exe {keeper}/fd/0 {keeper}/ns/net | wc -l"), "0\n"),
            ("env | grep -c hunter2".into(), "0\n"),
            ("cat /proc/self/oom_score_adj".into(), "500\n"),
            ("ls /proc/self/fd | wc -l".into(), "4\n"),
            ("grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status | grep -vc 0000000000000000".into(), "0\n"),
            (
                "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | cut -f2 | paste -s -d ' '".into(),
                "1 2\n",
            ),
            ("echo x > /proc/self/comm || echo closed".into(), "closed\n"),
            ("unshare -m true || unshare -n true || chroot . true || echo refused".into(), "refused\n"),
            (python("import ctypes; print(ctypes.CDLL(None).ptrace(16, 1, 0, 0))"), "-1\n"),
            (python("import socket; a, b = socket.socketpair(); a.send(b\"x\"); print(b.recv(1))"), "b'x'\n"),
            ("[ $PWD = $HOME ] && cd $TMPDIR && mktemp x.XXXX | cut -c1-2 && ls -A $HOME".into(), "x.\n"),
            ("awk 'BEGIN { print 7 }' /dev/null; date > /dev/null && echo a > /dev/stdout".into(), "7\na\n"),
        ] {
            if is_tried(&command) {
                assert_eq!(hut.said(&command), expected, "{command}");
            }
        }
        assert_eq!(hut.folders(), 0);
        assert_eq!(hut.said("ls -A . $TMPDIR | grep -v ^[./]"), "\n", "the next one finds nothing");
    }
}

#[test]
fn no_limit_of_another_process_is_changed_and_nothing_is_left_in_the_kernel() {
    if !has_python("lite::foreign") {
        return;
    }
    for hut in Hut::each("lite::foreign") {
        let ids =
            "import resource, os, ctypes; libc = ctypes.CDLL(None, use_errno=True); keeper = os.getppid()";
        for call in [
            "resource.prlimit(keeper, resource.RLIMIT_CPU, (0, 0))",
            "resource.prlimit(keeper, resource.RLIMIT_NOFILE, (0, 0))",
            "os.setpriority(os.PRIO_PROCESS, keeper, 5)",
            "os.setpriority(os.PRIO_USER, 0, 5)",
            "os.sched_setaffinity(keeper, {0})",
            "os.sched_setscheduler(keeper, os.SCHED_BATCH, os.sched_param(0))",
        ] {
            let job = hut.run(&format!("exec python3 -c '{ids}; {call}' 2>&1 | tail -n 1 | cut -d: -f1"));
            // What runs below a shell has that for its parent, and the shell the keeper: either is another process.
            assert_eq!(said(&job), "PermissionError\n", "{call}: {job}");
        }
        for call in [
            "libc.shmget(0x4242, 4096, 0o1600)",
            "libc.msgget(0x4242, 0o1600)",
            "libc.semget(0x4242, 1, 0o1600)",
        ] {
            assert_eq!(
                hut.said(&format!("python3 -c '{ids}; print({call}, ctypes.get_errno())'")),
                "-1 1\n",
                "{call}"
            );
        }
        // Its own it may.
        assert_eq!(
            hut.said("ulimit -n 64; ulimit -n; nice -n 5 true && taskset 1 true && echo own"),
            "64\nown\n"
        );
        assert_eq!(hut.said("echo ok"), "ok\n");
    }
}

#[test]
fn a_job_that_closes_its_folders_breaks_no_slot() {
    for hut in Hut::each("lite::closes") {
        for line in ["chmod 000 ..", "chmod 500 ..", "chmod 000 ../..", "chmod 000 . .. $TMPDIR"] {
            let job = hut.run(line);
            assert_eq!(hut.folders(), 0, "{line}: {job}");
            assert_eq!(hut.said("echo ok"), "ok\n", "{line}");
        }
    }
}

#[test]
fn signals_stay_among_its_own() {
    for hut in Hut::each("lite::signals") {
        if HostFacts::read().landlock_version < 6 {
            return missing("lite::signals", "landlock", "this kernel has no Landlock of version 6");
        }
        let job =
            hut.run("kill -0 $PPID || kill -9 $PPID || echo refused; sleep 60 & kill -9 $! && echo own");
        assert_eq!(said(&job), "refused\nown\n", "{job}");
        assert_eq!(hut.said("echo ok"), "ok\n");
    }
}

#[test]
fn nothing_outlives_a_job_neither_processes_nor_files() {
    for mut hut in Hut::each("lite::outlives") {
        let line = "mkdir -p deep/er; echo x > deep/er/f; chmod 0 deep/er deep; ln -s / root; mkfifo pipe; \
                    (setsid sh -c 'trap \"\" TERM; while :; do touch $HOME/again; done' &); sleep 0.1; exec true";
        let job = hut.run(line);
        assert_eq!((&job["status"], hut.folders()), (&json!("completed"), 0), "{job}");
        assert!(job["usage"]["orphans_killed"].as_u64().unwrap() >= 1, "{job}");
        // Its keeper is killed: what it held is swept before the slot's next job.
        let id = hut.server.submit("echo x > $HOME/left; exec sleep 300");
        hut.server.until(&id, "running");
        until("its folder is there", || hut.folders() == 1);
        for keeper in hut.server.keeper_pids() {
            kill_process(keeper, Signal::KILL).unwrap();
        }
        until("it is lost or waits again", || hut.server.job(&id)["status"] != "running");
        hut.server.terminate();
        let server = Hut::start(&hut.site, hut.job_uid);
        until("nothing is left", || hut.folders() <= 1);
        server.ask("POST", &format!("/v1/jobs/{id}/cancel"), Some(&json!({"grace_ms": 0}))).unwrap();
        until("the job is over", || {
            !["pending", "running"].contains(&server.job(&id)["status"].as_str().unwrap())
        });
        until("nothing is left", || hut.folders() == 0);
    }
}

#[test]
fn files_mounts_artifacts_and_limits_are_as_in_a_room_where_that_can_be() {
    for hut in Hut::each("lite::files") {
        let given = hut.site.path("given");
        fs::create_dir(&given).unwrap();
        fs::set_permissions(&given, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(given.join("in"), "input\n").unwrap();
        let path = given.display().to_string();
        let job = hut.ask(json!({
            "command": "./tool; cat /job/tool; cat in/word; ulimit -n; mkdir out; mv in/word out; ln -s /etc/passwd out/link; exit 4",
            "files": [{"path": "tool", "content": {"text": "#!/bin/sh\necho ran\n"}, "executable": true},
                {"path": "in/word", "content": {"text": "word\n"}}],
            "artifacts": ["out", "absent"], "limits": {"open_files": 64}, "cwd": "/job",
        }));
        assert_eq!((said(&job), &job["exit_code"]), ("ran\nword\n64\n".into(), &json!(4)), "{job}");
        assert_eq!(
            job["artifacts_kept"],
            json!([{"path": "out/word", "bytes": 5, "executable": false}]),
            "{job}"
        );
        assert_eq!(job["artifacts_unkept"].as_array().unwrap().len(), 2, "{job}");
        assert_eq!(job["isolation_effective"]["limits"]["open_files"]["enforced_by"], "rlimit", "{job}");
        let id = job["id"].as_str().unwrap();
        let answer =
            exchange(hut.server.port, "GET", &format!("/v1/jobs/{id}/artifacts?path=out/word"), None);
        assert_eq!(answer.unwrap().body, "word\n");
        // This node allows everything that its user may see, and each job what it asks for.
        let read_only = json!({"command": format!("cat {path}/in; echo x > {path}/new || echo closed"),
            "mounts": [{"path": path, "read_only": true}]});
        let writable = json!({"command": format!("cat {path}/in; echo x > {path}/new && echo open"),
            "mounts": [{"path": path}]});
        if hut.site.uid == ordinary_user() {
            assert_eq!(said(&hut.ask(read_only)), "input\nclosed\n");
            assert_eq!(said(&hut.ask(writable)), "input\nopen\n");
            let here = hut.ask(json!({"command": "pwd; cat in; touch made && ls", "cwd": path}));
            assert_eq!(said(&here), format!("{path}\ninput\nin\nmade\nnew\n"), "{here}");
        } else {
            let (status, refused) = hut.server.ask("POST", "/v1/jobs", Some(&read_only)).unwrap();
            assert_eq!((status, &refused["setting"]), (403, &json!("runner.allow_mounts")), "{refused}");
            let elsewhere = hut.ask(json!({"command": "true", "cwd": path}));
            assert!(elsewhere["message"].as_str().unwrap().contains("--allow-mount"), "{elsewhere}");
        }
        let disk = json!({"command": "true", "limits": {"disk_bytes": 1_048_576}});
        let (status, problem) = hut.server.ask("POST", "/v1/jobs", Some(&disk)).unwrap();
        assert!(status == 409 && problem["missing"].to_string().contains("root"), "{problem}");
    }
}

#[test]
fn what_confines_a_job_is_told_and_a_room_is_not_replaced_unasked() {
    for hut in Hut::each("lite::told") {
        let (_, health) = hut.server.ask("GET", "/health", None).unwrap();
        let rooms = &health["isolation"];
        for (layer, state) in [
            ("userns", "unavailable"),
            ("netns", "unavailable"),
            ("root", "unavailable"),
            ("landlock", "enforced"),
            ("seccomp", "enforced"),
            ("rights", "enforced"),
            ("no_new_privs", "enforced"),
        ] {
            assert_eq!(rooms["layers"][layer]["state"], state, "{layer}: {rooms}");
        }
        let had = hut.run("true")["isolation_effective"].clone();
        assert_eq!((&had["kill"], &had["network"]), (&json!("subreaper"), &json!("none")), "{had}");
        assert!(had["missing"].as_array().unwrap().contains(&json!("pidns")), "{had}");
        let ask = |isolation: Value| {
            let body = json!({"command": "true", "isolation": isolation});
            hut.server.ask("POST", "/v1/jobs?wait=60s", Some(&body)).unwrap()
        };
        for fine in [
            json!({"min_tier": "lite"}),
            json!({"require": ["seccomp", "landlock"]}),
            json!({"mode": "sandbox", "required": false}),
        ] {
            let (status, job) = ask(fine);
            assert_eq!((status, &job["isolation_effective"]["tier"]), (200, &json!("lite")), "{job}");
        }
        for (refused, lacking) in [
            (json!("sandbox"), "userns"),
            (json!({"min_tier": "partial"}), "mountns"),
            (json!({"require": ["netns"]}), "netns"),
        ] {
            let (status, problem) = ask(refused);
            assert_eq!(status, 409, "{problem}");
            assert!(problem["missing"].as_array().unwrap().contains(&json!(lacking)), "{problem}");
        }
        let shared = hut.ask(json!({"command": "python3 -c 'import socket; socket.socket(); print(1)'",
            "isolation": {"network": "host"}}));
        assert_eq!(shared["isolation_effective"]["network"], "host", "{shared}");
        if has_python("lite::told") {
            assert_eq!(said(&shared), "1\n", "{shared}");
        }
    }
}

#[test]
fn where_nothing_confines_a_job_that_is_said_and_who_must_not_run_it_does_not() {
    let site = Site::new(getuid().as_raw());
    let launch = site.launch("data").with_rooms();
    let server = without(&[Lack::Namespaces, Lack::Landlock], || launch.start());
    let (_, health) = server.ask("GET", "/health", None).unwrap();
    assert_eq!(health["isolation"]["tier"], "none", "{health}");
    let why = health["isolation"]["degraded_because"].to_string();
    assert!(why.contains("new namespaces") && why.contains("Landlock"), "{why}");
    let (_, job) = server.ask("POST", "/v1/jobs?wait=60s", Some(&json!({"command": "true"}))).unwrap();
    assert_eq!(
        (&job["status"], &job["isolation_effective"]["tier"]),
        (&json!("completed"), &json!("none")),
        "{job}"
    );
    let min_lite = json!({"command": "true", "isolation": {"min_tier": "lite"}});
    assert_eq!(server.ask("POST", "/v1/jobs", Some(&min_lite)).unwrap().0, 409);
    let doctor = |lacks: &[Lack]| -> Output {
        let mut command = Command::new(BINARY);
        knows_no_settings(&mut command);
        command.args(["doctor"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(without(lacks, || command.spawn().unwrap()), None)
    };
    let done = doctor(&[Lack::Namespaces, Lack::Landlock]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.code() == Some(1) && text.contains("tier:  none"), "{text}");
    let done = doctor(&[Lack::Namespaces]);
    let (text, told) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if HostFacts::read().landlock_version >= 3 {
        assert!(text.contains("tier:  lite") && told.contains("confined without one"), "{text}{told}");
    }
}
