//! `stats`: how it goes, once or again and again.

use std::io::IsTerminal;
use std::time::Duration;

use callboard_actors::clock;
use callboard_actors::model::time::{parse_rfc3339, short_duration};

use super::args::{Global, StatsArgs};
use super::client::Client;
use super::commands::heard;
use super::exit::Failure;
use super::render::{json_line, short_bytes};
use super::style::plain;
use crate::config::{Environment, OutputForm};
use crate::http::api::{SpreadBody, StatsBody};

/// Prints it.
pub async fn stats(
    args: &StatsArgs,
    client: &Client,
    global: &Global,
    environment: &Environment,
) -> Result<i32, Failure> {
    let dumb = environment.get("TERM").is_none_or(|term| term == "dumb");
    let redraws = args.watch && !dumb && std::io::stdout().is_terminal();
    loop {
        let stats = client.stats().await?;
        let text = match (global.looks.form, args.watch) {
            (OutputForm::Json | OutputForm::Jsonl, _) => json_line(&stats)?,
            (_, true) if redraws => format!("\x1b[H\x1b[2J{}\n", block(&stats)),
            (_, true) => line(&stats) + "\n",
            (_, false) => block(&stats) + "\n",
        };
        if !heard(&text)? || !args.watch {
            return Ok(0);
        }
        actix_rt::time::sleep(Duration::from_millis(args.interval)).await;
    }
}

fn block(stats: &StatsBody) -> String {
    let jobs = &stats.jobs;
    let mut lines = vec![
        format!("jobs:      {} pending, {} running", jobs.pending, jobs.running),
        format!(
            "kept:      {} completed, {} failed, {} cancelled",
            jobs.completed, jobs.failed, jobs.cancelled
        ),
    ];
    for window in &stats.windows {
        let ended = window.completed + window.failed + window.cancelled;
        lines.push(format!(
            "{:<10} {} accepted, {ended} ended ({} failed), {}/s",
            format!("last {}m:", window.minutes),
            window.accepted,
            window.failed,
            window.ended_per_second,
        ));
    }
    let waits = stats.oldest_waiting_at.as_deref().and_then(parse_rfc3339).map(|at| {
        let ms = clock::now_ms().saturating_sub(at).max(0) as u64;
        format!("; the oldest waits for {}", short_duration(ms))
    });
    lines.push(format!("wait:      {}{}", spread(&stats.wait_ms), waits.unwrap_or_default()));
    lines.push(format!("run:       {}", spread(&stats.run_ms)));
    let paused = if stats.paused { ", the queue is paused" } else { "" };
    lines.push(format!("slots:     {} of {} used{paused}", stats.slots_used, stats.slots));
    let (kept, store) = (short_bytes(stats.retained_bytes), short_bytes(stats.store_bytes));
    lines.push(format!("size:      {kept} of finished jobs, {store} of database"));
    lines.join("\n")
}

fn spread(spread: &SpreadBody) -> String {
    if spread.count == 0 {
        return "none in the last 15m".into();
    }
    let [p50, p95, p99, max] =
        [spread.p50, spread.p95, spread.p99, spread.max].map(|ms| short_duration(ms as u64));
    format!("p50 {p50}, p95 {p95}, p99 {p99}, max {max}")
}

/// One line, for a pipe.
fn line(stats: &StatsBody) -> String {
    let jobs = &stats.jobs;
    let per_second = stats.windows.first().map_or(0.0, |window| window.ended_per_second);
    format!(
        "{} pending={} running={} completed={} failed={} cancelled={} ended_per_second={per_second} wait_p95_ms={} \
         run_p95_ms={} slots={}/{} retained_bytes={}",
        plain(&stats.at),
        jobs.pending,
        jobs.running,
        jobs.completed,
        jobs.failed,
        jobs.cancelled,
        stats.wait_ms.p95,
        stats.run_ms.p95,
        stats.slots_used,
        stats.slots,
        stats.retained_bytes,
    )
}
