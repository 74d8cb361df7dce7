//! `nodes`, and what jobs require of them: against a server with its own node only.

use serde_json::json;

use super::ask;
use crate::server::Server;

#[test]
fn a_node_is_listed_shown_and_kept_from_work_until_it_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let ready = ask(&server, &["nodes", "wait", "1", "--timeout", "30s", "--json"]).json();
    let name = ready[0]["name"].as_str().unwrap().to_owned();
    let table = ask(&server, &["nodes", "list"]);
    assert!(table.fine().starts_with("NAME ") && table.out.contains(" ready "), "{table:?}");
    assert_eq!(ask(&server, &["sinfo", "list", "-q"]).fine(), name);
    let block = ask(&server, &["runners", "show", &name]);
    assert!(block.fine().contains("slots:     0 of 2 used"), "{block:?}");

    let said = ask(&server, &["nodes", "cordon", "--why", "its disk is slow", &name]);
    assert_eq!(said.fine(), format!("{name} is cordoned"));
    let job = ask(&server, &["submit", "-q", "--", "true"]).fine().to_owned();
    assert_eq!(ask(&server, &["show", "--json", &job]).json()["status"], "pending");
    let shown = ask(&server, &["nodes", "show", "--json", &name]).json();
    assert_eq!(
        (&shown["cordon"]["by"], &shown["cordon"]["why"]),
        (&json!("operator"), &json!("its disk is slow"))
    );
    assert!(ask(&server, &["nodes", "list"]).fine().contains("its disk is slow"));
    ask(&server, &["nodes", "wait", "1", "--timeout", "1s"]).refused(7, "0 of 1 nodes");
    let resumed = ask(&server, &["nodes", "resume", &name]);
    // The job may have started by then.
    assert!(resumed.fine().starts_with(&format!("{name} is eligible")), "{resumed:?}");
    let ended = ask(&server, &["wait", "--json", &job]).json();
    assert_eq!((&ended["status"], &ended["runner"]), (&json!("completed"), &json!(name)));

    ask(&server, &["nodes", "remove", &name]).refused(5, "part of the coordinator");
    ask(&server, &["nodes", "show", "elsewhere"]).refused(3, "no such runner");
    ask(&server, &["nodes", "cordon", "--why", "two\nlines", &name]).refused(5, "at most 500 bytes");
}

#[test]
fn a_job_that_a_drain_ended_waits_for_the_next_node() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let name = ask(&server, &["nodes", "wait", "1", "-q"]).fine().to_owned();
    let job = ask(&server, &["submit", "-q", "--grace", "0s", "--", "sleep", "600"]).fine().to_owned();
    let is = |word: &str| {
        for _ in 0..400 {
            let shown = ask(&server, &["show", "--json", &job]).json();
            // What became of an attempt is told once it is on disk.
            let told = word != "pending" || shown["attempts"][0].is_object();
            if shown["status"] == word && told {
                return shown;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("it was never {word}");
    };
    is("running");
    let said = ask(&server, &["nodes", "drain", "--deadline", "0s", &name]);
    assert_eq!(said.fine(), format!("{name} is draining, and has 1 job"));
    let waits = is("pending");
    assert_eq!(waits["attempts"][0]["fate"], "drained", "{waits}");
    ask(&server, &["nodes", "resume", &name]).fine();
    is("running");
    ask(&server, &["cancel", &job]).fine();
}

#[test]
fn a_job_that_requires_another_node_waits_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let name = ask(&server, &["nodes", "wait", "1", "-q"]).fine().to_owned();
    let elsewhere = ask(&server, &["submit", "-q", "--require", "gpu=a100", "--", "true"]).fine().to_owned();
    let here = ask(&server, &["submit", "--wait", "--json", "--runner", &name, "--", "true"]).json();
    assert_eq!(here["status"], "completed", "{here}");
    let waits = ask(&server, &["show", "--json", &elsewhere]).json();
    assert_eq!((&waits["status"], &waits["reason"]), (&json!("pending"), &json!("no_capable_runner")));
    assert_eq!(waits["requires"], json!({"labels": {"gpu": "a100"}}));
    let wrong = ask(&server, &["submit", "--require", "gpu", "--", "true"]);
    assert!(wrong.code == Some(2) && wrong.err.contains("KEY=VALUE"), "{wrong:?}");
}
