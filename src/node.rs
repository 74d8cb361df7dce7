//! Assembles a node: store, graph and HTTP door from the settings; signals and the graceful stop. It decides no job.

pub mod embedded;
mod insecure;
mod open_files;
mod signals;
mod tokens;
mod user;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use callboard_actors::clock;
use callboard_actors::courier::Peer;
use callboard_actors::exec::{ProcessConfig, RunAs};
use callboard_actors::graph::{Builder, ExecutorChoice, Peers, Platform, StartError, node};
use callboard_actors::model::meter::Meter;
use callboard_actors::model::{AllowedMount, Isolation, RunnerSpec, StoreSummary, Tier};
use callboard_actors::protocol::LookupError;
use callboard_actors::secret::KeySource;
use callboard_actors::store::memory::MemoryStore;
use callboard_actors::store::sqlite::{self, SqliteOptions, SqliteStore};
use callboard_actors::store::{JobStore, StoreError};
use callboard_actors::tls::{self, Identity, TlsError, Trust, TrustFiles};

pub use self::signals::StopSignals;
use crate::config::{
    ConfigError, Durability, NodeConfig, Published, Role, StoreKind, is_open_to_others, read_token,
};
use crate::http::access::Access;
use crate::http::{self, Door, Executions, HttpConfig, Running, ServeError, TokenHash};
use crate::telemetry::AuditLog;

/// What is said where every message to the local runner is written down and read again.
const SERIALISES: &str = "messages to the local runner are serialised (CALLBOARD_SERIALISE_MESSAGES): this is for \
                          development, and costs time";

/// Why a node did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The settings do not fit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The API cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The files of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The records cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The actors did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The tokens cannot be read, so nobody may be let in.
    #[error("the tokens cannot be read: {0}")]
    Tokens(LookupError),
    /// The folder of everything cannot be made or written.
    #[error("the data folder {path} cannot be written: {source}: choose another with --data-dir")]
    DataDir {
        /// Which one.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The thread of the audit log cannot be started.
    #[error("the audit log cannot be started: {source}: switch it off with `enabled = false` in [audit]")]
    Audit {
        /// What the system said.
        source: std::io::Error,
    },
    /// An actor died.
    #[error("the {0} actor died; start the node again: nothing that was accepted is lost")]
    Died(&'static str),
    /// A second signal did not let it stop in peace.
    #[error("ended by a second signal: jobs that still ran were killed, and run again after the next start")]
    Impatient,
}

/// Raises the limit on open files as a server does; what it is now, or none where there is none.
pub fn raise_open_files() -> Option<u64> {
    open_files::raise().now
}

/// Which boot of which file system view this process lives in: equal ids mean that paths mean the same.
pub fn host_id() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let view = std::fs::read_link("/proc/self/ns/mnt").unwrap_or_default();
    format!("{}-{}", boot.trim(), view.display())
}

/// A node that serves.
pub struct Node {
    platform: Platform,
    server: Running,
    executions: Executions,
    access: Arc<Access>,
    audit: Option<Arc<AuditLog>>,
    has_tls: bool,
}

impl Node {
    /// Starts one, as what its role says.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(config: &NodeConfig) -> Result<Self, NodeError> {
        let token = config.server.token_file.as_deref().map(read_token).transpose()?;
        let http_config = http_config(config)?;
        let listeners = http::listen(&http_config, token.is_some())?;
        config.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        let platform = start_platform(config).await?;
        // Where no job runs on this machine, a client's folders mean nothing to its jobs.
        let host = if config.server.slots == 0 { format!("{}-elsewhere", host_id()) } else { host_id() };
        let door = Door::new(platform.handle().clone(), env!("CARGO_PKG_VERSION"), &host);
        let file = token.as_deref().map(TokenHash::of);
        let access = Access::load(file, platform.handle()).await.map_err(NodeError::Tokens)?;
        let access = access.limited_to(config.auth_failures_per_minute);
        let door = door.with_role(config.role).with_access(access);
        let door = if config.audit.enabled { door.with_audit(audit_log(config)?) } else { door };
        tokens::store_uses(&door);
        let access = Arc::clone(&door.access);
        let executions = door.executions.clone();
        let audit = door.audit.clone();
        let has_tls = http_config.tls.is_some();
        let server = http::serve(door, &http_config, listeners)?;
        let node = Self { platform, server, executions, access, audit, has_tls };
        let (role, address) = (config.role.as_str(), node.urls().join(" "));
        log::info!(address, role, slots = config.server.slots; "callboard is serving");
        Ok(node)
    }

    /// Where it answers.
    pub fn urls(&self) -> Vec<String> {
        let scheme = if self.has_tls { "https" } else { "http" };
        self.server.addresses().iter().map(|at| format!("{scheme}://{at}")).collect()
    }

    /// Resolves when one of its actors has died.
    pub async fn died(&mut self) -> NodeError {
        NodeError::Died(self.platform.died().await)
    }

    /// Stops it: no intake, running jobs get `grace_ms`, everything is flushed.
    pub async fn stop(self, grace_ms: u64) {
        let begun = clock::moment();
        self.platform.stop_intake();
        // What a client waits for is answered out of living actors. When the time is up there is none left to wait for.
        let _ = tokio::time::timeout(Duration::from_millis(grace_ms), self.executions.idle()).await;
        self.access.store_uses(self.platform.handle()).await;
        self.platform.stop(grace_ms.saturating_sub(begun.elapsed_ms())).await;
        self.server.stop(true).await;
        if let Some(audit) = self.audit {
            audit.flush().await;
        }
    }
}

