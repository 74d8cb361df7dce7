//! Jobs in rooms of their own, through the public API: what they see, what they cannot do, how they end, and that
//! nothing of them stays. Probes are shown to bite without a room.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::{Signal, getgroups, getuid, kill_process};
use serde_json::{Value, json};

use crate::process::until;
use crate::server::Server;
use crate::site::{Site, has_rooms, users};
use crate::skip::missing;

/// A server and a folder that it can reach, whoever it is.
struct House {
    server: Server,
    site: Site,
    slots: u32,
}

impl House {
    /// None, out loud, where the kernel lets this user make no rooms.
    fn open(test: &str, uid: u32, slots: u32) -> Option<Self> {
        let site = Site::new(uid);
        let server = site.launch("data").slots(slots).variable("PROBE_SECRET", "hunter2").start();
        let house = Self { server, site, slots };
        if !has_rooms(test, &house.server) {
            return None;
        }
        let canary = house.run("true");
        assert_eq!(canary["status"], "completed", "{canary}");
        Some(house)
    }

    fn ask(&self, command: &str, isolation: &str, more: Value) -> Value {
        let mut body = json!({"command": command, "isolation": isolation, "timeout_ms": 60_000});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, job) = self.server.ask("POST", "/v1/jobs?wait=60s", Some(&body)).unwrap();
        assert_eq!(status, 200, "{job}");
        job
    }

    /// A job in a room.
    fn run(&self, command: &str) -> Value {
        self.ask(command, "sandbox", json!({}))
    }

    /// What a job in a room says.
    fn said(&self, command: &str) -> String {
        said(&self.run(command))
    }

    /// What the same job says without one.
    fn said_outside(&self, command: &str) -> String {
        said(&self.ask(command, "none", json!({})))
    }

    /// Each slot still runs jobs, in rooms and without.
    fn is_well(&self) {
        for _ in 0..self.slots {
            assert_eq!(self.said("echo ok"), "ok\n");
            assert_eq!(self.said_outside("echo ok"), "ok\n");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }
}

fn said(job: &Value) -> String {
    job["stdout"]["text"].as_str().unwrap_or_default().to_owned()
}

/// The users that a test can be: the one who runs it, and an ordinary one where that one may become somebody else.
/// Processes whose command line has this word in it.
fn with_word(word: &str) -> usize {
    let holds = |process: &Path| {
        fs::read(process.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(word))
    };
    fs::read_dir("/proc").unwrap().flatten().filter(|process| holds(&process.path())).count()
}

#[test]
fn a_room_shows_nothing_of_the_host_and_of_its_node() {
    for uid in users() {
        let Some(house) = House::open("rooms::shows_nothing", uid, 1) else { return };
        let secret = house.path("secret");
        fs::write(&secret, "a secret of the host\n").unwrap();
        let read = format!("cat {}", secret.display());
        assert_eq!(house.said_outside(&read), "a secret of the host\n", "the probe bites");
        assert_eq!(house.said(&read), "");
        let port = format!("grep -ci ':{:04X} ' /proc/net/tcp", house.server.port);
        assert_ne!(house.said_outside(&port), "0\n", "the probe bites");
        assert_eq!(house.said(&port), "0\n");
        // An ordinary user cannot give up those that it has.
        let kept = if uid == getuid().as_raw() && uid != 0 { getgroups().unwrap().len() } else { 0 };
        let groups = format!("{}\n", 1 + kept);
        // Itself, and what it asks with.
        let processes = "ls -d /proc/[0-9]* | wc -l";
        assert!(house.said_outside(processes).trim().parse::<u32>().unwrap() > 4, "the probe bites");
        assert!(house.said(processes).trim().parse::<u32>().unwrap() <= 3);
        for (command, expected) in [
            ("id -u", "1000\n"),
            ("cat /proc/self/oom_score_adj", "500\n"),
            ("hostname | cut -c1-4", "job-\n"),
            ("pwd; echo $HOME $USER", "/job\n/job job\n"),
            ("cat /proc/1/environ /proc/1/cmdline 2>/dev/null | wc -c", "0\n"),
            ("env | grep -c hunter2", "0\n"),
            ("ls /proc/self/fd | wc -l", "4\n"),
            ("ls -d /sys /root /home /var/lib/callboard 2>/dev/null", ""),
            ("cat /etc/shadow /etc/machine-id 2>/dev/null", ""),
            ("grep -E '^Cap' /proc/self/status | grep -vc 0000000000000000", "0\n"),
            ("grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | cut -f2 | paste -s -d ' '", "1 2\n"),
            ("grep '^Groups:' /proc/self/status | wc -w", groups.as_str()),
            (
                "for at in sys fs irq bus; do grep -c \" /proc/$at ro,\" /proc/self/mountinfo; done | sort -u",
                "1\n",
            ),
            ("ls -A /proc/acpi /proc/scsi 2>/dev/null | grep -v : | wc -w", "0\n"),
            ("echo a > /dev/stdout; echo b > /dev/null; head -c 3 /dev/zero | wc -c", "a\n3\n"),
        ] {
            assert_eq!(house.said(command), expected, "as {uid}: {command}");
        }
        house.is_well();
    }
}

