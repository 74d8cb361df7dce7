//! Runners that go: those that say goodbye, those that are removed, and a coordinator that is no runner itself.

use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{BOTH, Dials, coordinator, history, noted, pair, runner, submit, until, url};
use crate::server::{BINARY, Server, exchange, knows_no_settings};

fn nodes(coordinator: &Server) -> Vec<Value> {
    let (status, list) = coordinator.ask("GET", "/v1/runners", None).expect("the coordinator answers");
    assert_eq!(status, 200, "{list}");
    list["items"].as_array().expect("a list").clone()
}

/// The only runner.
fn node(coordinator: &Server) -> Value {
    let mut nodes = nodes(coordinator);
    assert_eq!(nodes.len(), 1, "the coordinator's own has no slots: {nodes:?}");
    nodes.remove(0)
}

fn until_state(coordinator: &Server, state: &str) {
    until(&format!("it is not {state}"), || node(coordinator)["state"] == state);
}

fn counted(coordinator: &Server, state: &str) -> Option<String> {
    let metrics = exchange(coordinator.port, "GET", "/metrics", None)?.body;
    let family = format!("callboard_runners{{state=\"{state}\"}} ");
    metrics.lines().find_map(|line| Some(line.strip_prefix(&family)?.to_owned()))
}

fn started_again(folder: &std::path::Path, dials: Dials, coordinator: &Server, port: u16) -> Server {
    let again = runner(folder, "a").on_port(port);
    match dials {
        Dials::Runner => again.variable("CALLBOARD_JOIN", &url(coordinator.port)).start(),
        Dials::Coordinator => again.start(),
    }
}

#[test]
fn a_runner_that_stops_well_is_gone_at_once_and_comes_back_as_itself() {
    for dials in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, mut runner) = pair(folder.path(), dials);
        let first = node(&coordinator);
        let evidence = folder.path().join("evidence");
        let id = coordinator.submit(&noted(&evidence, 0.5));
        coordinator.until(&id, "running");
        assert_eq!(runner.terminate(), Some(0), "{dials:?}");
        // It would be unreachable after 1.5 s and lost after 30 s.
        until_state(&coordinator, "gone");
        coordinator.until(&id, "completed");
        assert_eq!(history(&evidence)[&id], (1, 1), "{dials:?}");
        until("it is not counted as gone", || counted(&coordinator, "gone").as_deref() == Some("1"));
        assert_eq!(counted(&coordinator, "ready").as_deref(), Some("0"), "{dials:?}");
        let waits = coordinator.submit("true");
        let _again = started_again(folder.path(), dials, &coordinator, runner.port);
        coordinator.until(&waits, "completed");
        let second = node(&coordinator);
        assert_eq!((&second["id"], &second["state"]), (&first["id"], &json!("ready")), "{dials:?}");
        assert!(second["incarnation"].as_u64() > first["incarnation"].as_u64(), "{second}");
    }
}

#[test]
fn a_runner_that_could_not_tell_everything_says_no_goodbye() {
    for dials in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let (first, mut runner) = pair(folder.path(), dials);
        let evidence = folder.path().join("evidence");
        let id = first.submit(&noted(&evidence, 0.5));
        first.until(&id, "running");
        // It stands still, and hears of nothing.
        first.signal(Signal::STOP);
        until("the job did not end", || history(&evidence).get(&id).is_some_and(|seen| seen.1 == 1));
        runner.signal(Signal::TERM);
        std::thread::sleep(std::time::Duration::from_millis(300));
        runner.signal(Signal::TERM);
        assert_eq!(runner.exit_code(), Some(1), "{dials:?}");
        first.signal(Signal::CONT);
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert_ne!(node(&first)["state"], "gone", "{dials:?}");
        let _again = started_again(folder.path(), dials, &first, runner.port);
        first.until(&id, "completed");
        assert_eq!(history(&evidence)[&id], (1, 1), "{dials:?}");
    }
}

#[test]
fn a_goodbye_counts_for_the_life_that_says_it_and_ends_what_that_was_thought_to_hold() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, _runner) = pair(folder.path(), Dials::Runner);
    let it = node(&coordinator);
    let never = submit(&coordinator, &json!({ "command": "sleep 60", "on_lost": "never" }));
    coordinator.until(&never, "running");
    let bye = |incarnation: u64| {
        let body = json!({ "node": it["id"], "incarnation": incarnation });
        coordinator.ask("POST", "/v1/node/bye", Some(&body)).expect("the coordinator answers")
    };
    let life = it["incarnation"].as_u64().unwrap();
    let (status, other) = bye(life - 1);
    assert_eq!(status, 409, "{other}");
    assert_eq!(
        (&node(&coordinator)["state"], &coordinator.job(&never)["status"]),
        (&json!("ready"), &json!("running"))
    );
    // Somebody says it in its name: what it holds is lost, at once and not after the 30 s of a silent one.
    assert_eq!(bye(life).0, 200);
    let lost = coordinator.until(&never, "failed");
    assert_eq!(lost["reason"], "runner_lost", "{lost}");
    // It is not gone, and says so.
    until_state(&coordinator, "ready");
    let id = coordinator.submit("true");
    coordinator.until(&id, "completed");
}

/// What `callboard nodes` says, and its exit code.
fn asked(coordinator: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    knows_no_settings(&mut command);
    command.args(["nodes", "--server", &url(coordinator.port)]).args(arguments);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said.into_owned())
}

#[test]
fn a_removed_runner_is_not_let_in_until_it_is_resumed() {
    for dials in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, mut node_a) = pair(folder.path(), dials);
        let id = node(&first)["id"].as_str().unwrap().to_owned();
        let (code, said) = asked(&first, &["remove", "a"]);
        assert!(code == Some(0) && said.contains(&format!("callboard nodes resume {id}")), "{said}");
        // It runs on, and asks to be let in again: so it does after the coordinator's restart.
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert_eq!(nodes(&first), Vec::<Value>::new(), "{dials:?}");
        let port = first.port;
        first.kill();
        let again = coordinator(folder.path()).on_port(port).unready();
        let again = match dials {
            Dials::Runner => again.start(),
            Dials::Coordinator => again.variable("RUNNER_URL", &url(node_a.port)).start(),
        };
        let waits = again.submit("true");
        assert_eq!(node_a.terminate(), Some(0), "{dials:?}");
        let log = folder.path().join("log");
        let refused = runner(folder.path(), "a").on_port(node_a.port).log_to(&log);
        let mut refused = match dials {
            Dials::Runner => refused.variable("CALLBOARD_JOIN", &url(port)).start(),
            Dials::Coordinator => refused.start(),
        };
        if dials == Dials::Runner {
            let told = || std::fs::read_to_string(&log).unwrap_or_default();
            until("it is not told", || told().contains(&format!("callboard nodes resume {id}")));
            std::thread::sleep(std::time::Duration::from_secs(1));
            assert_eq!(told().matches("is not let in").count(), 1, "{}", told());
        }
        assert_eq!(
            (nodes(&again), &again.job(&waits)["status"]),
            (Vec::new(), &json!("pending")),
            "{dials:?}"
        );
        assert_eq!(asked(&again, &["resume", "a"]).0, Some(3), "its name is forgotten");
        let (code, said) = asked(&again, &["resume", &id]);
        assert!(code == Some(0) && said.contains("is eligible"), "{said}");
        if dials == Dials::Coordinator {
            // It is dialled again within a minute; nobody waits for that here.
            continue;
        }
        refused.kill();
        let _back = started_again(folder.path(), dials, &again, refused.port);
        again.until(&waits, "completed");
    }
}
