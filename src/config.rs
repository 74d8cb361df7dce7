//! The settings of a node and of its clients: flag, then `CALLBOARD_*`, then file, then default, checked as a whole. It is the only
//! place that reads the environment, and it refuses to know what the settings are used for.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;

use callboard_actors::link::LivenessTimers;
use callboard_actors::model::{AdmissionRules, AllowedMount, Isolation, Limits, Tier};
use callboard_actors::policy::placement::PlacementRule;

mod admission;
mod check;
mod client;
mod file;
mod origin;
mod place;
mod resolve;
mod role;
mod sections;
mod show;
mod token;
mod units;

pub use admission::AdmissionSection;
pub use check::{Mistake, mistakes};
pub use client::{
    ClientConfig, ClientFlags, DEFAULT_SERVER, MAX_REQUEST_TIMEOUT_MS, check_context_name, check_no_password,
    check_server, unknown_context,
};
pub use file::parse as parse_file;
pub use origin::{Origin, Sourced};
pub use place::{Place, read_at, text_at};
pub use role::Role;
pub use sections::{
    AuditSection, AuthSection, ClientSection, FileConfig, LimitsSection, LogSection, RunnerSection,
    ServerSection, StoreSection, TlsSection,
};
pub use show::{Setting, of_client as client_settings, of_node as node_settings};
pub use token::{check_token, is_open_to_others, read_token};
pub use units::{
    AllowedMounts, Bind, ByteCount, ColorWhen, Durability, IsolationMode, JobUser, Label, List,
    LivenessProfile, LogFilter, LogFormat, Millis, MinTier, OptionalMillis, OutputForm, PeerUrl, Published,
    StoreKind,
};

/// What a process was told by its environment, taken once.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The environment of this process.
    #[allow(clippy::disallowed_methods, reason = "this room is the one that reads it")]
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// A made-up environment.
    pub fn of<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// A variable that is set to something; empty counts as unset, as container tools pass it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.raw(name).and_then(OsStr::to_str).filter(|value| !value.is_empty())
    }

    /// A variable exactly as it is.
    pub fn raw(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().filter_map(|name| name.to_str())
    }
}

/// Everything that a node is told before it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeConfig {
    /// What it is for.
    pub role: Role,
    /// Where it listens and what it owns.
    pub server: ServerSettings,
    /// What it shows, and whom it believes.
    pub tls: TlsSection,
    /// Where jobs are kept.
    pub store: StoreSettings,
    /// How jobs are run.
    pub runner: RunnerSettings,
    /// By which rule it chooses a node for a job.
    pub placement: PlacementRule,
    /// How it logs.
    pub log: LogSettings,
    /// Failed authentications of one address within a minute after which it is not heard; 0 hears everybody.
    pub auth_failures_per_minute: u32,
    /// What the silence of runners means.
    pub timers: LivenessTimers,
    /// Which times the timers have that nobody set.
    pub liveness_profile: LivenessProfile,
    /// Its log of who did what.
    pub audit: AuditSettings,
    /// What protects it.
    pub limits: Limits,
    /// Which jobs may be taken in.
    pub admission: AdmissionRules,
    /// Whether what the local runner is told, and tells, is written down as for another machine and read again.
    pub serialise_messages: bool,
    /// What looks like a mistake and is no reason to stop, one line each: log them.
    pub warnings: Vec<String>,
}

/// Section `[server]`, with every gap filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Addresses to listen on.
    pub bind: Vec<SocketAddr>,
    /// Folder of the database, the output and the slots; absolute.
    pub data_dir: PathBuf,
    /// Jobs that run at once.
    pub slots: usize,
    /// File that holds the token clients must show.
    pub token_file: Option<PathBuf>,
    /// File that holds the key of secret variables; in the data folder when absent.
    pub secret_key_file: Option<PathBuf>,
    /// Whether an open address may be served without a token.
    pub insecure: bool,
    /// Where its port is published.
    pub published: Published,
    /// Host names that requests may be addressed to, beside the loopback ones.
    pub allowed_hosts: Vec<String>,
    /// Threads that serve HTTP.
    pub workers: usize,
    /// Connections that are open at once.
    pub max_connections: usize,
    /// How long running jobs may go on when the node is told to stop, in milliseconds.
    pub shutdown_grace_ms: u64,
    /// Runners that it dials.
    pub runner_urls: Vec<String>,
    /// File that holds the token that those want to be shown.
    pub runner_token_file: Option<PathBuf>,
}

impl ServerSettings {
    /// Whether an open address may be served without a token, because somebody said so.
    pub fn is_open_on_purpose(&self) -> bool {
        self.insecure || self.published == Published::Loopback
    }
}

