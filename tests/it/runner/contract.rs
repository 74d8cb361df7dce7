//! What the original promised of a runner, and what we promise beyond it.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::process::until;

#[test]
fn an_execution_is_answered_as_the_original_answered() {
    let folder = tempfile::tempdir().unwrap();
    let server = launch(folder.path()).start();
    let done = run(&server, "echo out; echo err >&2; exit 3");
    assert!(done["runtime_ms"].is_u64(), "{done}");
    let told = |done: &Value| {
        (done["exit_code"].clone(), done["stdout"].clone(), done["stderr"].clone(), done["reason"].clone())
    };
    assert_eq!(told(&done), (json!(3), json!("out\n"), json!("err\n"), json!("exit_code")));
    let done = run(&server, "echo $((6 * 7))");
    assert_eq!(told(&done), (json!(0), json!("42\n"), json!(""), json!("exited")));
    assert_eq!(run(&server, "kill -9 $$")["exit_code"], -9);
    let late = execute(&server, &json!({"command": "echo early; sleep 60", "timeout": 1})).json();
    assert_eq!((&late["exit_code"], &late["stdout"]), (&json!(-1), &json!("early\n")));
    assert!(late["stderr"].as_str().unwrap().starts_with("Command timed out after 1 seconds"), "{late}");
    assert!(late["runtime_ms"].as_u64().unwrap() >= 1000, "{late}");
    // Nobody may ask for it any more, so nothing of it is kept.
    let long = run(&server, "head -c 200000 /dev/zero | tr '\\0' x");
    assert_eq!(long["stdout"].as_str().unwrap().len(), 200_000);
    let spool = server.data_dir.join("spool");
    until("the output is forgotten", || std::fs::read_dir(&spool).unwrap().next().is_none());
}

#[test]
fn each_execution_is_counted_once_and_the_health_check_names_a_runner() {
    let folder = tempfile::tempdir().unwrap();
    let server = launch(folder.path()).start();
    for line in ["true", "true", "exit 1"] {
        run(&server, line);
    }
    execute(&server, &json!({"command": "sleep 60", "timeout": 1}));
    assert_eq!(execute(&server, &json!({"command": ""})).status, 422);
    until("the notices have arrived", || metric(&server, "executions_total") >= 4.0);
    let counted = ["executions_total", "executions_success_total", "executions_failed_total"];
    assert_eq!(counted.map(|name| metric(&server, name)), [4.0, 2.0, 2.0]);
    let (status, health) = server.ask("GET", "/health", None).unwrap();
    assert_eq!((status, &health["status"], &health["service"]), (200, &json!("healthy"), &json!("runner")));
    assert_eq!(server.ask("GET", "/livez", None).unwrap().0, 200);
    let version = server.ask("GET", "/v1/version", None).unwrap().1;
    assert_eq!((&version["service"], &version["role"]), (&json!("callboard"), &json!("runner")));
    let document = server.ask("GET", "/openapi.json", None).unwrap().1;
    assert!(document["paths"]["/execute"].is_object() && document["paths"]["/jobs"].is_null());
    assert_eq!(server.ask("GET", "/v1/jobs", None).unwrap().0, 404);
}

#[test]
fn what_the_original_refused_is_refused_with_422_and_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let server = launch(folder.path()).start();
    for (body, pointer) in [
        (json!({"command": "x", "timeout": 0}), "#/timeout"),
        (json!({"command": "x", "timeout": 301}), "#/timeout"),
        (json!({"command": "x", "timeout": "soon"}), ""),
        (json!({"command": "x", "timeout": 1.5}), ""),
        (json!({"timeout": 3}), ""),
        (json!({"command": 3}), ""),
        (json!({"command": ""}), "#/command"),
        (json!({"command": "x", "colour": "red"}), ""),
        (json!(["x"]), ""),
    ] {
        let answer = execute(&server, &body);
        let problem = answer.json();
        assert_eq!(answer.status, 422, "{body}: {problem}");
        assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
        if !pointer.is_empty() {
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}: {problem}");
        }
    }
    assert_eq!(execute(&server, &json!({"command": "echo 1", "timeout": 300})).status, 200);
    assert_eq!(server.ask("GET", "/execute", None).unwrap().0, 405);
}

#[test]
fn fifty_at_once_share_four_slots_and_health_is_answered_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let server = launch(folder.path()).slots(4).start();
    let clients: Vec<_> = (0..50).map(|_| run_beside(&server, "date +%s%N; sleep 0.2; date +%s%N")).collect();
    until("every slot is taken", || metric(&server, "jobs_running_total") >= 4.0);
    let asked = Instant::now();
    assert_eq!(server.ask("GET", "/health", None).unwrap().0, 200);
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert!(metric(&server, "jobs_pending_total") > 0.0);
    // When each began and ended, as moments at which one more or one less was running.
    let mut moments = Vec::new();
    for client in clients {
        let done = client.join().unwrap().expect("the runner answers").json();
        assert_eq!(done["exit_code"], 0, "{done}");
        let times: Vec<u64> =
            done["stdout"].as_str().unwrap().lines().map(|line| line.parse().unwrap()).collect();
        moments.extend([(times[0], 1), (times[1], -1)]);
    }
    moments.sort_unstable();
    let running = moments.iter().scan(0, |running, (_, step)| {
        *running += step;
        Some(*running)
    });
    assert_eq!(running.max(), Some(4));
    until("each is counted", || metric(&server, "executions_success_total") == 50.0);
}

#[test]
fn beyond_the_bound_it_says_503_and_when_to_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = launch(folder.path()).variable("CALLBOARD_MAX_LIVE_JOBS", "3").start();
    let held: Vec<_> = (0..3).map(|_| asking(&server, "sleep 100")).collect();
    until("three are taken", || metric(&server, "jobs_total") == 3.0);
    let refused = execute(&server, &json!({"command": "true"}));
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    drop(held);
    until("there is room again", || execute(&server, &json!({"command": "true"})).status == 200);
}

#[test]
fn a_client_that_is_gone_ends_its_execution_and_one_that_waits_is_never_started() {
    let folder = tempfile::tempdir().unwrap();
    let server = launch(folder.path()).slots(1).start();
    let (pid, mark) = (folder.path().join("pid"), folder.path().join("mark"));
    let running = asking(&server, &format!("echo $$ > {}; sleep 100", pid.display()));
    let process = || std::fs::read_to_string(&pid).unwrap_or_default().trim().to_owned();
    until("it runs", || !process().is_empty());
    let waiting = asking(&server, &format!("touch {}", mark.display()));
    until("the other waits", || metric(&server, "jobs_pending_total") == 1.0);
    drop(waiting);
    until("it is withdrawn", || metric(&server, "jobs_pending_total") == 0.0);
    drop(running);
    let process = format!("/proc/{}", process());
    until("it is ended", || !Path::new(&process).exists());
    until("both are over", || metric(&server, "callboard_jobs_cancelled_total") == 2.0);
    assert_eq!(run(&server, "echo next")["stdout"], "next\n");
    assert!(!mark.exists());
}