/// Serves until a signal, then stops. A second signal ends it at once, as a failure.
///
/// # Errors
/// [`NodeError`].
pub async fn serve(config: NodeConfig) -> Result<(), NodeError> {
    let mut node = Node::start(&config).await?;
    let grace_ms = config.server.shutdown_grace_ms;
    let mut signals = StopSignals::listen();
    tokio::select! {
        () = signals.next() => {}
        () = insecure::remind(insecure::warning(&config.server)) => {}
        died = node.died() => return Err(died),
    }
    log::info!(grace_ms = grace_ms; "stopping: no new jobs; a second signal ends it now");
    tokio::select! {
        () = node.stop(grace_ms) => Ok(()),
        () = signals.next() => Err(NodeError::Impatient),
    }
}

fn audit_log(config: &NodeConfig) -> Result<AuditLog, NodeError> {
    let folder = config.server.data_dir.clone();
    AuditLog::start(folder, &config.audit).map_err(|error| NodeError::Audit { source: error })
}

/// What the node shows to its peers, whoever dials.
fn identity(config: &NodeConfig) -> Option<Identity> {
    let (cert, key) = config.tls.cert.clone().zip(config.tls.key.clone())?;
    Some(Identity { cert, key })
}

fn http_config(config: &NodeConfig) -> Result<HttpConfig, TlsError> {
    let server = &config.server;
    let identity = identity(config);
    let tls = identity.as_ref().map(|it| tls::server(it, config.tls.client_ca.as_deref())).transpose()?;
    if let Some(key) = identity.as_ref().map(|it| &it.key).filter(|key| is_open_to_others(key)) {
        let key = key.display();
        log::warn!("others than its owner may read or change the key in {key}: chmod 600 {key}");
    }
    Ok(HttpConfig {
        tls,
        bind: server.bind.clone(),
        allowed_hosts: server.allowed_hosts.clone(),
        insecure: server.is_open_on_purpose(),
        checks_hosts: server.published == Published::Loopback,
        workers: server.workers,
        max_connections: server.max_connections,
        ..HttpConfig::default()
    })
}

async fn start_platform(config: &NodeConfig) -> Result<Platform, NodeError> {
    make_private(&config.server.data_dir)?;
    let run_as = user::resolve(config.runner.user.as_ref())?;
    let own_uid = rustix::process::getuid().as_raw();
    let job_uid = run_as.map_or(own_uid, |user| user.uid);
    let open_files = open_files::raise();
    let insecure = insecure::warning(&config.server);
    let is_insecure = insecure.is_some();
    let mut warnings: Vec<String> = insecure.into_iter().chain(open_files.shortage(&config.server)).collect();
    if own_uid == 0 && config.server.token_file.is_none() {
        warnings.push(format!("the server runs as root without a token; its jobs run as uid {job_uid}"));
    }
    if config.runner.isolation == Isolation::None {
        warnings.push("jobs are not isolated unless they ask for it (setting runner.isolation)".into());
    }
    warnings.extend(insecure::published(&config.server));
    warnings.extend(config.serialise_messages.then(|| SERIALISES.to_owned()));
    warnings.iter().for_each(|warning| log::warn!("{warning}"));
    if !config.admission.allow_all() {
        let (rules, default) = (config.admission.written().count(), config.admission.default_action());
        log::info!(rules, default = default.as_str(); "admission rules are in force");
    }
    let default_cwd = config.runner.default_cwd.clone().unwrap_or_else(std::env::temp_dir);
    let mut builder = builder(config, run_as, default_cwd)?;
    if let ExecutorChoice::Process(executor) = &mut builder.executor {
        executor.open_files = open_files.given;
    }
    builder.meter.insecure.set(u64::from(is_insecure));
    let platform = Builder { warnings, ..builder }.start().await?;
    tell_of_rooms(&platform);
    Ok(platform)
}

