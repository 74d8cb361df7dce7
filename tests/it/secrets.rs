//! Secret variables: they reach their job and nothing else, not even when the node is killed or its key is gone.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::getuid;
use serde_json::{Value, json};

use crate::process::until;
use crate::server::{Answer, Launch, Server, exchange};

mod command_line;
mod refusals;

/// The value that is looked for everywhere.
const VALUE: &str = "hunter2-d6f1c2a97be34";

fn contains(bytes: &[u8], value: &str) -> bool {
    bytes.windows(value.len()).any(|window| window == value.as_bytes())
}

/// Files below a folder that hold the value.
fn files_with_value(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with_value(&path));
        } else if contains(&std::fs::read(&path).unwrap_or_default(), VALUE) {
            found.push(path);
        }
    }
    found
}

/// Whether a process shows the value in its arguments or its environment.
fn shows_value(pid: i32) -> bool {
    let file = |name: &str| match std::fs::read(format!("/proc/{pid}/{name}")) {
        // Closed to its own user, too.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && !getuid().is_root() => Vec::new(),
        read => read.unwrap(),
    };
    contains(&file("cmdline"), VALUE) || contains(&file("environ"), VALUE)
}

/// An answer that does not hold the value.
fn ask(server: &Server, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let answer = exchange(server.port, method, path, body).expect("the server answers");
    assert!(!answer.body.contains(VALUE) && !answer.head.contains(VALUE), "{path}: {}", answer.body);
    answer
}

fn submitted(answer: &Answer) -> String {
    assert!([201, 202].contains(&answer.status), "{}", answer.body);
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// A job that ends well only if it has the value.
fn checks_value() -> Value {
    // The command is kept and shown, so it names the two ends of the value only.
    let (start, end) = (&VALUE[..8], &VALUE[8..]);
    let command = format!("test \"$TOKEN\" = {start}''{end}");
    json!({ "command": command, "secret_env": { "TOKEN": VALUE } })
}

/// A job that holds a slot until it is lost, and does not come back then.
fn blocker(server: &Server) -> String {
    let body = json!({ "command": "exec sleep 1000", "on_lost": "never" });
    let id = submitted(&ask(server, "POST", "/v1/jobs", Some(&body)));
    server.until(&id, "running");
    id
}

#[test]
fn a_secret_is_nowhere_but_in_the_environment_of_its_job() {
    let folder = tempfile::tempdir().unwrap();
    let (data, log, pids) =
        (folder.path().join("data"), folder.path().join("log"), folder.path().join("pids"));
    let server = Launch::over(&data).slots(1).log_to(&log).log_level("trace").start();
    assert!(!data.join("secret.key").exists(), "no key before somebody needs it");
    let blocking = blocker(&server);
    let command = format!("echo $$ $PPID > {0}.new; mv {0}.new {0}; exec sleep 1000", pids.display());
    let body = json!({ "command": command, "secret_env": { "TOKEN": VALUE, "OTHER": "x" } });
    let id = submitted(&ask(&server, "POST", "/v1/jobs", Some(&body)));
    let path = format!("/v1/jobs/{id}");
    assert_eq!(ask(&server, "GET", &path, None).json()["secret_env"], json!(["OTHER", "TOKEN"]));

    let clean = |when: &str| {
        assert_eq!(files_with_value(&data), Vec::<PathBuf>::new(), "{when}");
        assert!(!contains(&std::fs::read(&log).unwrap(), VALUE), "the log {when}");
        assert!(!shows_value(server.pid().as_raw_nonzero().get()), "the server {when}");
        ask(&server, "GET", &path, None);
        ask(&server, "GET", &format!("/jobs/{id}"), None);
        ask(&server, "GET", "/v1/jobs", None);
        ask(&server, "GET", "/metrics", None);
    };
    clean("while it waits");
    // It may be over before that is answered.
    let cancelled = ask(&server, "POST", &format!("/v1/jobs/{blocking}/cancel"), None).status;
    assert!([200, 202].contains(&cancelled), "{cancelled}");
    until("the job runs", || pids.exists());
    let written = std::fs::read_to_string(&pids).unwrap();
    let [payload, keeper] =
        written.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()[..]
    else {
        panic!("{written:?}")
    };
    // While it becomes another program it has none.
    until("its own environment has it", || {
        contains(&std::fs::read(format!("/proc/{payload}/environ")).unwrap(), VALUE)
    });
    assert!(!shows_value(keeper), "the keeper");
    clean("while it runs");
    ask(&server, "POST", &format!("{path}/cancel"), None);
    server.until(&id, "cancelled");
    clean("when it is over");
}

#[test]
fn a_killed_node_runs_a_waiting_job_with_its_secret() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Launch::over(folder.path()).slots(1).start();
    blocker(&server);
    let id = submitted(&ask(&server, "POST", "/v1/jobs", Some(&checks_value())));
    server.kill();
    assert_eq!(files_with_value(folder.path()), Vec::<PathBuf>::new());
    let server = Launch::over(folder.path()).slots(1).start();
    server.until(&id, "completed");
}

