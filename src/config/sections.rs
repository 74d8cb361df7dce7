//! Every setting by its name: in a file, in a variable, and how one layer covers another. It refuses to know defaults
//! and what goes together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use super::units::{
    AllowedMounts, Bind, ByteCount, ColorWhen, Cpus, Durability, IsolationMode, JobUser, Label, List,
    LivenessProfile, LogFilter, LogFormat, Millis, MinTier, OptionalMillis, OutputForm, PeerUrl, Placement,
    Published, StoreKind,
};
use super::{AdmissionSection, ConfigError, Environment};

/// Declares a section: each key with its type and its variable.
macro_rules! section {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident { $($(#[$doc:meta])* pub $key:ident: Option<$type:ty> = $variable:literal),+ $(,)? }
    ) => {
        $(#[$attribute])*
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $($(#[$doc])* pub $key: Option<$type>),+ }

        impl $name {
            pub(in crate::config) const VARIABLES: &[(&str, &str)] = &[$((stringify!($key), $variable)),+];

            pub(in crate::config) fn has(&self, key: &str) -> bool {
                match key {
                    $(stringify!($key) => self.$key.is_some(),)+
                    _ => false,
                }
            }

            pub(in crate::config) fn or(self, lower: Self) -> Self {
                Self { $($key: self.$key.or(lower.$key)),+ }
            }

            pub(in crate::config) fn from_environment(
                environment: &Environment,
            ) -> Result<Self, ConfigError> {
                Ok(Self { $($key: from_variable::<$type>($variable, environment)?),+ })
            }
        }
    };
}

// Below the macro, which they use.
mod client;
mod limits;

pub use client::ClientSection;
pub use limits::LimitsSection;

section! {
    /// `[server]`: where the node listens and what it owns.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
    pub struct ServerSection {
        /// Addresses to listen on.
        pub bind: Option<List<Bind>> = "CALLBOARD_BIND",
        /// Folder of the database, the output and the slots.
        pub data_dir: Option<PathBuf> = "CALLBOARD_DATA_DIR",
        /// Jobs that run at once.
        pub slots: Option<usize> = "CALLBOARD_SLOTS",
        /// File that holds the token clients must show.
        pub token_file: Option<PathBuf> = "CALLBOARD_TOKEN_FILE",
        /// File that holds the key of secret variables.
        pub secret_key_file: Option<PathBuf> = "CALLBOARD_SECRET_KEY_FILE",
        /// Whether an open address may be served without a token.
        pub insecure: Option<bool> = "CALLBOARD_INSECURE",
        /// Where a port of a container is published: `loopback` when only its own host can reach it.
        pub published: Option<Published> = "CALLBOARD_PUBLISHED",
        /// Host names that requests may be addressed to.
        pub allowed_hosts: Option<List<String>> = "CALLBOARD_ALLOWED_HOSTS",
        /// Threads that serve HTTP.
        pub workers: Option<usize> = "CALLBOARD_WORKERS",
        /// Connections that are open at once.
        pub max_connections: Option<usize> = "CALLBOARD_MAX_CONNECTIONS",
        /// How long running jobs may go on when the node is told to stop.
        pub shutdown_grace: Option<Millis> = "CALLBOARD_SHUTDOWN_GRACE",
        /// Runners that it dials.
        pub runner_urls: Option<List<PeerUrl>> = "RUNNER_URL",
        /// File that holds the token that those want to be shown.
        pub runner_token_file: Option<PathBuf> = "CALLBOARD_RUNNER_TOKEN_FILE",
    }
}

section! {
    /// `[tls]`: what the node shows, and whom it believes.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
    pub struct TlsSection {
        /// Its certificate, with those that lead to its authority.
        pub cert: Option<PathBuf> = "CALLBOARD_TLS_CERT",
        /// The key of that.
        pub key: Option<PathBuf> = "CALLBOARD_TLS_KEY",
        /// Authorities of the certificates that clients must show.
        pub client_ca: Option<PathBuf> = "CALLBOARD_TLS_CLIENT_CA",
        /// Authorities that are believed of the nodes that it dials.
        pub peer_ca: Option<PathBuf> = "CALLBOARD_TLS_PEER_CA",
    }
}

section! {
    /// `[store]`: where jobs are kept.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
    pub struct StoreSection {
        /// `sqlite` or `memory`.
        pub kind: Option<StoreKind> = "CALLBOARD_STORE",
        /// `full` or `normal`.
        pub durability: Option<Durability> = "CALLBOARD_DURABILITY",
    }
}

section! {
    /// `[runner]`: how jobs are run.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
    pub struct RunnerSection {
        /// Who jobs run as.
        pub user: Option<JobUser> = "CALLBOARD_USER",
        /// Folder of jobs that name none.
        pub default_cwd: Option<PathBuf> = "CALLBOARD_DEFAULT_CWD",
        /// What a job that asks for nothing has: `auto`, `none` or `sandbox`.
        pub isolation: Option<IsolationMode> = "CALLBOARD_ISOLATION",
        /// The least that any job runs with.
        pub min_isolation: Option<MinTier> = "CALLBOARD_MIN_ISOLATION",
        /// Whether jobs may have the host's network.
        pub allow_host_network: Option<bool> = "CALLBOARD_ALLOW_HOST_NETWORK",
        /// How often rooms are tried again.
        pub isolation_check: Option<Millis> = "CALLBOARD_ISOLATION_CHECK",
        /// What of the host jobs may have in their rooms.
        pub allow_mounts: Option<AllowedMounts> = "CALLBOARD_ALLOW_MOUNTS",
        /// How long jobs go on when the runner is gone without a word.
        pub hold_jobs: Option<Millis> = "CALLBOARD_HOLD_JOBS",
        /// What people call it.
        pub name: Option<String> = "CALLBOARD_NAME",
        /// What jobs may require of it.
        pub labels: Option<List<Label>> = "CALLBOARD_LABELS",
        /// The coordinator that it joins.
        pub join: Option<PeerUrl> = "CALLBOARD_JOIN",
        /// File that holds the token that lets it join.
        pub join_token_file: Option<PathBuf> = "CALLBOARD_JOIN_TOKEN_FILE",
    }
}

section! {
    /// `[scheduler]`: where jobs go.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
    pub struct SchedulerSection {
        /// By which rule a node is chosen: `least_loaded` or `round_robin`.
        pub placement: Option<Placement> = "CALLBOARD_PLACEMENT",
    }
}

section! {
    /// `[log]`: how the node logs.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
    pub struct LogSection {
        /// `text` or `json`.
        pub format: Option<LogFormat> = "CALLBOARD_LOG_FORMAT",
        /// A level, or `TARGET=LEVEL` pairs.
        pub level: Option<LogFilter> = "CALLBOARD_LOG",
    }
}

section! {
    /// `[auth]`: how callers without a valid token are treated.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
    pub struct AuthSection {
        /// Failed authentications of one address within a minute after which it is not heard; 0 hears everybody.
        pub failures_per_minute: Option<u32> = "CALLBOARD_AUTH_FAILURES_PER_MINUTE",
    }
}

section! {
    /// `[liveness]`: what the silence of a runner means.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
    pub struct LivenessSection {
        /// The times that the other keys change: `default`, `wan` or `test`.
        pub profile: Option<LivenessProfile> = "CALLBOARD_LIVENESS",
        /// Between two reports of a runner that has no news.
        pub heartbeat: Option<Millis> = "CALLBOARD_HEARTBEAT",
        /// Silence after which a runner gets no new work.
        pub suspect: Option<Millis> = "CALLBOARD_SUSPECT",
        /// Silence after which it is not known what a runner's jobs do.
        pub unreachable: Option<Millis> = "CALLBOARD_UNREACHABLE",
        /// Silence after which a runner's jobs are given up.
        pub lost: Option<Millis> = "CALLBOARD_LOST",
        /// Silence of a coordinator after which its runners end jobs with `on_disconnect` `kill`.
        pub fence: Option<Millis> = "CALLBOARD_FENCE",
        /// The time between TERM and KILL for that.
        pub fence_grace: Option<Millis> = "CALLBOARD_FENCE_GRACE",
        /// Silence after which such jobs are given to other runners.
        pub fenced_lost: Option<Millis> = "CALLBOARD_FENCED_LOST",
        /// How long after its start a coordinator gives up nobody.
        pub recovery: Option<Millis> = "CALLBOARD_RECOVERY",
    }
}

section! {
    /// `[audit]`: the log of who did what.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
    pub struct AuditSection {
        /// Whether there is one.
        pub enabled: Option<bool> = "CALLBOARD_AUDIT",
        /// Size at which its file is put aside and a new one begun.
        pub max_bytes: Option<ByteCount> = "CALLBOARD_AUDIT_MAX_BYTES",
        /// Files put aside that are kept.
        pub keep: Option<u32> = "CALLBOARD_AUDIT_KEEP",
    }
}

/// One layer of settings: a whole file, or the flags, or the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileConfig {
    /// Where the node listens and what it owns.
    pub server: ServerSection,
    /// What it shows, and whom it believes.
    pub tls: TlsSection,
    /// Where jobs are kept.
    pub store: StoreSection,
    /// How jobs are run.
    pub runner: RunnerSection,
    /// Where jobs go.
    pub scheduler: SchedulerSection,
    /// How the node logs.
    pub log: LogSection,
    /// How callers without a valid token are treated.
    pub auth: AuthSection,
    /// What the silence of a runner means.
    pub liveness: LivenessSection,
    /// The log of who did what.
    pub audit: AuditSection,
    /// What protects the node.
    pub limits: LimitsSection,
    /// Which jobs may be taken in.
    pub admission: AdmissionSection,
    /// What clients use.
    pub client: ClientSection,
    /// Servers by name.
    pub contexts: BTreeMap<String, ClientSection>,
    /// The context that holds when nobody names one.
    pub current_context: Option<String>,
}

impl FileConfig {
    /// What this layer says, and what the one below says where this one is silent.
    #[must_use]
    pub fn or(self, lower: Self) -> Self {
        Self {
            server: self.server.or(lower.server),
            tls: self.tls.or(lower.tls),
            store: self.store.or(lower.store),
            runner: self.runner.or(lower.runner),
            scheduler: self.scheduler.or(lower.scheduler),
            log: self.log.or(lower.log),
            auth: self.auth.or(lower.auth),
            liveness: self.liveness.or(lower.liveness),
            audit: self.audit.or(lower.audit),
            limits: self.limits.or(lower.limits),
            admission: self.admission.or(lower.admission),
            client: self.client.or(lower.client),
            contexts: if self.contexts.is_empty() { lower.contexts } else { self.contexts },
            current_context: self.current_context.or(lower.current_context),
        }
    }

    /// What the variables say about a node.
    ///
    /// # Errors
    /// The first variable whose value is not understood.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        Ok(Self {
            server: ServerSection::from_environment(environment)?,
            tls: TlsSection::from_environment(environment)?,
            store: StoreSection::from_environment(environment)?,
            runner: RunnerSection::from_environment(environment)?,
            scheduler: SchedulerSection::from_environment(environment)?,
            log: LogSection::from_environment(environment)?,
            auth: AuthSection::from_environment(environment)?,
            liveness: LivenessSection::from_environment(environment)?,
            audit: AuditSection::from_environment(environment)?,
            limits: LimitsSection::from_environment(environment)?,
            // Rules are too long for a variable, and a client's settings are read by themselves.
            ..Self::default()
        })
    }

    /// Every variable that sets something.
    pub fn variables() -> impl Iterator<Item = &'static str> {
        Self::keys()
            .map(|(_, _, variable)| variable)
            .chain(ClientSection::VARIABLES.iter().map(|pair| pair.1))
    }

    /// Every setting of a node that has a variable: section, key, variable.
    pub fn keys() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        let sections = [
            ("server", ServerSection::VARIABLES),
            ("tls", TlsSection::VARIABLES),
            ("store", StoreSection::VARIABLES),
            ("runner", RunnerSection::VARIABLES),
            ("scheduler", SchedulerSection::VARIABLES),
            ("log", LogSection::VARIABLES),
            ("auth", AuthSection::VARIABLES),
            ("liveness", LivenessSection::VARIABLES),
            ("audit", AuditSection::VARIABLES),
            ("limits", LimitsSection::VARIABLES),
        ];
        let pairs = |(section, pairs): (&'static str, &'static [(&'static str, &'static str)])| {
            pairs.iter().map(move |(key, variable)| (section, *key, *variable))
        };
        sections.into_iter().flat_map(pairs)
    }

    /// Whether this layer says it.
    pub fn has(&self, section: &str, key: &str) -> bool {
        match section {
            "server" => self.server.has(key),
            "tls" => self.tls.has(key),
            "store" => self.store.has(key),
            "runner" => self.runner.has(key),
            "scheduler" => self.scheduler.has(key),
            "log" => self.log.has(key),
            "auth" => self.auth.has(key),
            "liveness" => self.liveness.has(key),
            "audit" => self.audit.has(key),
            "limits" => self.limits.has(key),
            "client" => self.client.has(key),
            _ => false,
        }
    }

    /// Whether it says anything about a node.
    pub fn is_of_node(&self) -> bool {
        Self::keys().any(|(section, key, _)| self.has(section, key))
            || self.admission != AdmissionSection::default()
    }
}

fn from_variable<T: FromStr<Err: ToString>>(
    name: &str,
    environment: &Environment,
) -> Result<Option<T>, ConfigError> {
    let wrong = |what: String| ConfigError::Variable { name: name.to_owned(), what };
    let read = |value: &str| match (name, value) {
        // The two spellings that every shell script uses.
        ("CALLBOARD_INSECURE" | "CALLBOARD_AUDIT" | "CALLBOARD_ALLOW_HOST_NETWORK", "1") => {
            "true".parse::<T>()
        }
        ("CALLBOARD_INSECURE" | "CALLBOARD_AUDIT" | "CALLBOARD_ALLOW_HOST_NETWORK", "0") => {
            "false".parse::<T>()
        }
        (_, value) => value.parse::<T>(),
    };
    environment
        .get(name)
        .map(|value| read(value).map_err(|error| wrong(format!("`{value}`: {}", error.to_string()))))
        .transpose()
}
