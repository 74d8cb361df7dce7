//! What can be said on the command line. Nothing here acts.

use std::path::PathBuf;

use callboard_actors::model::time::parse_duration_ms;
use clap::{Args, Parser, Subcommand};

use super::render::Looks;
use crate::config::{ColorWhen, MAX_REQUEST_TIMEOUT_MS, Origin, OutputForm};

mod bench;
mod demo;
mod examples;
mod global;
mod isolation;
mod limits;
mod node;
mod nodes;
mod records;
mod requires;
mod settings;
mod token;

pub use bench::BenchArgs;
pub use demo::DemoArgs;
pub use examples::command;
pub use isolation::IsolationArgs;
pub use limits::LimitArgs;
pub use node::{RunnerArgs, ServeArgs};
pub use nodes::{NodeNames, Nodes, WaitNodesArgs};
pub use records::{
    ArtifactsArgs, EventsArgs, GroupBy, HelpArgs, HistoryArgs, LogsArgs, ManArgs, PruneArgs, StatsArgs,
};
pub use requires::{LossArgs, RequireArgs};
pub use settings::{ApiArgs, ConfigCommand, ConfigShowArgs, ContextCommand, Whose};
pub use token::{CreateTokenArgs, Token};

/// Linux commands as jobs, on a laptop or on a cluster.
#[derive(Debug, Parser)]
#[command(name = "callboard", version, disable_help_subcommand = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 success, 1 failure, 2 usage, 3 not found, 4 not allowed, 5 conflict, \
6 no answer, 7 a wait on several jobs timed out, 78 configuration. `run`, `submit --wait` and `wait` on one job exit \
with the job's own code; 124 the job timed out, 125 it could not run or callboard itself failed, 126 not executable, \
127 not found, 128+N killed by signal N. `callboard help exit-codes` has the whole of it.";