/// The parts of a platform over the folder and the settings of `config`, its jobs run as `run_as` or as ourselves.
fn builder(config: &NodeConfig, run_as: Option<RunAs>, default_cwd: PathBuf) -> Result<Builder, NodeError> {
    let (data_dir, limits) = (&config.server.data_dir, &config.limits);
    let executor = ProcessConfig {
        slots: u32::try_from(config.server.slots).unwrap_or(u32::MAX),
        run_as,
        default_cwd,
        default_isolation: config.runner.isolation,
        min_isolation: config.runner.min_isolation,
        allow_host_network: config.runner.allow_host_network,
        isolation_check_ms: config.runner.isolation_check_ms,
        allow_mounts: config.runner.allow_mounts.clone().unwrap_or_else(|| usual_mounts(config)),
        ..ProcessConfig::new(data_dir, limits)
    };
    let builder = Builder::new(ExecutorChoice::Process(executor));
    let (store, store_summary) = open_store(config, &builder.meter)?;
    let spec = RunnerSpec {
        name: config.runner.name.clone().unwrap_or_else(host_name),
        labels: config.runner.labels.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..builder.spec
    };
    Ok(Builder {
        spec,
        peers: peers(config)?,
        store,
        store_summary,
        node: node::id(data_dir)?,
        secret_key: secret_key(config),
        limits: limits.clone(),
        timers: config.timers,
        rules: config.admission.clone(),
        placement: config.placement,
        serialise_messages: config.serialise_messages,
        job_uid: run_as.map_or(builder.job_uid, |user| user.uid),
        ..builder
    })
}

/// A node whose rooms are less than they could be says so, and what would help.
fn tell_of_rooms(platform: &Platform) {
    let facts = platform.handle().facts().rooms.read();
    let (tier, why) = (facts.tier.as_str(), facts.degraded_because.join("; "));
    match facts.tier {
        Tier::Full => log::info!(tier; "rooms of jobs were tried and hold"),
        _ => {
            log::warn!(tier, fix = facts.fixes.join("; "); "rooms of jobs are less than they could be: {why}")
        }
    }
}

/// What jobs may have of the host where nobody says otherwise. Whoever can submit to an ordinary user's own node may do
/// as that user without a room, so a room need not hide that user's folders; root's node has other people's.
fn usual_mounts(config: &NodeConfig) -> Vec<AllowedMount> {
    let server = &config.server;
    let is_personal = !rustix::process::geteuid().is_root()
        && server.token_file.is_none()
        && server.bind.iter().all(|address| address.ip().is_loopback());
    if is_personal { vec![AllowedMount::everything()] } else { Vec::new() }
}

/// Records that end with the process need no key that outlives it.
fn secret_key(config: &NodeConfig) -> KeySource {
    match (&config.server.secret_key_file, config.store.kind) {
        (Some(file), _) => KeySource::File(file.clone()),
        (None, StoreKind::Memory) => KeySource::Ephemeral,
        (None, StoreKind::Sqlite) => KeySource::InFolder(config.server.data_dir.clone()),
    }
}

/// Whom the node speaks with on other machines.
fn peers(config: &NodeConfig) -> Result<Peers, NodeError> {
    let token = config.server.runner_token_file.as_deref().map(read_token).transpose()?;
    let join_token = config.runner.join_token_file.as_deref().map(read_token).transpose()?;
    let files =
        TrustFiles { ca: config.tls.peer_ca.clone(), identity: identity(config), skips_verify: false };
    let urls = config.server.runner_urls.iter().chain(&config.runner.join);
    let trust = Trust::to(urls.map(String::as_str), &files)?;
    let peer = |url: &String, token: &Option<String>| Peer {
        url: url.clone(),
        token: token.clone(),
        trust: trust.clone(),
    };
    Ok(Peers {
        dials: config.server.runner_urls.iter().map(|url| peer(url, &token)).collect(),
        joins: config.runner.join.iter().map(|url| peer(url, &join_token)).collect(),
        // One that has chosen its coordinator belongs to no other that reaches its port.
        is_dialled: config.role == Role::Runner && config.runner.join.is_none(),
        results_dir: Some(config.server.data_dir.join("results")),
        hold_ms: config.runner.hold_jobs_ms.unwrap_or(0),
    })
}

/// The machine's name, as people know it.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn open_store(
    config: &NodeConfig,
    meter: &Arc<Meter>,
) -> Result<(Arc<dyn JobStore>, StoreSummary), NodeError> {
    let data_dir = &config.server.data_dir;
    Ok(match config.store.kind {
        StoreKind::Memory => (
            Arc::new(MemoryStore::in_folder(data_dir)?),
            StoreSummary { kind: "memory", durability: "none", path: None },
        ),
        StoreKind::Sqlite => {
            let (durability, word) = match config.store.durability {
                Durability::Full => (sqlite::Durability::Full, "full"),
                Durability::Normal => (sqlite::Durability::Normal, "normal"),
            };
            let options = SqliteOptions { durability, ..SqliteOptions::default() };
            let store = SqliteStore::open(data_dir, options, Arc::clone(meter))?;
            let path = Some(data_dir.display().to_string());
            (Arc::new(store), StoreSummary { kind: "sqlite", durability: word, path })
        }
    })
}

fn make_private(dir: &Path) -> Result<(), NodeError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    let writable = made.and_then(|()| Ok(rustix::fs::access(dir, rustix::fs::Access::WRITE_OK)?));
    writable.map_err(|source| NodeError::DataDir { path: dir.display().to_string(), source })
}
