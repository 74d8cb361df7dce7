//! Flags of the commands that are a node. What is left out comes from the environment, the file, the defaults, in this
//! order.

use std::path::PathBuf;

use callboard_actors::model::AllowedMount;
use clap::Args;

use super::duration;
use crate::config::{
    AllowedMounts, Bind, Durability, FileConfig, JobUser, Label, List, LogFilter, LogFormat, Millis, PeerUrl,
    Published, StoreKind,
};

/// Flags of every node.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Address to listen on; may be repeated.
    #[arg(long, value_name = "ADDR")]
    pub bind: Vec<Bind>,
    /// Folder of everything that the node keeps.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Jobs that run at once.
    #[arg(long)]
    pub slots: Option<usize>,
    /// PEM file of its certificate, with those that lead to its authority: its port speaks TLS then.
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the key of that.
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Whoever connects must show a certificate of an authority in this PEM file.
    #[arg(long, value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// Of nodes that are dialled by https:// only the authorities in this PEM file are believed; the system's unless said.
    #[arg(long, value_name = "FILE")]
    pub tls_peer_ca: Option<PathBuf>,
    /// Serve an open address without a token.
    #[arg(long)]
    pub insecure: bool,
    /// Where this container's port is published: with `loopback` no token is needed.
    #[arg(long, value_name = "WHERE")]
    pub published: Option<Published>,
    /// Who jobs run as.
    #[arg(long, value_name = "USER")]
    pub user: Option<JobUser>,
    /// Let jobs have this folder, and what is below, in their rooms; with :ro to be read only. May be repeated.
    #[arg(long, value_name = "PATH[:ro]")]
    pub allow_mount: Vec<AllowedMount>,
    /// Log lines for people or machines.
    #[arg(long)]
    pub log_format: Option<LogFormat>,
    /// What is worth a log line.
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<LogFilter>,
    /// How long running jobs may go on at a stop.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub shutdown_grace: Option<u64>,
}

/// Flags of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// A runner to dial; may be repeated. Unless --slots says otherwise no job runs on this machine then [env: RUNNER_URL].
    #[arg(long, value_name = "URL")]
    pub runner_url: Vec<PeerUrl>,
    /// File that holds the token that those runners want to be shown.
    #[arg(long, value_name = "FILE")]
    pub runner_token_file: Option<PathBuf>,
    /// Where jobs are kept.
    #[arg(long, value_name = "KIND")]
    pub store: Option<StoreKind>,
    /// What an answered submit survives.
    #[arg(long)]
    pub durability: Option<Durability>,
    /// File of 32 bytes, the key of secret variables; made in the data folder unless said.
    #[arg(long, value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,
}

/// Flags of `runner`.
#[derive(Debug, Args)]
pub struct RunnerArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// The coordinator to join; without it the runner waits to be dialled.
    #[arg(long, value_name = "URL")]
    pub join: Option<PeerUrl>,
    /// File that holds the token that lets it join: one with the scope `runner`.
    #[arg(long, value_name = "FILE")]
    pub join_token_file: Option<PathBuf>,
    /// How long its jobs go on when it is gone without a word, as after a crash; 0 to end them with it. 10m unless said.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub hold_jobs: Option<u64>,
    /// What people call it; the machine's name unless said.
    #[arg(long)]
    pub name: Option<String>,
    /// What jobs may require of it; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<Label>,
}

impl RunnerArgs {
    /// The settings that were said.
    pub fn settings(&self, token_file: Option<&PathBuf>) -> FileConfig {
        let mut said = self.node.settings(token_file);
        said.runner.join.clone_from(&self.join);
        said.runner.join_token_file.clone_from(&self.join_token_file);
        said.runner.hold_jobs = self.hold_jobs.map(Millis);
        said.runner.name.clone_from(&self.name);
        said.runner.labels = (!self.label.is_empty()).then(|| List(self.label.clone()));
        said
    }
}

impl NodeArgs {
    /// The settings that were said.
    pub fn settings(&self, token_file: Option<&PathBuf>) -> FileConfig {
        let mut said = FileConfig::default();
        said.server.bind = (!self.bind.is_empty()).then(|| List(self.bind.clone()));
        said.server.data_dir.clone_from(&self.data_dir);
        said.server.slots = self.slots;
        said.server.token_file = token_file.cloned();
        said.tls.cert.clone_from(&self.tls_cert);
        said.tls.key.clone_from(&self.tls_key);
        said.tls.client_ca.clone_from(&self.tls_client_ca);
        said.tls.peer_ca.clone_from(&self.tls_peer_ca);
        said.server.insecure = self.insecure.then_some(true);
        said.server.published = self.published;
        said.server.shutdown_grace = self.shutdown_grace.map(Millis);
        said.runner.user.clone_from(&self.user);
        said.runner.allow_mounts =
            (!self.allow_mount.is_empty()).then(|| AllowedMounts(self.allow_mount.clone()));
        said.log.format = self.log_format;
        said.log.level.clone_from(&self.log_level);
        said
    }
}

impl ServeArgs {
    /// The settings that were said.
    pub fn settings(&self, token_file: Option<&PathBuf>) -> FileConfig {
        let mut said = self.node.settings(token_file);
        said.server.runner_urls = (!self.runner_url.is_empty()).then(|| List(self.runner_url.clone()));
        said.server.runner_token_file.clone_from(&self.runner_token_file);
        said.store.kind = self.store;
        said.store.durability = self.durability;
        said.server.secret_key_file.clone_from(&self.secret_key_file);
        said
    }
}
