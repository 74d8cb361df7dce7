//! The text of `/metrics`, as a server that has worked writes it, held against the rules of Prometheus' own linter.

mod lint;

use serde_json::json;

use self::lint::{Exposition, problems};
use crate::process::until;
use crate::server::{Server, exchange};

pub fn scrape(server: &Server) -> Exposition {
    let answer = exchange(server.port, "GET", "/metrics", None).unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    Exposition::read(&answer.body)
}

/// Makes every kind of end and refusal happen once.
fn work(server: &Server) {
    let ends = [("true", "completed"), ("exit 3", "failed"), ("kill -9 $$", "failed")];
    for (line, status) in ends {
        server.until(&server.submit(line), status);
    }
    let id = server.submit("sleep 100");
    server.until(&id, "running");
    server.ask("POST", &format!("/v1/jobs/{id}/cancel"), None).unwrap();
    server.until(&id, "cancelled");
    assert_eq!(server.ask("POST", "/v1/jobs", Some(&json!({"command": ""}))).unwrap().0, 422);
    assert_eq!(server.ask("GET", "/no/such/path", None).unwrap().0, 404);
}

#[test]
fn every_family_keeps_the_rules_of_names_units_types_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    work(&server);
    let text = scrape(&server);
    assert_eq!(problems(&text), [""; 0]);
    for name in lint::ORIGINAL_NAMES {
        assert!(text.families.contains_key(*name), "{name} is promised");
    }
    let described = include_str!("../../docs/OPERATIONS.md");
    let own = text.families.keys().filter(|name| !name.starts_with("process_"));
    for name in own {
        assert!(described.contains(&format!("`{name}`")), "docs/OPERATIONS.md does not describe {name}");
    }
}

#[test]
fn the_sizes_of_what_grows_are_shown_and_every_job_is_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    work(&server);
    let value = |name: &str| scrape(&server).value(name);
    let ended = ["jobs_completed_total", "jobs_failed_total", "callboard_jobs_cancelled_total"];
    until("the notices have arrived", || ended.map(value).iter().sum::<f64>() == value("jobs_total"));
    assert_eq!(value("jobs_total"), 4.0);
    assert_eq!(
        value("executions_total"),
        value("executions_success_total") + value("executions_failed_total")
    );
    let on_disk = |name: &str| std::fs::metadata(folder.path().join(name)).map_or(0, |file| file.len());
    until("the size of the records is measured", || {
        let measured = value("callboard_store_size_bytes");
        let (database, log) = (on_disk("callboard.db"), on_disk("callboard.db-wal"));
        database > 0 && measured == (database + log) as f64
    });
}

#[test]
fn the_process_the_runners_and_the_queue_are_told_by_their_labels() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let runner = std::fs::read_to_string(folder.path().join("node_id")).unwrap().trim().to_owned();
    let value = |name: &str, labels: &[(&str, &str)]| scrape(&server).labelled(name, labels);
    until("the runners are measured", || value("callboard_runners", &[("state", "ready")]) == 1.0);
    assert_eq!(value("callboard_runners", &[("state", "draining")]), 0.0);
    assert_eq!(value("callboard_runners", &[("state", "lost")]), 0.0);
    assert_eq!(value("callboard_runner_slots", &[("runner", &runner)]), 2.0);
    let id = server.submit("sleep 100");
    server.until(&id, "running");
    until("the slot is seen taken", || value("callboard_runner_slots_used", &[("runner", &runner)]) == 1.0);
    until("the job is seen running", || value("callboard_jobs", &[("status", "running")]) == 1.0);
    assert_eq!(value("callboard_jobs", &[("status", "pending")]), 0.0);
    assert_eq!(value("jobs_running_total", &[]), 1.0);
    assert_eq!(value("callboard_queue_wait_seconds_count", &[("queue", "default")]), 1.0);
    for (name, labels) in [
        ("callboard_queue_depth", ("queue", "default")),
        ("callboard_queue_oldest_job_timestamp_seconds", ("queue", "default")),
        ("callboard_build_info", ("version", env!("CARGO_PKG_VERSION"))),
    ] {
        assert!(value(name, &[labels]) >= 0.0, "{name}");
    }
    for op in ["commit", "read"] {
        let count = value("callboard_store_operation_duration_seconds_count", &[("op", op)]);
        assert!(count >= 1.0, "{op}: {count}");
    }
    for name in ["process_cpu_seconds_total", "process_open_fds", "process_resident_memory_bytes"] {
        assert!(value(name, &[]) >= 0.0, "{name}");
    }
}

#[test]
fn what_a_runner_sees_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    server.until(&server.submit("echo four; echo seventy >&2; sleep 100 & :"), "completed");
    server.until(&server.submit("exit 3"), "failed");
    let text = scrape(&server);
    assert_eq!(text.value("callboard_attempts_started_total"), 2.0);
    assert_eq!(text.value("callboard_attempts_assigned_total"), 2.0);
    assert_eq!(text.value("callboard_job_orphans_killed_total"), 1.0);
    for (stream, bytes) in [("stdout", 5.0), ("stderr", 8.0)] {
        let of = [("stream", stream)];
        assert_eq!(text.labelled("callboard_execution_output_bytes_total", &of), bytes);
        assert_eq!(text.labelled("callboard_execution_output_truncated_total", &of), 0.0);
    }
    let memory = || scrape(&server).value("callboard_execution_max_rss_bytes_count");
    until("the notices have arrived", || memory() == 2.0);
}

#[test]
fn a_slot_whose_keeper_is_gone_is_shown_out_of_use() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let out_of_use = || scrape(&server).value("callboard_slots_quarantined");
    assert_eq!(out_of_use(), 0.0);
    let keepers = server.keeper_pids();
    rustix::process::kill_process(keepers[0], rustix::process::Signal::KILL).unwrap();
    until("its slot is out of use", || out_of_use() == 1.0);
}
