//! What jobs left in a file outside of every data folder, and what the records say of them.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::Server;

/// What one job's attempts wrote.
#[derive(Default)]
pub struct Traces {
    pub started: Vec<u64>,
    pub ended: Vec<u64>,
    /// The epochs of all lines, in the order in which they were written.
    pub order: Vec<u64>,
}

pub fn read_evidence(evidence: &Path) -> HashMap<String, Traces> {
    let mut seen: HashMap<String, Traces> = HashMap::new();
    for line in std::fs::read_to_string(evidence).unwrap().lines() {
        let [what, id, epoch] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let (epoch, traces) = (epoch.parse().unwrap(), seen.entry(id.to_owned()).or_default());
        traces.order.push(epoch);
        if what == "end" { traces.ended.push(epoch) } else { traces.started.push(epoch) }
    }
    seen
}

pub fn wait_until_all_ended(server: &Server) {
    let began = Instant::now();
    loop {
        let (_, live) = server.ask("GET", "/v1/jobs?status=pending,running&limit=1", None).unwrap();
        if live["items"].as_array().is_some_and(Vec::is_empty) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "jobs do not end: {live}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Every job that there is a record of, acknowledged or not.
pub fn all_jobs(server: &Server) -> Vec<Value> {
    let (mut jobs, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/jobs?limit=500{cursor}");
        let (status, page) = server.ask("GET", &path, None).unwrap();
        assert_eq!(status, 200, "{page}");
        jobs.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return jobs,
        }
    }
}

/// The epochs of attempts that are recorded as lost.
pub fn lost_epochs(job: &Value) -> HashSet<u64> {
    let attempts = job["attempts"].as_array().unwrap().iter();
    let lost = attempts.filter(|attempt| attempt["fate"] == "lost");
    lost.map(|attempt| attempt["epoch"].as_u64().unwrap()).collect()
}