#[test]
fn without_its_key_a_job_ends_with_the_reason_and_the_others_run() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("secret.key");
    for spoil in [
        (|key| std::fs::remove_file(key).unwrap()) as fn(&Path),
        |key| std::fs::write(key, [7; 32]).unwrap(),
        |key| std::fs::write(key, "short").unwrap(),
    ] {
        let mut server = Launch::over(folder.path()).slots(1).start();
        blocker(&server);
        let id = submitted(&ask(&server, "POST", "/v1/jobs", Some(&checks_value())));
        server.kill();
        let good = std::fs::read(&key).unwrap();
        spoil(&key);
        let server = Launch::over(folder.path()).slots(1).start();
        let job = server.until(&id, "failed");
        assert_eq!(job["reason"], "spawn_error", "{job}");
        assert!(job["message"].as_str().unwrap().contains("secret.key"), "{job}");
        let other = server.submit("true");
        server.until(&other, "completed");
        let health = ask(&server, "GET", "/health", None).json();
        let warned = health["warnings"].as_array().unwrap().iter();
        assert!(warned.filter_map(Value::as_str).any(|line| line.contains("secret.key")), "{health}");
        // A repetition needs the key, too.
        let retried = ask(&server, "POST", &format!("/v1/jobs/{id}/retry"), None);
        assert_eq!(retried.status, 503, "{}", retried.body);
        assert!(retried.json()["type"].as_str().unwrap().ends_with("secret-key-unavailable"));
        drop(server);
        std::fs::write(&key, good).unwrap();
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        let server = Launch::over(folder.path()).slots(1).start();
        let retried = submitted(&ask(&server, "POST", &format!("/v1/jobs/{id}/retry"), None));
        server.until(&retried, "completed");
    }
}

#[test]
fn a_repetition_of_a_job_has_its_secret() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).start();
    let id = submitted(&ask(&server, "POST", "/v1/jobs", Some(&checks_value())));
    server.until(&id, "completed");
    let again = submitted(&ask(&server, "POST", &format!("/v1/jobs/{id}/retry"), None));
    assert_eq!(server.until(&again, "completed")["secret_env"], json!(["TOKEN"]));
    assert_eq!(files_with_value(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_node_without_a_database_has_secrets_and_no_key_file() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).variable("CALLBOARD_STORE", "memory").start();
    let id = submitted(&ask(&server, "POST", "/v1/jobs", Some(&checks_value())));
    server.until(&id, "completed");
    assert!(!folder.path().join("secret.key").exists());
}

#[test]
fn a_key_file_of_the_operators_is_used_and_never_made() {
    let folder = tempfile::tempdir().unwrap();
    let (data, key) = (folder.path().join("data"), folder.path().join("key"));
    let launch = || Launch::over(&data).variable("CALLBOARD_SECRET_KEY_FILE", key.to_str().unwrap());
    let server = launch().start();
    let refused = ask(&server, "POST", "/v1/jobs", Some(&checks_value()));
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.json()["detail"].as_str().unwrap().contains(key.to_str().unwrap()), "{}", refused.body);
    assert!(!key.exists() && !data.join("secret.key").exists());
    std::fs::write(&key, [9; 32]).unwrap();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let id = submitted(&ask(&server, "POST", "/v1/jobs", Some(&checks_value())));
    server.until(&id, "completed");
    assert!(!data.join("secret.key").exists());
}
