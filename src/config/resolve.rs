//! Fills what nobody set with defaults, and refuses what does not go together. It refuses to know who set what.

mod development;
mod runners;

use std::path::{Path, PathBuf};

use callboard_actors::model::mounts::MAX_ALLOWED_MOUNTS;
use callboard_actors::model::{AllowedMount, Isolation, Limits, ResourceLimits, Tier};
use callboard_actors::tls::speaks_tls;

use super::sections::{AuditSection, LimitsSection, RunnerSection, ServerSection, StoreSection, TlsSection};
use super::{
    AllowedMounts, AuditSettings, Bind, ConfigError, Durability, Environment, FileConfig, List,
    LivenessProfile, LogFilter, LogFormat, LogSettings, NodeConfig, Published, Role, RunnerSettings,
    ServerSettings, StoreKind, StoreSettings,
};

/// Where a node listens when nobody says otherwise.
const DEFAULT_BIND: &str = "127.0.0.1:8000";
/// Where a runner node listens when nobody says otherwise.
const DEFAULT_RUNNER_BIND: &str = "127.0.0.1:8080";
/// Executions that a runner node runs or lets wait when nobody says otherwise. Each holds a connection of a client that
/// has a time-out of its own, so that a long queue would only keep it from asking another runner.
const DEFAULT_EXECUTIONS: usize = 1024;
/// Most jobs at once: each slot has a keeper process.
const MAX_SLOTS: usize = 4096;
/// Most runners that a coordinator dials.
const MAX_DIALLED: usize = 1000;
/// Most threads that serve HTTP.
const MAX_WORKERS: usize = 256;
/// Connections that are open at once when nobody says otherwise: 10,000 idle ones, and some that do something.
const DEFAULT_MAX_CONNECTIONS: usize = 10_240;
/// How long running jobs may go on at a stop when nobody says otherwise, in milliseconds.
const DEFAULT_SHUTDOWN_GRACE_MS: u64 = 30_000;
/// How long jobs go on without their runner when nobody says otherwise, in milliseconds: as long as their coordinator waits
/// for it.
const DEFAULT_HOLD_MS: u64 = 600_000;
/// Failed authentications of one address within a minute after which it is not heard, when nobody says otherwise.
const DEFAULT_AUTH_FAILURES_PER_MINUTE: u32 = 30;
/// Size at which the audit log is put aside when nobody says otherwise, in bytes.
const DEFAULT_AUDIT_BYTES: u64 = 16 << 20;
/// Smallest size at which the audit log may be put aside, in bytes.
const MIN_AUDIT_BYTES: u64 = 64 << 10;
/// Files of the audit log that are kept when nobody says otherwise, beside the one that is written.
const DEFAULT_AUDIT_KEEP: u32 = 4;
/// Most files of the audit log that are kept.
const MAX_AUDIT_KEEP: u32 = 1000;
/// How often rooms are tried again when nobody says otherwise, in milliseconds.
const DEFAULT_ISOLATION_CHECK_MS: u64 = 600_000;
/// Variables of this program that are no settings of a node.
const OTHER_VARIABLES: [&str; 5] =
    ["CALLBOARD_CONFIG", "CALLBOARD_CONTEXT", "CALLBOARD_TOKEN", "CALLBOARD_REQUIRE", development::SERIALISE];

/// Turns what was said into what holds.
pub(super) fn resolve(
    role: Role,
    told: FileConfig,
    environment: &Environment,
) -> Result<NodeConfig, ConfigError> {
    let server = server(role, told.server, environment)?;
    let limits = limits(role, told.limits);
    check_server(&server)?;
    check_limits(&limits)?;
    if role == Role::Runner {
        check_runner(&server, &limits, &told.store)?;
    }
    let audit = audit(told.audit)?;
    let admission = told.admission.compile().map_err(|error| ConfigError::Together(error.to_string()))?;
    let runner = runner(role, &server, told.runner)?;
    refuse_unless(role == Role::Runner || runner.join.is_none(), || {
        "only `callboard runner` joins a coordinator: leave `runner.join` out, also in CALLBOARD_JOIN".into()
    })?;
    let default_store = if role == Role::Runner { StoreKind::Memory } else { StoreKind::Sqlite };
    check_tls(&told.tls, &server, &runner)?;
    let liveness_profile = told.liveness.profile.unwrap_or(LivenessProfile::Default);
    Ok(NodeConfig {
        role,
        timers: runners::timers(liveness_profile, &told.liveness)?,
        liveness_profile,
        server,
        tls: told.tls,
        store: StoreSettings {
            kind: told.store.kind.unwrap_or(default_store),
            durability: told.store.durability.unwrap_or(Durability::Full),
        },
        runner,
        placement: told.scheduler.placement.map(|placement| placement.0).unwrap_or_default(),
        log: LogSettings {
            format: told.log.format.unwrap_or(LogFormat::Text),
            level: told.log.level.unwrap_or(LogFilter(vec![(None, log::LevelFilter::Info)])),
        },
        auth_failures_per_minute: told.auth.failures_per_minute.unwrap_or(DEFAULT_AUTH_FAILURES_PER_MINUTE),
        audit,
        limits,
        admission,
        serialise_messages: development::serialises(environment)?,
        warnings: strangers(environment),
    })
}

