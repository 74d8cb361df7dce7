//! kill -9 of the node at random moments while jobs are submitted, run and cancelled. The verdict comes from a file
//! that the jobs wrote outside the data folder, held against the records, and from what is left behind in the end.
//! docs/CONTRIBUTING.md tells how to take a guard away and see this fail.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::evidence::{Traces, all_jobs, lost_epochs, read_evidence, wait_until_all_ended};
use crate::server::{Server, ask, exchange};

const ROUNDS: u64 = 50;

/// Submits and sometimes cancels until told to stop, and notes the ids that were acknowledged. A slow client has a job
/// that goes on for so long that the next start would meet it if the kill had not ended it.
fn load(port: u16, evidence: &Path, acknowledged: &Mutex<Vec<String>>, stop: &AtomicBool, is_slow: bool) {
    let file = evidence.display();
    let name = "$CALLBOARD_JOB_ID $CALLBOARD_EPOCH";
    for n in 0.. {
        let seconds = if is_slow && n == 3 { 0.4 } else { 0.02 };
        let command = format!("echo start {name} >> {file}; sleep {seconds}; echo end {name} >> {file}");
        if stop.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
        let Some((202, job)) = ask(port, "POST", "/v1/jobs", Some(&json!({ "command": command }))) else {
            continue;
        };
        let Some(id) = job["id"].as_str() else { continue };
        acknowledged.lock().unwrap().push(id.to_owned());
        if n % 7 == 0 {
            ask(port, "POST", &format!("/v1/jobs/{id}/cancel"), None);
        }
    }
}

fn round(n: u64, data_dir: &Path, evidence: &Path, acknowledged: &Arc<Mutex<Vec<String>>>) {
    let mut server = Server::start(data_dir);
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..3)
        .map(|client| {
            let is_slow = client == 0 && n.is_multiple_of(5);
            let (port, evidence) = (server.port, evidence.to_owned());
            let (acknowledged, stop) = (Arc::clone(acknowledged), Arc::clone(&stop));
            std::thread::spawn(move || load(port, &evidence, &acknowledged, &stop, is_slow))
        })
        .collect();
    std::thread::sleep(Duration::from_millis(20 + (n * 7919) % 180));
    server.kill();
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
}

fn judge(id: &str, job: &Value, evidence: &HashMap<String, Traces>) {
    let status = job["status"].as_str().unwrap_or_default();
    assert!(matches!(status, "completed" | "cancelled" | "failed"), "{id}: {job}");
    let epoch = job["epoch"].as_u64().unwrap();
    let nothing = Traces::default();
    let Traces { started, ended, order } = evidence.get(id).unwrap_or(&nothing);
    assert!(order.is_sorted(), "{id}: an attempt went on while a later one ran: {order:?}");
    let distinct: HashSet<_> = started.iter().collect();
    assert_eq!(distinct.len(), started.len(), "{id}: one attempt was started twice: {started:?}");
    let lost = lost_epochs(job);
    for other in started.iter().filter(|started| **started != epoch) {
        assert!(lost.contains(other), "{id}: epoch {other} ran and is not recorded as lost: {job}");
    }
    if status == "completed" {
        assert!(ended.contains(&epoch), "{id}: completed, but epoch {epoch} never reached its end");
    }
}

/// Processes that carry the name of one of these jobs in their environment.
fn strays(ids: &HashSet<String>) -> Vec<String> {
    let is_stray = |process: &Path| {
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        variables.any(|pair| pair.strip_prefix("CALLBOARD_JOB_ID=").is_some_and(|id| ids.contains(id)))
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|process| process.path());
    processes.filter(|process| is_stray(process)).map(|process| process.display().to_string()).collect()
}

/// What a node that has stopped must not leave: a keeper, a held slot, spooled output, a process of a job, or a record
/// that a next start would have to look after.
fn leaves_nothing(server: Server, ids: &HashSet<String>) {
    let data_dir = server.data_dir.clone();
    assert_eq!(server.keepers(), 0, "keepers are left");
    let slots: Vec<_> = std::fs::read_dir(data_dir.join("slots")).unwrap().flatten().collect();
    assert!(!slots.is_empty(), "there are no slots");
    for slot in slots {
        let lock = std::fs::File::open(slot.path()).unwrap();
        let taken = flock(&lock, FlockOperation::NonBlockingLockExclusive);
        assert!(taken.is_ok(), "{} is held: {taken:?}", slot.path().display());
    }
    let spooled = std::fs::read_dir(data_dir.join("spool")).unwrap().count();
    assert_eq!(spooled, 0, "spool folders are left");
    assert_eq!(strays(ids), [""; 0], "processes are left");
    let mut again = Server::start(&data_dir);
    let metrics = exchange(again.port, "GET", "/metrics", None).unwrap().body;
    let restored = metrics.lines().find(|line| line.starts_with("callboard_jobs_restored_total "));
    assert_eq!(restored, Some("callboard_jobs_restored_total 0"), "unfinished records are left");
    assert_eq!(again.terminate(), Some(0));
}

#[test]
fn fifty_kills_lose_nothing_and_run_nothing_twice_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    let (data_dir, evidence) = (folder.path().join("data"), folder.path().join("evidence"));
    std::fs::write(&evidence, "").unwrap();
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    (0..ROUNDS).for_each(|n| round(n, &data_dir, &evidence, &acknowledged));
    let mut server = Server::start(&data_dir);
    wait_until_all_ended(&server);
    let seen = read_evidence(&evidence);
    let acknowledged = acknowledged.lock().unwrap();
    assert!(acknowledged.len() > ROUNDS as usize, "only {} jobs were accepted", acknowledged.len());
    for id in acknowledged.iter() {
        let (status, job) = server.ask("GET", &format!("/v1/jobs/{id}"), None).unwrap();
        assert_eq!(status, 200, "{id} was acknowledged and is gone");
        judge(id, &job, &seen);
    }
    let jobs = all_jobs(&server);
    let ids: HashSet<String> = jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
    for job in &jobs {
        judge(job["id"].as_str().unwrap(), job, &seen);
    }
    let unknown: Vec<_> = seen.keys().filter(|id| !ids.contains(*id)).collect();
    assert!(unknown.is_empty(), "jobs ran that no record knows: {unknown:?}");
    assert_eq!(server.terminate(), Some(0));
    leaves_nothing(server, &ids);
}
