//! An example or two of each command, shown by its help and its page. A test runs them.

use clap::{Command, CommandFactory};

use super::super::help::TOPICS;
use super::Cli;

/// Commands, and what is said with them. `callboard` stands before each.
pub const EXAMPLES: &[(&str, &[&str])] = &[
    ("serve", &["serve", "serve --bind 127.0.0.1:9000 --slots 4"]),
    ("runner", &["runner --slots 4"]),
    ("run", &["run -- echo hello", "run --timeout 30s --shell 'make -j4 2>&1 | tail'"]),
    ("submit", &["submit -- sleep 60", "submit --wait --name nightly --shell 'echo done'"]),
    ("list", &["list --status pending,running", "list -o csv --fields id,status,runtime_ms"]),
    ("show", &["show last"]),
    ("logs", &["logs last", "logs -f --stderr last"]),
    ("artifacts", &["artifacts last", "artifacts last out/result.csv", "artifacts last --to results"]),
    ("wait", &["wait --timeout 10m last"]),
    ("cancel", &["cancel --grace 5s last"]),
    ("retry", &["retry last"]),
    ("delete", &["delete last"]),
    ("history", &["history --since 1d", "history --since 7d --group-by name"]),
    ("stats", &["stats", "stats --watch"]),
    (
        "token",
        &["token create --role admin --out admin.token", "token list", "token revoke 0123456789abcdef"],
    ),
    (
        "nodes",
        &["nodes list", "nodes drain --deadline 10m --why 'new disk' node-7", "nodes wait 1 --timeout 30s"],
    ),
    ("config", &["config show --origin", "config check callboard.toml", "config path"]),
    (
        "context",
        &["context set prod --server http://10.0.0.5:8000 --token-file prod.token", "context use prod"],
    ),
    ("api", &["api /v1/jobs?limit=5", "api POST /v1/queue/pause", "api '/v1/jobs?limit=100' --paginate"]),
    ("events", &["events", "events -f --topic job -o jsonl"]),
    ("prune", &["prune --older-than 7d --dry-run", "prune --status failed --yes"]),
    ("demo", &["demo --exit"]),
    ("bench", &["bench --span 1s"]),
    ("queue", &["queue pause", "queue resume"]),
    ("healthcheck", &["healthcheck --timeout 5s"]),
    ("doctor", &["doctor", "doctor --json"]),
    ("openapi", &["openapi"]),
    ("completions", &["completions bash"]),
    ("man", &["man", "man /usr/local/share/man/man1"]),
    ("help", &["help run", "help exit-codes"]),
    ("version", &["version --json"]),
];

/// The whole command line, with its examples and topics.
pub fn command() -> Command {
    let topics: Vec<String> =
        TOPICS.iter().map(|topic| format!("  {:<12} {}", topic.name, topic.about)).collect();
    let topics = format!("Topics of `callboard help`:\n{}", topics.join("\n"));
    let mut command = Cli::command();
    let exit_codes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    command = command
        .after_help(format!("{topics}\n\n{exit_codes}"))
        .mut_subcommand("help", |help| help.after_help(topics.clone()));
    for (name, lines) in EXAMPLES {
        let lines: Vec<String> = lines.iter().map(|line| format!("  callboard {line}")).collect();
        command = command.mut_subcommand(name, |command| {
            let before = command.get_after_help().map(|text| format!("\n\n{text}")).unwrap_or_default();
            command.after_help(format!("Examples:\n{}{before}", lines.join("\n")))
        });
    }
    command
}