fn runner(role: Role, server: &ServerSettings, told: RunnerSection) -> Result<RunnerSettings, ConfigError> {
    refuse_unless(role == Role::Runner || told.hold_jobs.is_none(), || {
        "only the jobs of `callboard runner` can be held: leave `runner.hold_jobs` out, also in CALLBOARD_HOLD_JOBS"
            .into()
    })?;
    let hold_jobs_ms = told.hold_jobs.map_or(DEFAULT_HOLD_MS, |time| time.0);
    if let Some(cwd) = told.default_cwd.as_deref().filter(|cwd| !cwd.is_absolute()) {
        return Err(ConfigError::Together(format!(
            "default_cwd must be an absolute path, not `{}`",
            cwd.display()
        )));
    }
    // Nobody but whoever is on this machine can ask: they could do without a room what they do in one.
    let is_open = server.token_file.is_none() && server.bind.iter().all(|address| address.ip().is_loopback());
    Ok(RunnerSettings {
        user: told.user,
        default_cwd: told.default_cwd,
        isolation: told.isolation.map_or(Isolation::Auto, |mode| mode.0),
        min_isolation: told
            .min_isolation
            .map_or(if is_open { Tier::None } else { Tier::Lite }, |tier| tier.0),
        allow_host_network: told.allow_host_network.unwrap_or(is_open),
        isolation_check_ms: told.isolation_check.map_or(DEFAULT_ISOLATION_CHECK_MS, |period| period.0),
        allow_mounts: allowed_mounts(told.allow_mounts)?,
        hold_jobs_ms: (role == Role::Runner).then_some(hold_jobs_ms),
        name: runners::name(told.name)?,
        labels: runners::labels(told.labels)?,
        join: told.join.map(|url| url.0),
        join_token_file: told.join_token_file,
    })
}

fn allowed_mounts(told: Option<AllowedMounts>) -> Result<Option<Vec<AllowedMount>>, ConfigError> {
    let count = told.as_ref().map_or(0, |allowed| allowed.0.len());
    refuse_unless(count <= MAX_ALLOWED_MOUNTS, || {
        format!("allow_mounts has {count} places: at most {MAX_ALLOWED_MOUNTS} are possible")
    })?;
    Ok(told.map(|allowed| allowed.0))
}

fn server(role: Role, told: ServerSection, environment: &Environment) -> Result<ServerSettings, ConfigError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let bind = if role == Role::Runner { DEFAULT_RUNNER_BIND } else { DEFAULT_BIND };
    let default_bind = || List(bind.parse::<Bind>().into_iter().collect());
    let data_dir = told.data_dir.map_or_else(|| default_data_dir(role, environment), Ok)?;
    Ok(ServerSettings {
        bind: told.bind.unwrap_or_else(default_bind).0.into_iter().map(|bind| bind.0).collect(),
        data_dir: absolute(&data_dir)?,
        // Whoever names runners wants the jobs there.
        slots: told.slots.unwrap_or(if told.runner_urls.is_some() { 0 } else { cores }),
        token_file: told.token_file,
        secret_key_file: told.secret_key_file,
        insecure: told.insecure.unwrap_or(false),
        published: told.published.unwrap_or(Published::Everywhere),
        allowed_hosts: told.allowed_hosts.map(|hosts| hosts.0).unwrap_or_default(),
        workers: told.workers.unwrap_or(cores.min(4)),
        max_connections: told.max_connections.unwrap_or(DEFAULT_MAX_CONNECTIONS),
        shutdown_grace_ms: told.shutdown_grace.map_or(DEFAULT_SHUTDOWN_GRACE_MS, |grace| grace.0),
        runner_urls: told
            .runner_urls
            .map(|urls| urls.0.into_iter().map(|url| url.0).collect())
            .unwrap_or_default(),
        runner_token_file: told.runner_token_file,
    })
}

fn audit(told: AuditSection) -> Result<AuditSettings, ConfigError> {
    let max_bytes = told.max_bytes.map_or(DEFAULT_AUDIT_BYTES, |bytes| bytes.0);
    refuse_unless(max_bytes >= MIN_AUDIT_BYTES, || {
        format!("audit.max_bytes is {max_bytes}: at least {MIN_AUDIT_BYTES} are needed")
    })?;
    let keep = told.keep.unwrap_or(DEFAULT_AUDIT_KEEP);
    refuse_unless(keep <= MAX_AUDIT_KEEP, || {
        format!("audit.keep is {keep}: at most {MAX_AUDIT_KEEP} are possible")
    })?;
    Ok(AuditSettings { enabled: told.enabled.unwrap_or(true), max_bytes, keep })
}

