//! Keepers that someone has stopped: their jobs end all the same, in this life or before the next one begins.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::process::PATIENCE;
use crate::server::{Launch, Server};

/// Lines of a file, once it has so many of them.
fn lines(file: &Path, count: usize) -> Vec<String> {
    let began = Instant::now();
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.len() >= count && text.ends_with('\n') {
            return lines;
        }
        assert!(began.elapsed() < PATIENCE, "{text:?} does not get {count} lines");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The job's process and its keeper, which is its parent.
fn pids(line: &str) -> (i32, Pid) {
    let mut pids = line.split(' ').map(|pid| pid.parse().unwrap());
    (pids.next().unwrap(), Pid::from_raw(pids.next().unwrap()).unwrap())
}

/// A zombie is dead: its parent, which is stopped, cannot take note of that yet.
fn is_dead(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}

#[test]
fn a_job_of_a_former_life_is_dead_before_it_runs_again_though_its_keeper_is_stuck() {
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("attempts");
    let data_dir = folder.path().join("data");
    let mut server = Launch::over(&data_dir).slots(2).start();
    let job = server.submit(&format!("echo $$ $PPID >> {}; exec sleep 100", written.display()));
    let (first, keeper) = pids(&lines(&written, 1)[0]);
    kill_process(keeper, Signal::STOP).unwrap();
    server.kill();
    assert!(!is_dead(first), "a stopped keeper kills nothing");

    let server = Launch::over(&data_dir).slots(2).start();
    let (_, health) = server.ask("GET", "/health", None).unwrap();
    assert!(health["warnings"].to_string().contains("1 slots are out of use"), "{health}");
    assert!(is_dead(first), "the node is ready while the former attempt lives");
    let (second, _) = pids(&lines(&written, 2)[1]);
    assert!(!is_dead(second));
    assert_eq!(server.until(&job, "running")["epoch"], 2);
    kill_process(keeper, Signal::KILL).unwrap();
}

#[test]
fn a_job_ends_though_its_keeper_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("attempts");
    let data_dir = folder.path().join("data");
    let mut server = Launch::over(&data_dir).slots(2).start();
    let line = format!("echo $$ $PPID >> {}; exec sleep 100", written.display());
    let submit = || {
        let body = json!({"command": line, "grace_ms": 100});
        let (_, job) = server.ask("POST", "/v1/jobs", Some(&body)).unwrap();
        job["id"].as_str().unwrap().to_owned()
    };
    let cancelled = submit();
    let (process, keeper) = pids(&lines(&written, 1)[0]);
    kill_process(keeper, Signal::STOP).unwrap();
    let cancel = format!("/v1/jobs/{cancelled}/cancel");
    assert_eq!(server.ask("POST", &cancel, None).unwrap().0, 202);
    server.until(&cancelled, "cancelled");
    assert!(is_dead(process));

    let stopped = submit();
    let (process, keeper) = pids(&lines(&written, 2)[1]);
    kill_process(keeper, Signal::STOP).unwrap();
    assert_eq!(server.terminate(), Some(0));
    assert!(is_dead(process), "an orderly stop leaves nothing behind");
    let server = Server::start(&data_dir);
    assert_eq!(server.until(&stopped, "running")["epoch"], 2);
}
