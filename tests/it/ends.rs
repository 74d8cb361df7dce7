//! What a job's record says of its end, as a real server tells it.

use serde_json::{Value, json};

use crate::process::until;
use crate::server::Server;

#[test]
fn the_note_of_a_cancel_stays_with_a_job_that_ran() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let id = server.submit("sleep 100");
    server.until(&id, "running");
    let cancel = format!("/v1/jobs/{id}/cancel");
    let (status, job) = server.ask("POST", &cancel, Some(&json!({"note": "wrong input"}))).unwrap();
    assert!(matches!(status, 200 | 202), "{job}");
    let job = server.until(&id, "cancelled");
    assert_eq!(
        (&job["reason"], &job["message"], &job["signal"]),
        (&json!("user"), &json!("wrong input"), &json!("SIGTERM")),
        "{job}"
    );
}

#[test]
fn whoever_cancels_again_may_shorten_the_grace() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let ready = folder.path().join("ready");
    let id = server.submit(&format!("trap '' TERM; touch {}; while true; do sleep 1; done", ready.display()));
    until("it ignores TERM", || ready.exists());
    let cancel = |grace: u64| {
        let body = json!({"grace_ms": grace});
        server.ask("POST", &format!("/v1/jobs/{id}/cancel"), Some(&body)).unwrap().0
    };
    assert_eq!(cancel(500_000), 202);
    assert_eq!(cancel(600_000), 200, "longer: nothing changes");
    server.until(&id, "running");
    assert_eq!(cancel(10), 200);
    assert_eq!(server.until(&id, "cancelled")["signal"], "SIGKILL");
}

#[test]
fn a_command_that_cannot_be_executed_has_the_code_of_a_shell_and_no_other_end_has() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let submit = |body: Value| -> Value {
        let (_, job) = server.ask("POST", "/v1/jobs?wait=30s", Some(&body)).unwrap();
        job
    };
    for (body, reason, code) in [
        (json!({"command": ["no-such-program"]}), "spawn_error", json!(127)),
        (json!({"command": ["/etc/passwd"]}), "spawn_error", json!(126)),
        (json!({"command": "true", "cwd": "/not found"}), "spawn_error", json!(126)),
        (json!({"command": "exit 127"}), "exit_code", Value::Null),
    ] {
        let job = submit(body);
        assert_eq!((&job["reason"], &job["spawn_error_code"]), (&json!(reason), &code), "{job}");
        let id = job["id"].as_str().unwrap();
        until("the record says the same", || server.job(id)["spawn_error_code"] == code);
    }
}
