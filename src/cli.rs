//! The command line: what is said becomes requests, what comes back becomes text and an exit code.

mod api;
mod args;
mod artifacts;
mod bench;
mod client;
mod commands;
mod contexts;
mod demo;
mod doctor;
mod events;
mod exit;
mod files;
mod help;
mod history;
mod interrupts;
mod logs;
mod man;
mod many;
mod nodes;
mod ops;
mod progress;
mod prune;
mod refusals;
mod render;
mod run;
mod secret_env;
mod settings;
mod sink;
mod stats;
mod style;
mod submit;
mod table;
mod token;

pub use client::{Client, is_over};
pub use exit::Failure;

use std::io::ErrorKind;
use std::path::PathBuf;

use clap::FromArgMatches;

use crate::config::{Environment, FileConfig, LogFilter, NodeConfig, Role};
use crate::node;
use crate::telemetry::{self, LogTarget};
use args::{Cli, Command, Global};

/// Runs the command that this process was started with. Returns its exit code.
pub fn main() -> i32 {
    let matches = args::command().try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            return match error.print() {
                Err(unwritten) if !error.use_stderr() && unwritten.kind() != ErrorKind::BrokenPipe => {
                    Failure::unwritten("standard output", &unwritten).report()
                }
                // Nothing can be said where even this cannot be written.
                _ => error.exit_code(),
            };
        }
    };
    style::choose(cli.global.color.unwrap_or_default());
    if let Some(failure) = refusals::refused(&cli.command, &cli.global) {
        return failure.report();
    }
    let environment = Environment::of_process();
    actix_rt::System::new().block_on(async {
        match cli.command {
            Command::Serve(ref args) => {
                let said = args.settings(cli.global.token_file.as_ref());
                serve(Role::Coordinator, said, cli.global.config, &environment).await
            }
            Command::Runner(ref args) => {
                let said = args.settings(cli.global.token_file.as_ref());
                serve(Role::Runner, said, cli.global.config, &environment).await
            }
            Command::Demo(ref args) => {
                telemetry::init(&telemetry::client_settings(None), LogTarget::Stderr);
                demo::run(args, &environment).await
            }
            Command::Bench(ref args) => bench::run(args, &cli.global).await,
            ref command => {
                let level = verbosity(cli.global.verbose);
                telemetry::init(&telemetry::client_settings(level), LogTarget::Stderr);
                client_command(command, cli.global, &environment).await
            }
        }
    })
}

/// What is worth a log line of a client, by how often it was asked to say more; none when it was not.
fn verbosity(times: u8) -> Option<LogFilter> {
    let level = match times {
        0 => return None,
        1 => log::LevelFilter::Info,
        2 => log::LevelFilter::Debug,
        _ => log::LevelFilter::Trace,
    };
    Some(LogFilter(vec![(None, level)]))
}

async fn client_command(command: &Command, global: Global, environment: &Environment) -> i32 {
    let forms = refusals::forms(command);
    let settled = if refusals::asks_a_server(command) {
        global.settled(forms, environment)
    } else {
        global.settled_without_file(forms, environment)
    };
    match settled {
        Ok(global) => match refusals::without_use(command, &global) {
            None => commands::run(command, &global, environment).await,
            Some(failure) => failure.report(),
        },
        Err(failure) => commands::report(command, failure),
    }
}

async fn serve(role: Role, said: FileConfig, file: Option<PathBuf>, environment: &Environment) -> i32 {
    let config = match NodeConfig::load(role, said, file, environment) {
        Ok(config) => config,
        Err(error) => return Failure::config(&error).report(),
    };
    telemetry::init(&config.log, LogTarget::Stdout);
    match node::serve(config).await {
        Ok(()) => 0,
        Err(error) => Failure::node(&error).report(),
    }
}
