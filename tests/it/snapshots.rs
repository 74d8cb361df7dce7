//! What the command line prints, word for word: every `--help` and every form of output, without what differs from run
//! to run. `INSTA_UPDATE=always` writes the snapshots anew.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::finish;
use crate::server::{BINARY, Server};

mod redact;

use redact::{csv, json, text};

/// Compares with the snapshot of this name.
fn hold(name: &str, said: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, said));
}

/// What a command prints, in an environment that knows nothing.
fn printed(server: Option<&Server>, args: &[&str]) -> String {
    let mut command = Command::new(BINARY);
    command.args(args).env_clear().env("COLUMNS", "100").env("HOME", "/nonexistent");
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    if let Some(server) = server {
        command.env("CALLBOARD_SERVER", format!("http://127.0.0.1:{}", server.port));
    }
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = finish(command.spawn().unwrap(), None);
    let (out, err) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
    assert_eq!((done.status.code(), err.as_str()), (Some(0), ""), "{args:?}: {out}");
    out
}

/// The commands that a help lists.
fn commands_of(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| line.starts_with(' '));
    let first = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    first.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn every_help_stays_as_it_is() {
    let main = printed(None, &["--help"]);
    hold("help", &main);
    let commands = commands_of(&main);
    assert!(commands.len() > 20, "{commands:?}");
    for command in &commands {
        let help = printed(None, &[command, "--help"]);
        hold(&format!("help-{command}"), &help);
        for inner in commands_of(&help) {
            hold(&format!("help-{command}-{inner}"), &printed(None, &[command, &inner, "--help"]));
        }
    }
    for topic in ["exit-codes", "environment", "config", "selectors", "output"] {
        hold(&format!("topic-{topic}"), &printed(None, &["help", topic]));
    }
}

#[test]
fn every_form_of_output_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    for (name, code) in [("good", "0"), ("bad", "3")] {
        let body = serde_json::json!({"command": format!("echo said; exit {code}"), "name": name, "timeout_ms": 60_000});
        let (status, job) = server.ask("POST", "/v1/jobs?wait=60s", Some(&body)).unwrap();
        assert_eq!(status, 200, "{job}");
    }
    for (name, args) in [
        ("list", &["list"][..]),
        ("history", &["history"]),
        ("history-name", &["history", "--group-by", "name"]),
    ] {
        for form in ["table", "wide", "csv", "name"] {
            let said = printed(Some(&server), &[args, &["-o", form]].concat());
            hold(&format!("{name}-{form}"), &if form == "csv" { csv(&said) } else { text(&said) });
        }
    }
    for (name, args) in [("show", &["show", "last"][..]), ("logs", &["logs", "last"]), ("stats", &["stats"])]
    {
        hold(name, &text(&printed(Some(&server), args)));
    }
    // Whether the start is told apart from the end depends on how long the job took.
    let events = printed(Some(&server), &["events"]);
    let events: Vec<&str> = events.lines().filter(|line| !line.contains(" started ")).collect();
    hold("events", &text(&events.join("\n")));
    hold("prune", &text(&printed(Some(&server), &["prune", "--dry-run"])));
    for (name, args) in [
        ("list-json", &["list"][..]),
        ("show-json", &["show", "last"]),
        ("history-name-json", &["history", "--group-by", "name"]),
        ("stats-json", &["stats"]),
        ("version-json", &["version"]),
        ("prune-json", &["prune", "--dry-run"]),
    ] {
        let said: Value =
            serde_json::from_str(&printed(Some(&server), &[args, &["--json"]].concat())).unwrap();
        hold(name, &json(said));
    }
    for (name, args) in [("events-jsonl", &["events"][..]), ("logs-jsonl", &["logs", "last"])] {
        let said = printed(Some(&server), &[args, &["-o", "jsonl"]].concat());
        let lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
        let lines: Vec<Value> = lines.filter(|line: &Value| line["event"] != "started").collect();
        hold(name, &json(lines.into()));
    }
}

#[test]
fn the_tables_of_tokens_and_contexts_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (admin, settings) = (place("admin"), place("settings.toml"));
    printed(Some(&server), &["-q", "token", "create", "--role", "admin", "--name", "chief", "--out", &admin]);
    let list = ["token", "list", "--token-file", &admin];
    hold("token-list", &text(&printed(Some(&server), &list)));
    let said = printed(Some(&server), &[&list[..], &["--json"]].concat());
    hold("token-list-json", &json(serde_json::from_str(&said).unwrap()));
    for name in ["here", "there"] {
        printed(None, &["context", "set", name, "--server", "http://127.0.0.1:8000", "--config", &settings]);
    }
    hold("context-list", &text(&printed(None, &["context", "list", "--config", &settings])));
    hold("config-show", &text(&printed(None, &["config", "show", "client", "--config", &settings])));
}