#[test]
fn a_room_lets_nothing_of_the_host_be_changed() {
    for uid in users() {
        let Some(house) = House::open("rooms::changes_nothing", uid, 1) else { return };
        let canary = house.path("canary");
        fs::write(&canary, "untouched").unwrap();
        fs::set_permissions(&canary, fs::Permissions::from_mode(0o666)).unwrap();
        let change = format!("echo touched > {}", canary.display());
        house.run(&change);
        assert_eq!(fs::read_to_string(&canary).unwrap(), "untouched");
        house.said_outside(&change);
        assert_eq!(fs::read_to_string(&canary).unwrap(), "touched\n", "the probe bites");
        for attempt in [
            "echo x > /usr/bin/x",
            "echo x > /x",
            "echo x > /etc/passwd",
            "echo x > /dev/x",
            "mknod /tmp/x b 8 0",
            "echo x > /proc/sys/kernel/hostname",
            "echo 1 > /proc/sys/user/max_user_namespaces",
            "unshare -U true",
            "unshare -r -m true",
            "mount -t tmpfs none /tmp",
            "mount -o remount,rw /",
            "umount /proc",
            "chroot / true",
            "hostname other",
            "kill -9 1; sleep 0.1; exit 1",
            "chown 0 /tmp",
            "cp /bin/sh /tmp/sh && chmod 4755 /tmp/sh",
            "cp /bin/sh /tmp/sh && chmod g+s /tmp/sh",
            "install -m 2755 /bin/sh /tmp/sh",
            "nsenter -t 1 -m true",
            "dmesg",
            "echo x > /dev/tcp",
        ] {
            let job = house.run(attempt);
            assert_eq!(job["status"], "failed", "as {uid}: {attempt}: {job}");
            assert_eq!(job["reason"], "exit_code", "as {uid}: {attempt}: {job}");
        }
        // What is its own it may write to, up to a size, and the next job sees nothing of it.
        for folder in ["/job", "/tmp", "/dev/shm"] {
            let fill = format!("head -c 100m /dev/zero > {folder}/big 2>/dev/null; stat -c %s {folder}/big");
            assert_eq!(house.said(&fill), "67108864\n", "{folder}");
            assert_eq!(house.said(&format!("ls {folder} | wc -l")).trim(), "0");
        }
        house.is_well();
    }
}

/// What a room shows of its own processes could be written to by whoever owns them, were it not for Landlock.
#[test]
fn landlock_keeps_a_job_from_writing_elsewhere() {
    let raise = "echo 600 > /proc/self/oom_score_adj && echo raised";
    for uid in users() {
        let Some(house) = House::open("rooms::landlock", uid, 1) else { return };
        assert_eq!(house.said_outside(raise), "raised\n", "the probe bites");
        let job = house.run(raise);
        if job["isolation_effective"]["missing"].as_array().unwrap().contains(&json!("landlock")) {
            return missing("rooms::landlock", "landlock", "this kernel has none");
        }
        assert_eq!((said(&job).as_str(), &job["exit_code"]), ("", &json!(2)), "{job}");
        house.is_well();
    }
}

#[test]
fn a_room_s_first_process_has_nothing_left_to_be_abused() {
    for uid in users() {
        let Some(house) = House::open("rooms::first_process", uid, 1) else { return };
        let body = json!({"command": ["sleep", "54321.4"], "isolation": "sandbox"});
        let (_, job) = house.server.ask("POST", "/v1/jobs", Some(&body)).unwrap();
        house.server.until(job["id"].as_str().unwrap(), "running");
        let status = |pid: &str| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |pid: &str, name: &str| {
            let line = status(pid).lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
            line.unwrap_or_default()
        };
        let mut sleeper = String::new();
        until("the job sleeps", || {
            let processes =
                fs::read_dir("/proc").unwrap().flatten().map(|it| it.file_name().into_string().unwrap());
            let is_it = |pid: &String| {
                fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line.starts_with(b"sleep\x0054321.4"))
            };
            sleeper = processes.into_iter().find(is_it).unwrap_or_default();
            !sleeper.is_empty()
        });
        let first = field(&sleeper, "PPid:");
        assert_eq!(field(&first, "NSpid:").split_whitespace().last(), Some("1"), "{}", status(&first));
        for (name, value) in [
            ("Seccomp:", "2"),
            ("NoNewPrivs:", "1"),
            ("CapEff:", "0000000000000000"),
            ("CapPrm:", "0000000000000000"),
            ("CapBnd:", "0000000000000000"),
        ] {
            assert_eq!(field(&first, name), value, "{name} {}", status(&first));
        }
        if !getuid().is_root() {
            // It is closed to its own user, who could do with it whatever it can do.
            missing("rooms::first_process's descriptors", "root", "it needs root");
            continue;
        }
        let files: Vec<_> = fs::read_dir(format!("/proc/{first}/fd")).unwrap().flatten().collect();
        let places = files.iter().filter_map(|file| fs::read_link(file.path()).ok());
        let strange: Vec<_> =
            places.filter(|place| !["/dev/null"].map(Path::new).contains(&place.as_path())).collect();
        assert!(
            strange.len() <= 2,
            "its line to the keeper and its last words, and nothing else: {strange:?}"
        );
    }
}