/// Flags that every client command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// The server to talk to [env: CALLBOARD_SERVER].
    #[arg(short, long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// The context to use: a server by name [env: CALLBOARD_CONTEXT].
    #[arg(short, long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Settings file [env: CALLBOARD_CONFIG].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// File that holds the token: a client shows it, a server wants it shown [env: CALLBOARD_TOKEN_FILE].
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The token itself, from `CALLBOARD_TOKEN` only: what is said on a command line others can read.
    #[arg(skip)]
    pub token: Option<String>,
    /// PEM file of the authorities that are believed of a server by https://; the system's unless said [env: CALLBOARD_CA_CERT].
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_cert: Option<PathBuf>,
    /// PEM file of a certificate for a server that asks for one [env: CALLBOARD_CLIENT_CERT].
    #[arg(long, global = true, value_name = "FILE")]
    pub client_cert: Option<PathBuf>,
    /// PEM file of the key of that [env: CALLBOARD_CLIENT_KEY].
    #[arg(long, global = true, value_name = "FILE")]
    pub client_key: Option<PathBuf>,
    /// Believe whatever certificate a server shows: whoever stands in between can read and change everything.
    #[arg(long, global = true)]
    pub insecure_skip_tls_verify: bool,
    /// How to print: for people, more columns, one JSON value, one JSON object a line, ids, CSV [env: CALLBOARD_OUTPUT].
    #[arg(short, long, global = true, value_enum, value_name = "FORM")]
    pub output: Option<OutputForm>,
    /// The same as `-o json`: print one JSON value; `logs` prints one a line.
    #[arg(long, global = true, conflicts_with = "output")]
    pub json: bool,
    /// Only these columns, in this order; an unknown one is answered with the known ones.
    #[arg(long, global = true, value_delimiter = ',', value_name = "A,B,C")]
    pub fields: Vec<String>,
    /// Print tables and CSV without the names of their columns.
    #[arg(long, global = true)]
    pub no_headers: bool,
    /// Print times in tables in full, in UTC, instead of ages.
    #[arg(long, global = true, visible_alias = "absolute")]
    pub utc: bool,
    /// Print ids only, and no messages but failures.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Colour where there is any: auto minds NO_COLOR, CLICOLOR_FORCE, TERM=dumb, and pipes [env: CALLBOARD_COLOR].
    #[arg(long, global = true, value_enum, value_name = "WHEN")]
    pub color: Option<ColorWhen>,
    /// Longest silence of a server that is not asked to wait; 30s unless said [env: CALLBOARD_REQUEST_TIMEOUT].
    #[arg(long, global = true, value_parser = patience, value_name = "DURATION")]
    pub request_timeout: Option<u64>,
    /// Say what is asked of the server; twice, also what goes on within.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// How rows are to look: what the flags above and the environment come to.
    #[arg(skip)]
    pub looks: Looks,
    /// Who named the server; none before it is settled, and when nobody did.
    #[arg(skip)]
    pub server_origin: Option<Origin>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API and run jobs until stopped.
    Serve(ServeArgs),
    /// Run jobs for coordinators, and the original's `POST /execute`, until stopped.
    Runner(RunnerArgs),
    /// Run a command as a job, its output live, and exit with its code.
    Run(RunArgs),
    /// Submit a job and print its id.
    Submit(SubmitArgs),
    /// List jobs, newest first.
    List(ListArgs),
    /// Show jobs in full.
    Show(Ids),
    /// Print a job's output.
    Logs(LogsArgs),
    /// List, print or save the files that a job left.
    Artifacts(ArtifactsArgs),
    /// Wait for jobs to end.
    Wait(WaitArgs),
    /// Cancel jobs.
    Cancel(CancelArgs),
    /// Repeat finished jobs as new ones.
    Retry(Ids),
    /// Forget finished jobs.
    Delete(Ids),
    /// Jobs of a time, live and finished, or what they come to by status, name, hour or day.
    History(HistoryArgs),
    /// How it goes: counts, throughput, waits and run times, slots, sizes.
    Stats(StatsArgs),
    /// What happened to jobs and runners, and what comes.
    Events(EventsArgs),
    /// Forget finished jobs, many at once.
    Prune(PruneArgs),
    /// Show a mixed workload on a platform of its own, and whether all ended as planned.
    Demo(DemoArgs),
    /// Measure this machine and the platform on it, in one run.
    Bench(BenchArgs),
    /// Keep waiting jobs from being started, or start them again.
    #[command(subcommand)]
    Queue(Queue),
    /// What there is to run jobs on: list, drain, cordon, resume and remove nodes, or wait for them.
    #[command(subcommand, visible_aliases = ["runners", "sinfo"])]
    Nodes(Nodes),
    /// Make, list and revoke the tokens of a server.
    #[command(subcommand)]
    Token(Token),
    /// Show, check and find the settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Keep servers by name.
    #[command(subcommand)]
    Context(ContextCommand),
    /// Send one request as it is written, and print the answer as it comes.
    Api(ApiArgs),
    /// Say whether a server is ready; for container and service checks.
    Healthcheck(HealthcheckArgs),
    /// Say how far jobs can be kept apart on this machine, why not further, and what would help.
    Doctor,
    /// Print the OpenAPI document of this version.
    Openapi,
    /// Print a completion script for a shell.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual's main page, or write a page for every command into a folder.
    Man(ManArgs),
    /// Explain a command or a topic.
    Help(HelpArgs),
    /// Print the versions of this program and of the server.
    Version,
}

/// What is done to the queue.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Queue {
    /// Accept jobs but start none; running ones go on.
    Pause,
    /// Start them again.
    Resume,
}

/// Flags of `healthcheck`.
#[derive(Debug, Args)]
pub struct HealthcheckArgs {
    /// Longest time for the answer.
    #[arg(long, value_parser = duration, value_name = "DURATION", default_value = "2s")]
    pub timeout: u64,
}

/// Jobs by id, by the unambiguous beginning of an id, or `last`.
#[derive(Debug, Args)]
pub struct Ids {
    /// Ids, or their beginnings, or `last`.
    #[arg(required = true)]
    pub ids: Vec<String>,
}