fn absolute(path: &Path) -> Result<PathBuf, ConfigError> {
    std::path::absolute(path)
        .map_err(|error| ConfigError::Together(format!("data_dir `{}`: {error}", path.display())))
}

/// A runner has a folder of its own in a server's, so that both can be started without a word on one machine.
fn default_data_dir(role: Role, environment: &Environment) -> Result<PathBuf, ConfigError> {
    let folder = state_dir(environment)?;
    Ok(if role == Role::Runner { folder.join("runner") } else { folder })
}

fn state_dir(environment: &Environment) -> Result<PathBuf, ConfigError> {
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/callboard".into());
    }
    if let Some(state) = environment.get("XDG_STATE_HOME").map(Path::new).filter(|path| path.is_absolute()) {
        return Ok(state.join("callboard"));
    }
    environment.get("HOME").map(|home| Path::new(home).join(".local/state/callboard")).ok_or_else(|| {
        ConfigError::Together("no folder for data: HOME is not set, so name one with --data-dir".into())
    })
}

fn limits(role: Role, told: LimitsSection) -> Limits {
    let mut base = Limits::default();
    if role == Role::Runner {
        base.max_live_jobs = DEFAULT_EXECUTIONS;
    }
    Limits {
        max_live_jobs: told.max_live_jobs.unwrap_or(base.max_live_jobs),
        max_in_flight: told.max_in_flight.unwrap_or(base.max_in_flight),
        max_waiters: told.max_waiters.unwrap_or(base.max_waiters),
        default_timeout_ms: told.default_timeout.map_or(base.default_timeout_ms, |timeout| timeout.0),
        max_timeout_ms: told.max_timeout.map_or(base.max_timeout_ms, |timeout| timeout.0),
        default_grace_ms: told.default_grace.map_or(base.default_grace_ms, |grace| grace.0),
        max_grace_ms: told.max_grace.map_or(base.max_grace_ms, |grace| grace.0),
        output_head_bytes: told.output_head.map_or(base.output_head_bytes, |bytes| bytes.0),
        output_tail_bytes: told.output_tail.map_or(base.output_tail_bytes, |bytes| bytes.0),
        output_hard_bytes: told.output_hard.map_or(base.output_hard_bytes, |bytes| bytes.0),
        output_inline_bytes: told.output_inline.map_or(base.output_inline_bytes, |bytes| bytes.0),
        artifacts_bytes: told.max_artifacts.map_or(base.artifacts_bytes, |bytes| bytes.0),
        default_job: ResourceLimits {
            memory_bytes: told.default_memory.map(|bytes| bytes.0),
            cpu_millis: told.default_cpus.map(|cpus| cpus.0),
            processes: told.default_processes,
            disk_bytes: told.default_disk.map(|bytes| bytes.0),
            open_files: told.default_open_files,
        },
        max_job: ResourceLimits {
            memory_bytes: told.max_memory.map(|bytes| bytes.0),
            cpu_millis: told.max_cpus.map(|cpus| cpus.0),
            processes: told.max_processes,
            disk_bytes: told.max_disk.map(|bytes| bytes.0),
            open_files: told.max_open_files,
        },
        max_lost: told.max_lost.unwrap_or(base.max_lost),
        default_on_lost: told.default_on_lost.map_or(base.default_on_lost, |policy| policy.0),
        default_on_disconnect: told
            .default_on_disconnect
            .map_or(base.default_on_disconnect, |policy| policy.0),
        retention_age_ms: told.retention_age.map_or(base.retention_age_ms, |age| age.0),
        retention_count: told.retention_count.unwrap_or(base.retention_count),
        retention_bytes: told.retention_bytes.map_or(base.retention_bytes, |bytes| bytes.0),
        idempotency_ttl_ms: told.idempotency_ttl.map_or(base.idempotency_ttl_ms, |ttl| ttl.0),
    }
}

fn refuse_unless(fine: bool, what: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if fine { Ok(()) } else { Err(ConfigError::Together(what())) }
}