#[test]
fn nothing_of_a_room_outlives_its_job() {
    for uid in users() {
        let Some(house) = House::open("rooms::outlives", uid, 1) else { return };
        let daemon = "setsid sh -c 'setsid sleep 54321.1 & setsid sleep 54321.1 &'; sleep 54321.1 & sleep 0.1; echo left";
        let job = house.run(daemon);
        assert_eq!((said(&job).as_str(), &job["reason"]), ("left\n", &json!("exited")), "{job}");
        assert!(job["usage"]["orphans_killed"].as_u64().unwrap() >= 3, "{job}");
        assert_eq!(with_word("sleep 54321.1") + with_word("sleep\u{0}54321.1"), 0);
        // What waits for the end of its time must need no process of its own: there may be none left.
        let bomb = house.ask(
            "bomb() { bomb | bomb & }; bomb & exec sleep 30",
            "sandbox",
            json!({"timeout_ms": 1500, "grace_ms": 0}),
        );
        assert_eq!(bomb["reason"], "timeout", "{bomb}");
        house.is_well();
    }
}

#[test]
fn a_job_in_a_room_ends_as_any_other_does() {
    let Some(house) = House::open("rooms::ends", getuid().as_raw(), 1) else { return };
    for (command, more, expected) in [
        (json!("exit 7"), json!({}), json!(["exit_code", 7, null])),
        (json!("kill -SEGV $$"), json!({}), json!(["signal", null, "SIGSEGV"])),
        (json!(["cat"]), json!({"stdin": {"text": "hello"}}), json!(["exited", 0, null])),
        (json!(["no-such-program"]), json!({}), json!(["spawn_error", null, null])),
        (json!(["/etc/passwd"]), json!({}), json!(["spawn_error", null, null])),
        (json!("true"), json!({"cwd": "/root"}), json!(["spawn_error", null, null])),
        (json!("test $PWD = /tmp"), json!({"cwd": "/tmp"}), json!(["exited", 0, null])),
        (json!("test $X$HOME = y/x"), json!({"env": {"X": "y", "HOME": "/x"}}), json!(["exited", 0, null])),
        (
            json!("trap 'exit 9' TERM; sleep 60 & wait"),
            json!({"timeout_ms": 300}),
            json!(["timeout", 9, null]),
        ),
        (
            json!("trap '' TERM; sleep 60"),
            json!({"timeout_ms": 300, "grace_ms": 100}),
            json!(["timeout", null, "SIGKILL"]),
        ),
    ] {
        let mut more = more;
        more["command"] = command.clone();
        let job = house.ask("", "sandbox", more);
        assert_eq!(json!([job["reason"], job["exit_code"], job["signal"]]), expected, "{command}: {job}");
        if job["reason"] != "spawn_error" {
            let had = &job["isolation_effective"];
            let lacks_groups = had["missing"].as_array().unwrap().iter().any(|it| it == "cgroup.memory");
            assert_eq!(had["tier"], if lacks_groups { "partial" } else { "full" }, "{job}");
        }
    }
    assert_eq!(
        said(&house.ask("", "sandbox", json!({"command": ["cat"], "stdin": {"text": "hello"}}))),
        "hello"
    );
    house.is_well();
}

#[test]
fn a_room_falls_with_its_keeper_and_with_its_node() {
    for uid in users() {
        let Some(mut house) = House::open("rooms::falls", uid, 1) else { return };
        let sleeper = |word: &str| json!({"command": format!("sleep {word}"), "isolation": "sandbox", "on_lost": "never"});
        let start = |house: &House, word: &str| {
            let (status, job) = house.server.ask("POST", "/v1/jobs", Some(&sleeper(word))).unwrap();
            assert_eq!(status, 202, "{job}");
            let id = job["id"].as_str().unwrap().to_owned();
            house.server.until(&id, "running");
            until("the job sleeps", || with_word(&format!("sleep\u{0}{word}")) > 0);
            id
        };
        let id = start(&house, "54321.2");
        kill_process(house.server.keeper_pids()[0], Signal::KILL).unwrap();
        let job = house.server.until(&id, "failed");
        assert_eq!(job["reason"], "runner_lost", "{job}");
        until("its process is gone", || with_word("54321.2") == 0);
        drop(house);
        house = House::open("rooms::falls", uid, 1).unwrap();
        start(&house, "54321.3");
        house.server.kill();
        until("its process is gone", || with_word("54321.3") == 0);
    }
}
