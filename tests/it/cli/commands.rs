//! Every command once in each of its forms, and what each refuses.

use serde_json::{Value, json};

use super::{Said, ask, callboard, command, said, url};
use crate::server::{Server, free_port};

fn id(job: &Value) -> String {
    job["id"].as_str().unwrap().to_owned()
}

/// Submits a shell line and waits until it is over; returns the job's id.
fn over(server: &Server, line: &str) -> String {
    let said = ask(server, &["submit", "--wait", "--json", "--shell", line]);
    id(&said.json())
}

#[test]
fn what_makes_a_job_says_it_as_text_as_json_and_as_an_id() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let submit = |form: &[&str]| ask(&server, &[&["submit"], form, &["--", "true"]].concat());
    let text = submit(&[]);
    let made = text.fine().strip_prefix("Submitted job ").and_then(|rest| rest.split(' ').next()).unwrap();
    assert_eq!(id(&ask(&server, &["show", "--json", made]).json()), made);
    assert_eq!(submit(&["--json"]).json()["status"], "pending");
    let first = submit(&["-q"]).fine().to_owned();
    assert_eq!(first.len(), 36);

    assert_eq!(ask(&server, &["wait", &first]).fine(), format!("{first} completed"));
    assert_eq!(ask(&server, &["wait", "--json", &first]).json()["status"], "completed");
    assert_eq!(ask(&server, &["wait", "-q", &first]).fine(), first);
    assert_eq!(ask(&server, &["submit", "--wait", "-q", "--", "true"]).fine().len(), 36);
    let failed = ask(&server, &["submit", "--wait", "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!((failed.code, failed.err.lines().count()), (Some(137), 1), "{failed:?}");
    let failed = ask(&server, &["submit", "--wait", "-q", "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!((failed.code, failed.err.as_str()), (Some(137), ""));

    let text = ask(&server, &["retry", &first]);
    assert!(text.fine().ends_with(&format!(" repeats {first}")), "{text:?}");
    assert_eq!(ask(&server, &["retry", "--json", &first]).json()["retry_of"], json!(first));
    assert_eq!(ask(&server, &["retry", "-q", &first]).fine().len(), 36);
}

#[test]
fn what_shows_a_job_says_it_as_text_as_json_and_as_an_id() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let job = over(&server, "echo out; echo err >&2");
    let text = ask(&server, &["list"]);
    assert!(text.fine().starts_with("ID ") && text.out.contains("completed"), "{text:?}");
    assert_eq!(ask(&server, &["list", "--json"]).json()[0]["id"], json!(job));
    assert_eq!(ask(&server, &["list", "-q"]).fine(), job);

    let text = ask(&server, &["show", "last"]);
    assert!(text.fine().contains("status:    completed") && text.out.contains("used: "), "{text:?}");
    assert_eq!(ask(&server, &["show", "--json", &job]).json()["exit_code"], 0);
    assert_eq!(ask(&server, &["show", "-q", &job[..13]]).fine(), job);

    assert_eq!(ask(&server, &["logs", &job]).fine(), "out");
    assert_eq!(ask(&server, &["logs", "-q", "--stderr", &job]).fine(), "err");
    let frames = ask(&server, &["logs", "--json", &job]);
    let frames: Vec<Value> = frames.fine().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(frames[0], json!({"stream": "stdout", "offset": 0, "text": "out\n"}));
    assert_eq!(frames[1], json!({"stream": "end", "offset": 4, "more": false}));

    let own = env!("CARGO_PKG_VERSION");
    assert_eq!(ask(&server, &["version"]).fine(), format!("callboard {own} (server: {own})"));
    assert_eq!(ask(&server, &["version", "--json"]).json()["server"]["service"], "callboard");
    assert_eq!(ask(&server, &["version", "-q"]).fine(), own);
}

#[test]
fn what_ends_a_job_says_it_as_text_as_json_and_as_an_id() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let jobs: Vec<_> = (0..3).map(|_| server.submit("sleep 100")).collect();
    assert_eq!(ask(&server, &["cancel", &jobs[0]]).fine(), "Cancelled 1 of 1 jobs");
    assert_eq!(id(&ask(&server, &["cancel", "--json", &jobs[1]]).json()), jobs[1]);
    assert_eq!(ask(&server, &["cancel", "-q", &jobs[2]]).fine(), jobs[2]);
    let waited = ask(&server, &["wait", "-q", &jobs[0], &jobs[1], &jobs[2]]);
    assert_eq!((waited.code, waited.out.lines().count()), (Some(1), 3), "{waited:?}");
    assert_eq!(ask(&server, &["delete", &jobs[0]]).fine(), "Deleted 1 of 1 jobs");
    assert_eq!(ask(&server, &["delete", "--json", &jobs[1]]).json(), json!({"id": jobs[1], "deleted": true}));
    assert_eq!(ask(&server, &["delete", "-q", &jobs[2]]).fine(), jobs[2]);
    assert_eq!(ask(&server, &["list", "-q"]).fine(), "");
}

#[test]
fn of_several_jobs_what_can_be_done_is_done_and_the_worst_failure_is_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (first, second) = (over(&server, "true"), over(&server, "true"));
    let live = server.submit("sleep 100");
    let nobody = "00000000-0000-7000-8000-000000000000";
    let reports = |said: &Said, code: i32, words: &[&str]| {
        assert_eq!((said.code, said.err.lines().count()), (Some(code), words.len()), "{said:?}");
        assert!(words.iter().all(|word| said.err.contains(word)), "{said:?}");
    };

    let retried = ask(&server, &["retry", "--json", nobody, &first, &live]);
    reports(&retried, 5, &[nobody, &live]);
    assert_eq!(retried.json()[0]["retry_of"], json!(first));
    let shown = ask(&server, &["show", "-q", "nonsense", &first]);
    reports(&shown, 3, &["nonsense"]);
    assert_eq!(shown.out.trim_end(), first);
    let waited = ask(&server, &["wait", nobody, &first]);
    reports(&waited, 3, &[nobody]);
    assert_eq!(waited.out.trim_end(), format!("{first} completed"));
    let cancelled = ask(&server, &["cancel", nobody, &live, &first]);
    reports(&cancelled, 3, &[nobody]);
    assert_eq!(cancelled.out.trim_end(), "Cancelled 1 of 3 jobs (1 already finished)");
    let deleted = ask(&server, &["delete", &first, nobody, &second]);
    reports(&deleted, 3, &[nobody]);
    assert_eq!(deleted.out.trim_end(), "Deleted 2 of 3 jobs");
    ask(&server, &["cancel", nobody]).refused(3, "not found");
    ask(&server, &["retry", nobody]).refused(3, "not found");
}

