//! The command line: what is said becomes requests, what comes back becomes text and an exit code.

mod args;
mod bench;
mod client;
mod commands;
mod demo;
mod events;
mod exit;
mod help;
mod history;
mod interrupts;
mod logs;
mod man;
mod many;
mod ops;
mod progress;
mod prune;
mod refusals;
mod render;
mod run;
mod secret_env;
mod sink;
mod stats;
mod style;
mod submit;
mod table;
mod token;

pub use client::{Client, is_over};
pub use exit::Failure;

use clap::FromArgMatches;

use crate::config::{Environment, FileConfig, NodeConfig, Role};
use crate::node;
use crate::telemetry::{self, LogTarget};
use args::{Cli, Command, Global, NodeArgs};

/// Runs the command that this process was started with. Returns its exit code.
pub fn main() -> i32 {
    let matches = args::command().try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be said where even this cannot be written.
            let _ = error.print();
            return error.exit_code();
        }
    };
    style::choose(cli.global.color);
    if let Some(failure) = refusals::refused(&cli.command, &cli.global) {
        return failure.report();
    }
    let environment = Environment::of_process();
    actix_rt::System::new().block_on(async {
        match cli.command {
            Command::Serve(ref args) => {
                let said = args.settings(cli.global.token_file.as_ref());
                serve(Role::Coordinator, said, &args.node, &environment).await
            }
            Command::Runner(ref args) => {
                let said = args.settings(cli.global.token_file.as_ref());
                serve(Role::Runner, said, args, &environment).await
            }
            Command::Demo(ref args) => {
                telemetry::init(&telemetry::client_settings(None), LogTarget::Stderr);
                demo::run(args, &environment).await
            }
            Command::Bench(ref args) => bench::run(args, &cli.global).await,
            ref command => {
                telemetry::init(&telemetry::client_settings(None), LogTarget::Stderr);
                client_command(command, cli.global, &environment).await
            }
        }
    })
}

async fn client_command(command: &Command, global: Global, environment: &Environment) -> i32 {
    match global.settled(refusals::forms(command), environment) {
        Ok(global) => match refusals::without_use(command, &global) {
            None => commands::run(command, &global, environment).await,
            Some(failure) => failure.report(),
        },
        Err(failure) => failure.report(),
    }
}

async fn serve(role: Role, said: FileConfig, args: &NodeArgs, environment: &Environment) -> i32 {
    let config = match NodeConfig::load(role, said, args.config.clone(), environment) {
        Ok(config) => config,
        Err(error) => return Failure::config(&error).report(),
    };
    telemetry::init(&config.log, LogTarget::Stdout);
    match node::serve(config).await {
        Ok(()) => 0,
        Err(error) => Failure::node(&error).report(),
    }
}
