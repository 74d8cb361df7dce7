//! A full disk: below the database, below the output of jobs, and below the audit log.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::process::until;
use crate::server::{Launch, Server, exchange};
use crate::skip::missing;

/// A file system of its own in memory, unmounted in the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where it may not be mounted.
    fn at(path: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let options = format!("size={size},mode=700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).output();
        mount.is_ok_and(|done| done.status.success()).then(|| Self(path.to_owned()))
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.filler()).unwrap();
        for size in [64 << 10, 4 << 10, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that was killed a moment ago may still hold it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// An empty file that is seen in a second place too, as a link would not be followed there; in the end it is gone from it.
struct MountedFile(PathBuf);

impl MountedFile {
    fn over(file: &Path, place: &Path) -> Self {
        for path in [file, place] {
            File::create(path).unwrap();
        }
        let mounted = Command::new("mount").arg("--bind").args([file, place]).status().unwrap();
        assert!(mounted.success(), "a file system can be mounted and a file cannot");
        Self(place.to_owned())
    }
}

impl Drop for MountedFile {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Submits a job of some size; its id, or the refusal, which must be one that a client can act on.
fn try_submit(server: &Server) -> Result<String, String> {
    let note = "x".repeat(60_000);
    let body = json!({"command": "true", "env": {"NOTE": note}});
    let answer = exchange(server.port, "POST", "/v1/jobs", Some(&body)).expect("the server answers");
    let said = answer.json();
    if answer.status == 202 {
        return Ok(said["id"].as_str().unwrap().to_owned());
    }
    assert_eq!((answer.status, &said["type"]), (503, &"/problems/store-failed".into()), "{said}");
    assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
    assert!(answer.head.contains("retry-after:"), "{}", answer.head);
    Err(said["detail"].as_str().unwrap().to_owned())
}

fn all_completed(server: &Server, ids: &[String]) -> bool {
    ids.iter().all(|id| server.job(id)["status"] == "completed")
}

#[test]
fn a_full_disk_refuses_submits_loses_nothing_and_is_forgotten_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::at(&folder.path().join("data"), "6m") else {
        return missing("a_full_disk", "root", "a small file system cannot be mounted");
    };
    let mut server = Server::start(&disk.0);
    let mut accepted: Vec<String> = (0..5).map(|_| try_submit(&server).expect("there is room")).collect();
    until("they ran", || all_completed(&server, &accepted));
    // One that runs when the disk fills up, and ends then.
    let caught = server.submit("sleep 1");
    server.until(&caught, "running");
    disk.fill();
    // The log of the database may have room for a few more.
    let refusal = (0..200).find_map(|_| match try_submit(&server) {
        Ok(id) => {
            accepted.push(id);
            None
        }
        Err(said) => Some(said),
    });
    let said = refusal.expect("at last there is no room");
    assert!(said.contains("disk") && said.contains("full"), "{said}");
    until("the probe says so", || {
        let ready = exchange(server.port, "GET", "/readyz", None).unwrap();
        ready.status == 503 && ready.body.contains("store")
    });
    assert_eq!(server.ask("GET", "/livez", None).unwrap().0, 200);
    accepted.iter().for_each(|id| assert_eq!(server.job(id)["id"], id.as_str()));

    disk.free();
    until("it takes jobs again", || try_submit(&server).map(|id| accepted.push(id)).is_ok());
    accepted.push(caught);
    until("all that was accepted has run", || all_completed(&server, &accepted));
    assert_eq!(server.ask("GET", "/readyz", None).unwrap().0, 200);
    assert_eq!(server.terminate(), Some(0));
    let mut again = Server::start(&disk.0);
    assert!(all_completed(&again, &accepted));
    assert_eq!(again.terminate(), Some(0));
}

fn stdout_of(job: &Value) -> (u64, u64, bool) {
    let stdout = &job["stdout"];
    let number = |name: &str| stdout[name].as_u64().unwrap_or_else(|| panic!("{job}"));
    (number("total_bytes"), number("kept_bytes"), stdout["truncated"] == true)
}

#[test]
fn a_job_that_writes_to_a_full_disk_ends_as_it_would_and_says_what_was_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::at(&folder.path().join("spool"), "512k") else {
        return missing("a_full_spool", "root", "a small file system cannot be mounted");
    };
    let mut server = Server::start(folder.path());
    let loud = server.submit("head -c 4000000 /dev/zero | tr '\\0' x; exit 3");
    let job = server.until(&loud, "failed");
    assert_eq!(job["exit_code"], 3, "{job}");
    let (total, kept, truncated) = stdout_of(&job);
    assert_eq!((total, truncated), (4_000_000, true), "{job}");
    assert!(kept > 0 && kept <= 512 << 10, "{job}");
    let output = server.output(&loud);
    assert_eq!(output.len() as u64, kept);
    assert!(output.bytes().all(|byte| byte == b'x'));

    disk.fill();
    let small = server.submit("echo small");
    assert_eq!(stdout_of(&server.until(&small, "completed")), (6, 6, false));
    let loud = server.submit("seq 1 100000");
    let job = server.until(&loud, "completed");
    let (total, kept, truncated) = stdout_of(&job);
    assert_eq!((total, truncated), (588_895, true), "{job}");
    assert_eq!(server.output(&loud).len() as u64, kept, "{job}");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_full_disk_below_the_audit_log_costs_whole_entries_and_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::at(&folder.path().join("small"), "64k") else {
        return missing("a_full_audit_log", "root", "a small file system cannot be mounted");
    };
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(disk.filler(), vec![0; 40 << 10]).unwrap();
    let _mounted = MountedFile::over(&disk.0.join("audit.jsonl"), &data.join("audit.jsonl"));
    let server = Server::start(&data);
    let lost = || {
        let metrics = exchange(server.port, "GET", "/metrics", None).unwrap().body;
        let line = metrics.lines().find(|line| line.starts_with("callboard_audit_lost_total ")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    };
    let mut noted = 0;
    let mut resume = || {
        assert_eq!(server.ask("POST", "/v1/queue/resume", None).unwrap().0, 200);
        noted += 1;
    };
    until("it is full", || {
        (0..20).for_each(|_| resume());
        lost() > 3
    });
    let health = server.ask("GET", "/health", None).unwrap().1;
    assert!(health["warnings"].to_string().contains("audit log"), "{health}");
    server.until(&server.submit("true"), "completed");
    disk.free();
    (0..3).for_each(|_| resume());
    let text = || std::fs::read_to_string(disk.0.join("audit.jsonl")).unwrap();
    until("the rest is written", || text().lines().count() + lost() == noted);
    for line in text().lines() {
        let entry: Value = serde_json::from_str(line).expect("no line is torn");
        assert_eq!(entry["action"], "queue.resume");
    }
    assert!(!server.ask("GET", "/health", None).unwrap().1["warnings"].to_string().contains("audit log"));
}

#[test]
fn a_full_spool_says_nothing_of_rooms() {
    let folder = tempfile::tempdir().unwrap();
    let tier = |name: &str| {
        let server = Launch::over(&folder.path().join(name)).with_rooms().start();
        let (_, health) = server.ask("GET", "/health", None).unwrap();
        health["isolation"]["tier"].clone()
    };
    let usual = tier("usual");
    let Some(disk) = SmallDisk::at(&folder.path().join("full/spool"), "64k") else {
        return missing("a_full_spool_of_a_canary", "root", "a small file system cannot be mounted");
    };
    disk.fill();
    assert_eq!(tier("full"), usual);
}
