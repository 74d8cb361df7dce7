//! The commands about many jobs: history, stats, events, prune; and the pages that explain all.

use std::io::{BufRead, BufReader};
use std::process::Command;

use super::*;
use crate::process::until;
use crate::server::Launch;
use crate::skip::missing;

/// Runs jobs to their ends: two that complete, one that fails, and one that goes on.
fn worked(server: &Server) {
    for (name, line) in [("ci-1", "true"), ("ci-2", "true"), ("nightly", "exit 3")] {
        ask(server, &["submit", "--wait", "--name", name, "--shell", line]);
    }
    let id = ask(server, &["submit", "-q", "--", "sleep", "1000"]).fine().to_owned();
    server.until(&id, "running");
}

#[test]
fn history_lists_what_was_and_is_and_gathers_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    worked(&server);
    let history = |args: &[&str]| ask(&server, &[&["history"], args].concat());
    assert_eq!(history(&[]).fine().lines().count(), 5);
    assert_eq!(history(&["--json"]).json().as_array().unwrap().len(), 4);
    let names = |args: &[&str]| {
        let csv = history(&[args, &["-o", "csv", "--fields", "name", "--no-headers"]].concat());
        csv.fine().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(&["--name", "ci-*"]), ["ci-2", "ci-1"]);
    assert_eq!(names(&["--name", "ci-?", "--limit", "5"]), ["ci-2", "ci-1"]);
    assert_eq!(names(&["--name", "nightly"]), ["nightly"]);
    assert_eq!(names(&["--status", "failed,cancelled"]), ["nightly"]);
    assert_eq!(names(&["--since", "2h", "--until", "1h"]), [""; 0]);
    assert_eq!(names(&["--since", "2000-01-01T00:00:00Z"]).len(), 4);
    for limit in ["--limit=2", "--limit=1"] {
        let some = history(&[limit, "-o", "jsonl"]);
        let wanted: usize = limit.rsplit('=').next().unwrap().parse().unwrap();
        assert_eq!((some.code, some.out.lines().count()), (Some(0), wanted), "{some:?}");
        assert!(some.err.contains("there may be more"), "{some:?}");
    }
    let groups = history(&["--group-by", "status", "--json"]).json();
    let of =
        |status: &str| groups.as_array().unwrap().iter().find(|row| row["group"] == status).unwrap().clone();
    assert_eq!((&of("completed")["jobs"], &of("failed")["failed_share"]), (&2.into(), &1.0.into()));
    assert!(of("running")["failed_share"].is_null());
    assert!(of("completed")["run_max_ms"].as_f64().unwrap() > 0.0);
    let days = history(&["--group-by", "day", "-o", "csv", "--fields", "jobs,failed"]);
    let sums: u64 =
        days.fine().lines().skip(1).map(|row| row.split(',').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sums, 4);
    history(&["--since", "yesterday"]).refused(2, "--since `yesterday`");
    history(&["--limit", "10001"]).refused(2, "-o jsonl");
    history(&["--status", "lost"]).refused(5, "status is a list of");
    assert_eq!(history(&["--group-by", "name", "--limit", "3"]).code, Some(2));
}

#[test]
fn history_reads_more_jobs_than_a_page_has_and_holds_few_groups() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).start();
    server.ask("POST", "/v1/queue/pause", None).unwrap();
    for round in 0..2 {
        let job = |at: usize| serde_json::json!({"command": "true", "name": format!("{round}-{at}")});
        let jobs: Vec<_> = (0..600).map(job).collect();
        server.ask("POST", "/v1/jobs/batch", Some(&serde_json::json!({ "jobs": jobs }))).unwrap();
    }
    let ids = ask(&server, &["history", "-o", "name", "--limit", "5000"]);
    assert_eq!(ids.fine().lines().collect::<std::collections::BTreeSet<_>>().len(), 1200);
    let csv = ask(&server, &["history", "-o", "csv", "--limit", "1100"]);
    assert_eq!(csv.out.lines().filter(|line| line.starts_with("id,")).count(), 1, "one header");
    assert_eq!(csv.out.lines().count(), 1101);
    let groups = ask(&server, &["history", "--group-by", "name", "--json"]).json();
    let rows = groups.as_array().unwrap();
    assert_eq!(rows.len(), 1001);
    let others = rows.iter().find(|row| row["group"] == "(others)").unwrap();
    assert_eq!(others["live"], 200);
}

#[test]
fn stats_say_how_it_goes_once_or_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    worked(&server);
    let text = ask(&server, &["stats"]);
    for line in
        ["jobs:      0 pending, 1 running", "kept:      2 completed, 1 failed", "slots:     1 of 2 used"]
    {
        assert!(text.fine().contains(line), "{line} in {text:?}");
    }
    let stats = ask(&server, &["stats", "--json"]).json();
    assert_eq!((&stats["windows"][0]["accepted"], &stats["slots_used"]), (&4.into(), &1.into()));
    assert!(stats["run_ms"]["max"].as_f64().unwrap() > 0.0);
    let mut watch = command(&["stats", "--watch", "-i", "100ms"]);
    let mut watch = watch.env("CALLBOARD_SERVER", url(server.port)).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains(" running=1 completed=2 failed=1 ") && !line.contains('\x1b'), "{line}");
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
    ask(&server, &["stats", "-q"]).refused(2, "--quiet");
    assert_eq!(ask(&server, &["stats", "-i", "1ms", "-w"]).code, Some(2));
    assert_eq!(ask(&server, &["stats", "-i", "1s"]).code, Some(2), "nothing to repeat");
}

