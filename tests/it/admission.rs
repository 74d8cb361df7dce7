//! Admission rules of a server's file of settings: every way in, and what is refused as a file.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::process::finish;
use crate::server::{BINARY, Launch, Server, exchange};

/// Shell lines need a name for themselves here, nobody may preload, and some commands are nobody's business.
const RULES: &str = r#"
[admission]
default = "deny"

[[admission.rules]]
action = "deny"
name = "no-preload"
env = ["LD_*"]
reason = "libraries may not be replaced"

[[admission.rules]]
action = "deny"
commands = ['\bmkfs']
reason = "disks are formatted by hand"

[[admission.rules]]
action = "allow"
programs = ["echo", "sh", "/bin/true"]
reason = "harmless"
"#;

pub fn config(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("callboard.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// A server with these rules.
pub fn guarded(launch: Launch, folder: &Path) -> Server {
    let path = config(folder, RULES);
    launch.variable("CALLBOARD_CONFIG", path.to_str().unwrap()).start()
}

fn denied(server: &Server, path: &str, body: &Value) -> Value {
    let answer = exchange(server.port, "POST", path, Some(body)).unwrap();
    assert_eq!(answer.status, 403, "{path}: {}", answer.body);
    assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
    let problem = answer.json();
    assert_eq!(problem["type"], "/problems/admission-denied", "{problem}");
    problem
}

#[test]
fn a_denied_job_is_refused_with_the_rule_and_its_reason_and_nothing_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = guarded(Launch::over(&folder.path().join("data")), folder.path());
    let body = json!({"command": ["echo", "x"], "env": {"LD_PRELOAD": "/tmp/x.so"}});
    let problem = denied(&server, "/v1/jobs", &body);
    assert_eq!(problem["rule"], json!({"number": 1, "name": "no-preload"}));
    assert_eq!(problem["errors"][0]["pointer"], "#");
    let secret = json!({"command": ["echo", "x"], "secret_env": {"LD_PRELOAD": "/tmp/x.so"}});
    assert_eq!(denied(&server, "/v1/jobs", &secret)["rule"], problem["rule"]);
    let detail = "admission rule 1 (no-preload) refuses this job: libraries may not be replaced";
    assert_eq!(problem["detail"], detail);
    let problem = denied(&server, "/jobs", &json!({"command": "mkfs.ext4 /dev/sda"}));
    assert_eq!(problem["rule"], json!({"number": 2}));
    let problem = denied(&server, "/v1/jobs", &json!({"command": ["ls"]}));
    assert!(
        problem.get("rule").is_none() && problem["detail"].as_str().unwrap().contains("no admission rule")
    );
    // A job must look like one before anybody asks whether it is allowed.
    let (status, _) =
        server.ask("POST", "/v1/jobs", Some(&json!({"command": ["ls"], "images": []}))).unwrap();
    assert_eq!(status, 422);
    assert_eq!(server.ask("GET", "/v1/jobs", None).unwrap().1["items"], json!([]));
    let id = server.submit("echo allowed");
    server.until(&id, "completed");
    assert_eq!(server.output(&id), "allowed\n");
    let metrics = exchange(server.port, "GET", "/metrics", None).unwrap().body;
    assert!(metrics.contains("callboard_jobs_rejected_total{reason=\"denied\"} 4"), "{metrics}");
    let page = exchange(server.port, "GET", "/problems/admission-denied", None).unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
}

#[test]
fn a_batch_says_which_of_its_jobs_is_denied() {
    let folder = tempfile::tempdir().unwrap();
    let server = guarded(Launch::over(&folder.path().join("data")), folder.path());
    let jobs = json!([{"command": ["echo", "a"]}, {"command": ["mkfs"]}, {"command": ""}, {"command": ["/bin/true"]}]);
    let (status, answer) = server.ask("POST", "/v1/jobs/batch", Some(&json!({"jobs": jobs}))).unwrap();
    assert_eq!(status, 200, "{answer}");
    let items = &answer["items"];
    assert!(items[0]["job"]["id"].is_string() && items[3]["job"]["id"].is_string(), "{answer}");
    let error = &items[1]["error"];
    assert_eq!((&error["status"], &error["rule"]["number"]), (&json!(403), &json!(2)), "{answer}");
    assert_eq!(error["errors"][0]["pointer"], "#/jobs/1");
    assert_eq!(items[2]["error"]["status"], 422, "{answer}");
    let jobs = json!([{"command": ["echo", "a"]}, {"command": ["mkfs"]}, {"command": ["ls"]}]);
    let problem = denied(&server, "/v1/jobs/batch", &json!({"jobs": jobs, "all_or_nothing": true}));
    assert_eq!(problem["errors"][0]["pointer"], "#/jobs/1", "{problem}");
    assert_eq!(server.ask("GET", "/v1/jobs", None).unwrap().1["items"].as_array().unwrap().len(), 2);
}

#[test]
fn a_job_of_before_the_rules_is_not_repeated_but_one_that_waited_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::start(&data);
    let ended = server.submit("true; : mkfs");
    server.until(&ended, "completed");
    assert_eq!(server.ask("POST", "/v1/queue/pause", None).unwrap().0, 200);
    let waiting = server.submit("echo mkfs");
    server.kill();
    let server = guarded(Launch::over(&data), folder.path());
    let problem = denied(&server, &format!("/v1/jobs/{ended}/retry"), &json!({}));
    assert_eq!(problem["rule"]["number"], 2);
    // It was accepted once, and that is never taken back.
    server.until(&waiting, "completed");
    let missing = format!("/v1/jobs/{}/retry", "00000000-0000-7000-8000-000000000000");
    assert_eq!(server.ask("POST", &missing, None).unwrap().0, 404);
}

