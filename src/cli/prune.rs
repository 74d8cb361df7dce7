//! `prune`: forgets finished jobs, after a question.

use std::io::{BufRead, IsTerminal, Write};

use super::args::{Global, PruneArgs};
use super::client::Client;
use super::commands::{print, print_json};
use super::exit::{Failure, USAGE};
use super::render::short_bytes;
use crate::http::api::{PruneAnswer, PruneBody};

/// Forgets them, or says what would be forgotten.
pub async fn prune(args: &PruneArgs, client: &Client, global: &Global) -> Result<i32, Failure> {
    let mut body = PruneBody {
        older_than_ms: args.older_than,
        status: (!args.status.is_empty()).then(|| args.status.clone()),
        dry_run: true,
        ..PruneBody::default()
    };
    if args.dry_run {
        return tell(&client.prune(&body).await?, global);
    }
    if !args.yes {
        let counted = client.prune(&body).await?;
        if !can_ask() {
            let amount = amount(&counted);
            let message = format!("{amount} would be forgotten for good: say --yes, or --dry-run to look");
            return Err(Failure::new(USAGE, message));
        }
        if counted.jobs > 0 && !agreed(&counted) {
            return Err(Failure::new(1, "nothing was forgotten"));
        }
        // What ends while the question stands was not asked about.
        (body.older_than_ms, body.finished_before) = (None, Some(counted.finished_before));
    }
    body.dry_run = false;
    let mut all = PruneAnswer::default();
    loop {
        let round = client.prune(&body).await?;
        (body.older_than_ms, body.finished_before) = (None, Some(round.finished_before.clone()));
        let more = round.more && round.jobs > 0;
        all = PruneAnswer {
            jobs: all.jobs + round.jobs,
            bytes: all.bytes.saturating_add(round.bytes),
            ..round
        };
        if !more {
            return tell(&all, global);
        }
    }
}

fn tell(answer: &PruneAnswer, global: &Global) -> Result<i32, Failure> {
    match (global.json, global.quiet) {
        (true, _) => print_json(answer)?,
        (_, true) => {}
        _ => {
            let would = if answer.dry_run { "Would forget" } else { "Forgot" };
            print(&format!("{would} {}", amount(answer)))?;
        }
    }
    Ok(0)
}

fn amount(answer: &PruneAnswer) -> String {
    let s = if answer.jobs == 1 { "" } else { "s" };
    format!("{} finished job{s} ({})", answer.jobs, short_bytes(answer.bytes))
}

/// Whoever has no terminal has to say beforehand that it is meant.
fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks on the terminal.
fn agreed(counted: &PruneAnswer) -> bool {
    let mut err = std::io::stderr().lock();
    let asked = write!(err, "Forget {} for good? [y/N] ", amount(counted)).and_then(|()| err.flush());
    let mut line = String::new();
    // Who cannot be asked or does not answer has not agreed.
    let heard = asked.and_then(|()| std::io::stdin().lock().read_line(&mut line)).is_ok();
    heard && matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}
