//! Flags of `token`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::duration;

/// What is done to the tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token and print it: it is shown once.
    Create(CreateTokenArgs),
    /// List tokens, the oldest first.
    List,
    /// Revoke tokens: from then on they open nothing.
    Revoke {
        /// Ids of tokens.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// Flags of `token create`.
#[derive(Debug, Args)]
pub struct CreateTokenArgs {
    /// A name for people.
    #[arg(long)]
    pub name: Option<String>,
    /// Whose jobs it may touch; `default` unless said.
    #[arg(long)]
    pub tenant: Option<String>,
    /// admin, user, viewer, monitor or runner; user unless said.
    #[arg(long)]
    pub role: Option<String>,
    /// Instead of a role: submit, read, cancel, admin, metrics and runner, with commas between them.
    #[arg(long, value_delimiter = ',', conflicts_with = "role")]
    pub scope: Option<Vec<String>>,
    /// How long it holds, for example 30d; without end unless said.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub expires: Option<u64>,
    /// Write it to this new file, readable by you only, instead of printing it.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