#[test]
fn a_runner_holds_executions_against_its_rules() {
    let folder = tempfile::tempdir().unwrap();
    let server = guarded(Launch::over(&folder.path().join("data")).runner(), folder.path());
    let problem = denied(&server, "/execute", &json!({"command": "mkfs /dev/sda"}));
    assert_eq!(problem["rule"]["number"], 2);
    let (status, done) = server.ask("POST", "/execute", Some(&json!({"command": "echo fine"}))).unwrap();
    assert_eq!((status, &done["stdout"]), (200, &json!("fine\n")));
}

/// What a server says that does not start with this file.
fn unfit(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), text);
    let mut command = Command::new(BINARY);
    command.args(["serve", "--bind", "127.0.0.1:0", "--config"]).arg(&path);
    command.arg("--data-dir").arg(folder.path().join("data"));
    let done = finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(), None);
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!((done.status.code(), said.lines().count()), (Some(78), 1), "{said}");
    let place = format!("callboard: {}:", path.display());
    said.strip_prefix(&place).unwrap_or_else(|| panic!("{said}")).trim_end().to_owned()
}

#[test]
fn a_rule_that_means_nothing_ends_the_start_with_its_line_and_what_to_do() {
    let rule = |more: &str| {
        let fine = "action = 'allow'\nreason = 'x'\n";
        format!("[admission]\n\n[[admission.rules]]\n{fine}\n[[admission.rules]]\n{more}\n")
    };
    let cases = [
        ("action = 'deny'\nreason = 'x'\ncommands = ['(']", 7, "unclosed group"),
        ("action = 'deny'\nreason = 'x'\ncommands = ['''\n(''']", 7, "unclosed group"),
        ("action = 'deny'\nreason = ''", 7, "`reason` is shown"),
        ("action = 'deny'\nreason = 'x'\nenv = []", 7, "leave it out"),
        ("action = 'deny'\nreason = 'x'\ncwd = ['~/x']", 7, "begins with /"),
        ("action = 'deny'\nreason = 'x'\ncommands = ['\\w{900}']", 7, "write fewer or simpler patterns"),
        ("action = 'deny'\nreason = 'x'\ntenants = ['M L']", 7, "fits no tenant"),
        ("action = 'deny'\nreason = 'x'\ntokens = ['']", 7, "fits no token"),
        ("action = 'deny'", 7, "missing field `reason`"),
        ("reason = 'x'", 7, "missing field `action`"),
        ("action = 'maybe'\nreason = 'x'", 8, "expected `allow` or `deny`"),
        ("action = 'deny'\nreason = 'x'\nimages = ['x']", 10, "unknown key `images`"),
        ("action = 'deny'\nreason = 'x'\nprograms = 'ls'", 10, "expected a sequence"),
    ];
    for (more, line, why) in cases {
        let said = unfit(&rule(more));
        assert!(said.starts_with(&format!("{line}: ")) && said.contains(why), "{more}: {said}");
    }
    let said = unfit("[admission]\ndefault = 'ask'\n");
    assert!(said.starts_with("2: ") && said.contains("expected `allow` or `deny`"), "{said}");
    let many = "[[admission.rules]]\naction = 'allow'\nreason = 'x'\n".repeat(129);
    let said = unfit(&many);
    assert!(said.starts_with("385: there are at most 128 admission rules"), "{said}");
}