#[test]
fn an_operator_pauses_the_queue_and_asks_whether_the_server_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    assert_eq!(ask(&server, &["healthcheck"]).fine(), "ok");
    assert_eq!(ask(&server, &["healthcheck", "--json"]).json(), json!({"ready": true}));
    assert_eq!(ask(&server, &["queue", "pause", "--json"]).json(), json!({"paused": true}));
    let job = server.submit("true");
    assert_eq!(ask(&server, &["show", "--json", &job]).json()["reason"], "queue_paused");
    assert_eq!(ask(&server, &["queue", "resume"]).fine(), "The queue runs");
    assert_eq!(ask(&server, &["wait", &job]).code, Some(0));
    assert_eq!(ask(&server, &["queue", "pause", "-q"]).fine(), "");
    let nobody = url(free_port());
    callboard(&["healthcheck", "-s", &nobody]).refused(6, "no answer from");
}

#[test]
fn documents_are_printed_without_a_server() {
    let document = callboard(&["openapi"]).json();
    assert!(document["paths"]["/v1/jobs"].is_object(), "{document}");
    for shell in ["bash", "zsh", "fish"] {
        let script = callboard(&["completions", shell]);
        assert!(script.fine().contains("healthcheck"), "{shell}");
    }
    assert_eq!(callboard(&["completions", "cobol"]).code, Some(2));
    callboard(&["completions", "bash", "--json"]).refused(2, "--json");
    callboard(&["openapi", "-q"]).refused(2, "--quiet");
}

#[test]
fn a_flag_without_a_meaning_is_refused_by_its_name() {
    for (args, why) in [
        (&["run", "--json", "--", "true"][..], "--json"),
        (&["serve", "--json"], "--json"),
        (&["serve", "-q"], "--quiet"),
        (&["serve", "-s", "http://127.0.0.1:1"], "--server"),
        (&["bench", "-s", "http://127.0.0.1:1"], "--server"),
        (&["bench", "--token-file", "/dev/null"], "--token-file"),
        (&["list", "-s", "ftp://127.0.0.1:1"], "is no server"),
        (&["run", "-s", "localhost:8000", "--", "true"], "http://"),
    ] {
        callboard(args).refused(2, why);
    }
    for args in
        [&["submit", "--no-progress", "--", "true"][..], &["logs", "--tail", "1", "--offset", "1", "last"]]
    {
        assert_eq!(callboard(args).code, Some(2), "{args:?}");
    }
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let run = |command: &mut std::process::Command| {
        said(command.env("CALLBOARD_SERVER", "").env("CALLBOARD_TOKEN_FILE", ""))
    };
    assert_eq!(run(&mut command(&["run", "--", "echo", "hi"])).fine(), "hi");
}

#[test]
fn the_clients_own_failures_are_told_from_the_jobs_code() {
    let nowhere = url(free_port());
    let id = "00000000-0000-7000-8000-000000000000";
    callboard(&["submit", "-s", &nowhere, "--", "true"]).refused(6, "no answer");
    callboard(&["wait", "-s", &nowhere, id]).refused(125, "no answer");
    callboard(&["wait", "-s", &nowhere, id, id]).refused(6, "no answer");
    callboard(&["submit", "-s", &nowhere, "--wait", "--", "true"]).refused(125, "no answer");
    callboard(&["run", "-s", &nowhere, "--", "true"]).refused(125, "no answer");
    said(command(&["run", "--", "true"]).env("RUNNER_URL", "http://127.0.0.1:1"))
        .refused(125, "RUNNER_URL: a node that is started for one command");
}
