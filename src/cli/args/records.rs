//! What can be said to the commands that read what a job wrote, look at many jobs, forget them, or follow what happens.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::duration;

/// Flags of `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Id, its beginning, or `last`.
    pub id: String,
    /// Go on until the job is over.
    #[arg(short, long)]
    pub follow: bool,
    /// Standard error instead of standard output.
    #[arg(long)]
    pub stderr: bool,
    /// First byte.
    #[arg(long, value_name = "BYTES")]
    pub offset: Option<u64>,
    /// Only the last lines; with --follow, and what comes after them.
    #[arg(long, value_name = "LINES", conflicts_with = "offset")]
    pub tail: Option<u64>,
}

/// Flags of `artifacts`.
#[derive(Debug, Args)]
pub struct ArtifactsArgs {
    /// Id, its beginning, or `last`.
    pub id: String,
    /// Only these files, or what is below these folders; one file without --to is written to standard output.
    pub paths: Vec<String>,
    /// Save them below this folder.
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

/// Flags of `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Only jobs accepted since then: a time (RFC 3339), or how long ago.
    #[arg(long, value_name = "TIME", default_value = "1d")]
    pub since: String,
    /// Only jobs accepted before then: a time (RFC 3339), or how long ago.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only these statuses, with commas between them.
    #[arg(long)]
    pub status: Option<String>,
    /// Only jobs whose name fits; `*` stands for anything, `?` for one character.
    #[arg(long, value_name = "GLOB")]
    pub name: Option<String>,
    /// Most jobs; those beyond it are told on standard error. Tables and one JSON value hold at most 10000.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "group_by")]
    pub limit: u64,
    /// Count instead of listing: one line for each status, name, hour or day.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub group_by: Option<GroupBy>,
}

/// What jobs are gathered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GroupBy {
    /// The status.
    Status,
    /// The name.
    Name,
    /// The hour of acceptance, UTC.
    Hour,
    /// The day of acceptance, UTC.
    Day,
}

/// Flags of `stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Go on: redrawn on a terminal, otherwise a line each time.
    #[arg(short, long)]
    pub watch: bool,
    /// With --watch: time between two looks.
    #[arg(short, long, value_parser = interval, value_name = "DURATION", default_value = "1s", requires = "watch")]
    pub interval: u64,
}

/// Flags of `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Go on with what comes.
    #[arg(short, long)]
    pub follow: bool,
    /// Only what came after this event; an `id` that was printed before.
    #[arg(long, value_name = "ID")]
    pub since: Option<String>,
    /// Only events of this job: its id, its beginning, or `last`.
    #[arg(long, value_name = "JOB")]
    pub job: Option<String>,
    /// Only these topics, with commas between them: job, runner.
    #[arg(long)]
    pub topic: Option<String>,
}

/// Flags of `prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Only jobs that ended at least so long ago.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub older_than: Option<u64>,
    /// Only these statuses, with commas between them: completed, failed, cancelled.
    #[arg(long, value_delimiter = ',')]
    pub status: Vec<String>,
    /// Say what would be forgotten, and forget nothing.
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
}

/// What `man` writes.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder for one page a command; without it the main page goes to standard output.
    pub dir: Option<PathBuf>,
}

/// What help is wanted about.
#[derive(Debug, Args)]
pub struct HelpArgs {
    /// A command, with its own commands behind it, or a topic.
    #[arg(value_name = "COMMAND|TOPIC")]
    pub words: Vec<String>,
}

fn interval(text: &str) -> Result<u64, String> {
    match duration(text)? {
        ms if ms >= 100 => Ok(ms),
        _ => Err("at least 100ms".into()),
    }
}