#[test]
fn events_are_lines_and_a_follower_hears_when_the_server_goes() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let id = ask(&server, &["submit", "--wait", "-q", "--", "true"]).fine().to_owned();
    let raw = || ask(&server, &["events", "-o", "jsonl", "--job", "last"]);
    until("the end is told", || raw().out.contains("\"ended\""));
    let raw = raw();
    let lines: Vec<Value> = raw.fine().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["job"] == id.as_str()), "{raw:?}");
    let words: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(words, ["accepted", "leased", "ended"]);
    let text = ask(&server, &["events", "--since", lines[1]["id"].as_str().unwrap()]);
    assert!(text.fine().contains(&format!("ended {id} completed exited")), "{text:?}");
    assert!(ask(&server, &["events", "--topic", "runner"]).fine().contains("ready 2 slots"));
    ask(&server, &["events", "--since", "soon"]).refused(5, "not the id of an event");
    ask(&server, &["events", "--topic", "weather"]).refused(5, "job, runner");
    ask(&server, &["events", "-o", "csv"]).refused(2, "--output csv");
    let mut follow = command(&["events", "-f", "--since", "0"]);
    let mut follow = follow.env("CALLBOARD_SERVER", url(server.port)).spawn().unwrap();
    let mut heard = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert!(heard.next().unwrap().unwrap().contains(" changed "));
    assert_eq!(server.terminate(), Some(0));
    assert!(heard.all(|line| line.is_ok()));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut follow.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(follow.wait().unwrap().code(), Some(6), "{said}");
    assert!(said.contains("callboard events -f --since "), "{said}");
}

#[test]
fn prune_wants_a_yes_and_says_how_much_it_forgot() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    worked(&server);
    let prune = |args: &[&str]| ask(&server, &[&["prune"], args].concat());
    prune(&[]).refused(2, "3 finished jobs");
    assert!(prune(&["--dry-run"]).fine().starts_with("Would forget 3 finished jobs (3.1KiB)"));
    assert_eq!(prune(&["--older-than", "1h", "--dry-run", "--json"]).json()["jobs"], 0);
    assert_eq!(ask(&server, &["list", "-q"]).fine().lines().count(), 4, "nothing was forgotten so far");
    prune(&["--status", "running", "-y"]).refused(5, "only finished jobs");
    assert_eq!(prune(&["--dry-run", "--yes"]).code, Some(2));
    assert_eq!(prune(&["--status", "failed", "-y"]).fine(), "Forgot 1 finished job (1.0KiB)");
    let answer = prune(&["-y", "--json"]).json();
    assert_eq!((&answer["jobs"], &answer["dry_run"]), (&2.into(), &false.into()));
    assert_eq!(prune(&["-y", "-q"]).fine(), "");
    assert_eq!(ask(&server, &["list", "-q"]).fine().lines().count(), 1, "what runs stays");
}

/// A command on a terminal of its own, to which this is typed.
fn typed(server: &Server, line: &str, keys: &str) -> (Option<i32>, String) {
    let mut script = Command::new("script");
    knows_no_settings(&mut script);
    script.args(["-qec", &format!("{} {line}", BINARY), "/dev/null"]);
    script
        .env("CALLBOARD_SERVER", url(server.port))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let done = finish(script.spawn().unwrap(), Some(keys.into()));
    (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
}

#[test]
fn prune_asks_on_a_terminal_and_only_yes_is_a_yes() {
    if Command::new("script").arg("--version").output().is_err() {
        return missing("prune on a terminal", "script", "there is no script(1), so nobody can be asked");
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    worked(&server);
    for keys in ["n\n", "\n", "ye\n"] {
        let (code, said) = typed(&server, "prune", keys);
        assert!(code == Some(1) && said.contains("Forget 3 finished jobs"), "{keys:?}: {code:?} {said}");
        assert!(said.contains("callboard: nothing was forgotten"), "{said}");
    }
    let (code, said) = typed(&server, "prune", "y\n");
    assert!(code == Some(0) && said.contains("Forgot 3 finished jobs"), "{code:?} {said}");
}

#[test]
fn pages_and_topics_are_printed_and_nonsense_is_refused() {
    let page = callboard(&["man"]);
    assert!(page.fine().contains(".TH callboard 1") && page.out.contains("callboard\\-prune(1)"), "{page:?}");
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("man/man1");
    callboard(&["man", dir.to_str().unwrap()]).fine();
    let prune = std::fs::read_to_string(dir.join("callboard-prune.1")).unwrap();
    assert!(prune.contains("older") && prune.contains("Examples"), "{prune}");
    assert!(dir.join("callboard-queue-pause.1").exists());
    callboard(&["man", "/proc/none/such"]).refused(1, "/proc/none/such");
    for (topic, word) in [
        ("exit-codes", "124"),
        ("environment", "CALLBOARD_RETENTION_BYTES"),
        ("selectors", "last"),
        ("config", "retention_bytes"),
    ] {
        assert!(callboard(&["help", topic]).fine().contains(word), "{topic}");
    }
    assert_eq!(
        callboard(&["help", "queue", "pause"]).fine(),
        callboard(&["queue", "pause", "--help"]).fine()
    );
    assert_eq!(callboard(&["help"]).fine(), callboard(&["--help"]).fine());
    callboard(&["help", "nonsense"]).refused(2, "topics are exit-codes");
    callboard(&["help", "run", "fast"]).refused(2, "run fast");
    callboard(&["man", "--json"]).refused(2, "--json");
}