/// What to run and how.
#[derive(Debug, Args)]
pub struct JobArgs {
    /// A name for people.
    #[arg(long)]
    pub name: Option<String>,
    /// Add a variable; a bare name copies it from here.
    #[arg(short, long = "env", value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Add a secret variable, from here or from a file; never its value itself.
    #[arg(long, value_name = "NAME[=@FILE]")]
    pub secret_env: Vec<String>,
    /// Folder to start in.
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// Wall-clock limit, for example 30s.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub timeout: Option<u64>,
    /// Time between TERM and KILL.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub grace: Option<u64>,
    #[command(flatten)]
    pub loss: LossArgs,
    /// A shell line to run instead of a command.
    #[arg(long, value_name = "LINE", conflicts_with = "command")]
    pub shell: Option<String>,
    #[command(flatten)]
    pub require: RequireArgs,
    #[command(flatten)]
    pub isolation: IsolationArgs,
    /// Have a folder or file of the host in the job's room, at the same place; with :ro it cannot be changed.
    #[arg(long, value_name = "PATH[:ro]")]
    pub mount: Vec<String>,
    /// Send a small file along: it lies below /job, the job's home, where the job then starts.
    #[arg(long, value_name = "LOCAL[:PATH]")]
    pub file: Vec<String>,
    /// Keep a file or folder that the job leaves below /job, where it then starts.
    #[arg(long, value_name = "PATH")]
    pub artifact: Vec<String>,
    #[command(flatten)]
    pub limits: LimitArgs,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, required_unless_present = "shell")]
    pub command: Vec<String>,
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Give the job no input.
    #[arg(short = 'n', long)]
    pub no_stdin: bool,
    /// Do not show on a terminal what the job waits for.
    #[arg(long)]
    pub no_progress: bool,
    /// Where files of --artifact are put: this folder instead of the current one.
    #[arg(long, value_name = "DIR", requires = "artifact")]
    pub artifacts_to: Option<PathBuf>,
    #[command(flatten)]
    pub job: JobArgs,
}

/// Flags of `submit`.
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// Wait for the end and exit with the job's code.
    #[arg(long)]
    pub wait: bool,
    /// With --wait: do not show on a terminal what the job waits for.
    #[arg(long, requires = "wait")]
    pub no_progress: bool,
    /// Send this process's standard input with the job.
    #[arg(long)]
    pub stdin: bool,
    /// A repetition with the same key is the same job.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    #[command(flatten)]
    pub job: JobArgs,
}

/// Flags of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only these statuses, with commas between them.
    #[arg(long)]
    pub status: Option<String>,
    /// Only jobs of this name.
    #[arg(long)]
    pub name: Option<String>,
    /// Most jobs.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// Where the page before ended.
    #[arg(long)]
    pub cursor: Option<String>,
}

/// Flags of `wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Longest wait.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub timeout: Option<u64>,
    /// Do not show on a terminal what the job waits for.
    #[arg(long)]
    pub no_progress: bool,
    #[command(flatten)]
    pub ids: Ids,
}

/// Flags of `cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Time between TERM and KILL.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub grace: Option<u64>,
    /// What to remember about it.
    #[arg(long)]
    pub note: Option<String>,
    #[command(flatten)]
    pub ids: Ids,
}

fn duration(text: &str) -> Result<u64, String> {
    parse_duration_ms(text).map_err(|error| error.to_string())
}

/// A silence that may be allowed, in milliseconds.
fn patience(text: &str) -> Result<u64, String> {
    let fine = |ms: &u64| (1..=MAX_REQUEST_TIMEOUT_MS).contains(ms);
    let ms = duration(text)?;
    Some(ms).filter(fine).ok_or_else(|| "take more than 0 and at most 24h".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_explained_documented_and_shown() {
        command().debug_assert();
        let document = include_str!("../../docs/COMMANDS.md");
        let code: String = document.split('`').skip(1).step_by(2).flat_map(|code| [code, " "]).collect();
        let mut page = Vec::new();
        clap_mangen::Man::new(command()).render(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        for command in command().get_subcommands() {
            let name = command.get_name();
            assert!(code.split_whitespace().any(|word| word == name), "{name} is not in docs/COMMANDS.md");
            assert!(command.get_about().is_some(), "{name} is not explained");
            let more = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(more.contains(&format!("callboard {name}")), "{name} has no example");
            assert!(page.contains(&format!("callboard\\-{name}(1)")), "{name} is not on the main page");
            for flag in command.get_arguments().filter(|flag| !flag.is_hide_set()) {
                assert!(flag.get_help().is_some(), "{name}: {} is not explained", flag.get_id());
            }
            for inner in command.get_subcommands() {
                assert!(inner.get_about().is_some(), "{name} {} is not explained", inner.get_name());
            }
        }
    }

    #[test]
    fn every_example_can_be_said() {
        for (name, lines) in examples::EXAMPLES {
            for line in *lines {
                assert!(line.starts_with(name), "{line} is no example of {name}");
                let words = std::iter::once("callboard").chain(words_of(line));
                command().try_get_matches_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }

    /// The words of a line in which quotes are single and around whole words.
    fn words_of(line: &str) -> impl Iterator<Item = &str> {
        line.split('\'').enumerate().flat_map(|(at, part)| match at % 2 {
            1 => vec![part],
            _ => part.split_whitespace().collect(),
        })
    }
}
