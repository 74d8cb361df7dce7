//! Flags of the commands about settings and contexts, and of raw requests.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What is asked of the settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the settings that hold.
    Show(ConfigShowArgs),
    /// Say every mistake of a file of settings, with its line and key.
    Check {
        /// The file; the one that holds unless said.
        file: Option<PathBuf>,
    },
    /// Print where the file of settings is looked for.
    Path,
}

/// Flags of `config show`.
#[derive(Debug, Args)]
pub struct ConfigShowArgs {
    /// Whose settings.
    #[arg(value_enum, default_value_t)]
    pub whose: Whose,
    /// Say where each value comes from.
    #[arg(long)]
    pub origin: bool,
}

/// Whose settings are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Whose {
    /// Those of the commands that ask a server.
    #[default]
    Client,
    /// Those that `serve` would have.
    Serve,
    /// Those that `runner` would have.
    Runner,
}

/// What is done about contexts: servers by name.
#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// List the contexts.
    List,
    /// Use a context from now on.
    Use {
        /// Its name.
        name: String,
    },
    /// Make or change a context: its --server, its --token-file.
    Set {
        /// Its name.
        name: String,
    },
    /// Show a context.
    Show {
        /// Its name; the one that holds unless said.
        name: Option<String>,
    },
    /// Forget a context.
    Delete {
        /// Its name.
        name: String,
    },
}

/// Flags of `api`.
#[derive(Debug, Args)]
#[command(override_usage = "callboard api [OPTIONS] [METHOD] PATH")]
pub struct ApiArgs {
    /// What is asked for, for example /v1/jobs?limit=5; its method may stand before it.
    #[arg(required = true, num_args = 1..=2, value_name = "[METHOD] PATH")]
    pub words: Vec<String>,
    /// Method; POST when there is data, else GET.
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub method: Option<String>,
    /// Add a header; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Send this: text, @FILE, or - for standard input.
    #[arg(short, long, value_name = "DATA", allow_hyphen_values = true)]
    pub data: Option<String>,
    /// Print all pages of a list: one JSON array, or with -o jsonl one item a line.
    #[arg(long, conflicts_with_all = ["data", "include"])]
    pub paginate: bool,
    /// Print the status and the headers first.
    #[arg(short, long)]
    pub include: bool,
}