/// Section `[store]`, with every gap filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Which store.
    pub kind: StoreKind,
    /// What an answered submit survives.
    pub durability: Durability,
}

/// Section `[runner]`, with every gap filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerSettings {
    /// Who jobs run as; the node decides when absent.
    pub user: Option<JobUser>,
    /// Folder of jobs that name none; the node decides when absent.
    pub default_cwd: Option<PathBuf>,
    /// What a job that asks for nothing has.
    pub isolation: Isolation,
    /// The least that any job runs with.
    pub min_isolation: Tier,
    /// Whether jobs may have the host's network.
    pub allow_host_network: bool,
    /// How often rooms are tried again, in milliseconds; 0 for at the start only.
    pub isolation_check_ms: u64,
    /// What of the host jobs may have in their rooms; the node decides when absent.
    pub allow_mounts: Option<Vec<AllowedMount>>,
    /// How long jobs go on when a runner is gone without a word, in milliseconds; 0 for not at all. None of a coordinator,
    /// whose own jobs end with it.
    pub hold_jobs_ms: Option<u64>,
    /// What people call it; the machine's name when absent.
    pub name: Option<String>,
    /// What jobs may require of it.
    pub labels: BTreeMap<String, String>,
    /// The coordinator that it joins.
    pub join: Option<String>,
    /// File that holds the token that lets it join.
    pub join_token_file: Option<PathBuf>,
}

/// Section `[log]`, with every gap filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// For people or for machines.
    pub format: LogFormat,
    /// What is worth a line.
    pub level: LogFilter,
}

/// Section `[audit]`, with every gap filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Whether there is one.
    pub enabled: bool,
    /// Size at which its file is put aside and a new one begun, in bytes.
    pub max_bytes: u64,
    /// Files put aside that are kept.
    pub keep: u32,
}

/// Why a node cannot be configured so. It is shown as one line; the exit code is 78.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{path}: {why}: name a readable file with --config, or leave it out")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// A file says something that is not understood.
    #[error("{path}:{line}: {what}")]
    File {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong and what is known.
        what: String,
    },
    /// A variable has a value that is not understood.
    #[error("{name}: {what}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// The token cannot be had.
    #[error("token file {path}: {what}")]
    Token {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        what: String,
    },
    /// Settings that are fine one by one do not go together.
    #[error("{0}")]
    Together(String),
}

impl NodeConfig {
    /// Assembles the settings: `flags` first, then the environment, then the file, then the defaults.
    ///
    /// # Errors
    /// The first thing that is not understood, with where it stands.
    pub fn load(
        role: Role,
        flags: FileConfig,
        config_file: Option<PathBuf>,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        Self::layers(flags, config_file, environment)?.resolve(role, environment)
    }

    /// Reads what is said, and leaves it apart.
    fn layers(
        flags: FileConfig,
        config_file: Option<PathBuf>,
        environment: &Environment,
    ) -> Result<Layers, ConfigError> {
        let path = config_file.or_else(|| environment.get("CALLBOARD_CONFIG").map(PathBuf::from));
        let file = path.as_deref().map(file::read).transpose()?.unwrap_or_default();
        Ok(Layers { flags, variables: FileConfig::from_environment(environment)?, file, path })
    }

    /// What the environment says a job has that asks for nothing.
    ///
    /// # Errors
    /// When it says no isolation.
    pub fn isolation(environment: &Environment) -> Result<Isolation, ConfigError> {
        let said = RunnerSection::from_environment(environment)?.isolation;
        Ok(said.map_or(Isolation::Auto, |mode| mode.0))
    }

    /// The settings of a node that was told nothing.
    ///
    /// # Errors
    /// When not even the defaults fit this machine.
    pub fn defaults(environment: &Environment) -> Result<Self, ConfigError> {
        refuse_runner_url(environment)?;
        resolve::resolve(Role::Coordinator, FileConfig::default(), environment)
    }
}

/// What a node was told, by whom.
struct Layers {
    flags: FileConfig,
    variables: FileConfig,
    file: FileConfig,
    path: Option<PathBuf>,
}

impl Layers {
    fn resolve(self, role: Role, environment: &Environment) -> Result<NodeConfig, ConfigError> {
        resolve::resolve(role, self.flags.or(self.variables).or(self.file), environment)
    }
}

/// Whoever names a runner wants his jobs there, also the jobs of a node that starts for one command.
fn refuse_runner_url(environment: &Environment) -> Result<(), ConfigError> {
    if environment.get("RUNNER_URL").is_none() {
        return Ok(());
    }
    let what = "a node that is started for one command dials no runners, so it would be ignored: unset it and the job \
                runs here, or start `callboard serve` with it and name that with --server";
    Err(ConfigError::Variable { name: "RUNNER_URL".into(), what: what.into() })
}