fn check_server(server: &ServerSettings) -> Result<(), ConfigError> {
    refuse_unless(!server.bind.is_empty(), || "bind names no address".into())?;
    let slots = server.slots;
    refuse_unless(slots <= MAX_SLOTS, || format!("slots is {slots}: 0 to {MAX_SLOTS} are possible"))?;
    let dialled = server.runner_urls.len();
    refuse_unless(dialled <= MAX_DIALLED, || {
        format!(
            "runner_urls names {dialled} runners: at most {MAX_DIALLED} can be dialled, let the rest join"
        )
    })?;
    let workers = server.workers;
    refuse_unless((1..=MAX_WORKERS).contains(&workers), || {
        format!("workers is {workers}: 1 to {MAX_WORKERS} are possible")
    })?;
    refuse_unless(server.max_connections > 0, || "max_connections must be at least 1".into())?;
    let open = server.bind.iter().find(|address| !address.ip().is_loopback());
    match open {
        Some(address) if server.token_file.is_none() && !server.is_open_on_purpose() => {
            Err(ConfigError::Together(format!(
                "{address} can be reached by others: set --token-file, say --published loopback where this is a container \
                 whose port only its own host reaches, or say --insecure to let anyone run commands here"
            )))
        }
        _ => Ok(()),
    }
}

/// What of TLS could only be ignored.
fn check_tls(tls: &TlsSection, server: &ServerSettings, runner: &RunnerSettings) -> Result<(), ConfigError> {
    refuse_unless(tls.cert.is_some() == tls.key.is_some(), || {
        "a certificate and its key go together: say both --tls-cert and --tls-key, or neither".into()
    })?;
    refuse_unless(tls.client_ca.is_none() || tls.cert.is_some(), || {
        "clients can be asked for a certificate by a server that has one: --tls-client-ca needs --tls-cert and --tls-key"
            .into()
    })?;
    let dials = server.runner_urls.iter().chain(&runner.join).any(|url| speaks_tls(url));
    refuse_unless(tls.peer_ca.is_none() || dials, || {
        "--tls-peer-ca is for nodes that are dialled by https://, and none is named so".into()
    })
}

/// What a runner could only ignore, and what would let it take more than it can answer.
fn check_runner(server: &ServerSettings, limits: &Limits, store: &StoreSection) -> Result<(), ConfigError> {
    let keeps = store.kind.is_some_and(|kind| kind != StoreKind::Memory) || store.durability.is_some();
    refuse_unless(!keeps, || {
        "a runner keeps no jobs: leave `store.kind` and `store.durability` out, also in CALLBOARD_STORE and \
         CALLBOARD_DURABILITY"
            .into()
    })?;
    refuse_unless(server.runner_urls.is_empty(), || {
        "a runner dials no runners: leave `runner_urls` out, also in RUNNER_URL".into()
    })?;
    refuse_unless(server.slots > 0, || "slots is 0: a runner needs at least 1".into())?;
    refuse_unless(server.secret_key_file.is_none(), || {
        "the jobs of a runner have no secret_env: leave `secret_key_file` out, also in CALLBOARD_SECRET_KEY_FILE"
            .into()
    })?;
    refuse_unless(limits.max_live_jobs <= limits.max_waiters, || {
        "max_live_jobs must be at most max_waiters on a runner: each execution has a client that waits".into()
    })
}

fn check_limits(limits: &Limits) -> Result<(), ConfigError> {
    refuse_unless(limits.max_live_jobs > 0, || "max_live_jobs must be at least 1".into())?;
    refuse_unless(limits.max_in_flight > 0, || "max_in_flight must be at least 1".into())?;
    refuse_unless(limits.max_timeout_ms > 0, || "max_timeout must be more than 0".into())?;
    let default_timeout_ms = limits.default_timeout_ms.unwrap_or(limits.max_timeout_ms);
    refuse_unless((1..=limits.max_timeout_ms).contains(&default_timeout_ms), || {
        "default_timeout must be more than 0 and at most max_timeout, or `none`".into()
    })?;
    refuse_unless(limits.default_grace_ms <= limits.max_grace_ms, || {
        "default_grace must be at most max_grace".into()
    })?;
    limits.default_job.check(&limits.max_job).map_err(ConfigError::Together)?;
    refuse_unless(limits.output_inline_bytes <= limits.output_head_bytes, || {
        "output_inline must be at most output_head".into()
    })?;
    let kept = limits.output_head_bytes.saturating_add(limits.output_tail_bytes);
    refuse_unless(kept <= limits.output_hard_bytes, || {
        "output_hard must be at least output_head and output_tail together".into()
    })
}

/// Variables that look like settings and are none. Jobs are given some by the platform, hence no refusal: a node that
/// is started by a job inherits them.
fn strangers(environment: &Environment) -> Vec<String> {
    let known = |name: &str| {
        OTHER_VARIABLES.contains(&name)
            || name.starts_with("CALLBOARD_JOB")
            || FileConfig::variables().any(|variable| variable == name)
    };
    let names = environment.names().filter(|name| name.starts_with("CALLBOARD_") && !known(name));
    names.map(|name| format!("{name} is set but is no setting: see docs/CONFIGURATION.md")).collect()
}

#[cfg(test)]
#[path = "resolve/tests.rs"]
mod tests;
