//! Every setting with its value and where that comes from. Values are paths, numbers and words; no secret is among
//! them: settings name the files of secrets, and of a token that a variable holds it is only said that there is one.

use std::path::PathBuf;

use callboard_actors::model::Limits;
use serde_json::{Value, json};

use super::{
    ClientConfig, ConfigError, Environment, FileConfig, JobUser, LogFilter, NodeConfig, Origin, Role, Sourced,
};

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its section of the file; empty for a key outside of all.
    pub section: &'static str,
    /// Its key.
    pub key: &'static str,
    /// Its value; null when it has none.
    pub value: Value,
    /// Where the value comes from.
    pub origin: Origin,
    /// What is said instead where a file would have it; none for what a file takes.
    pub remark: Option<String>,
}

/// The settings of a client.
pub fn of_client(config: &ClientConfig) -> Vec<Setting> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let setting = |key, value, origin: &Origin| {
        let origin = origin.clone();
        Setting { section: "client", key, value, origin, remark: None }
    };
    // Of the token itself, which no file may hold, it is only said whether there is one.
    let token = Setting {
        section: "client",
        key: "token",
        value: json!(config.token.as_ref().map(|_| "set")),
        origin: config.token.as_ref().map_or(Origin::Default, |token| token.origin.clone()),
        remark: config.token.as_ref().map(|_| "token is set".into()),
    };
    let context = match &config.context {
        Some(Sourced { value, origin }) => (json!(value), origin.clone()),
        None => (Value::Null, Origin::Default),
    };
    vec![
        Setting { section: "", key: "current_context", value: context.0, origin: context.1, remark: None },
        setting("server", json!(config.server.value), &config.server.origin),
        token,
        setting("token_file", json!(path(&config.token_file.value)), &config.token_file.origin),
        setting("ca_cert", json!(path(&config.tls.ca_cert.value)), &config.tls.ca_cert.origin),
        setting("client_cert", json!(path(&config.tls.client_cert.value)), &config.tls.client_cert.origin),
        setting("client_key", json!(path(&config.tls.client_key.value)), &config.tls.client_key.origin),
        setting("output", json!(config.output.value.as_str()), &config.output.origin),
        setting("color", json!(config.color.value.as_str()), &config.color.origin),
        setting(
            "request_timeout",
            duration(config.request_timeout_ms.value),
            &config.request_timeout_ms.origin,
        ),
    ]
}

/// The settings of a node, as it would be started now.
///
/// # Errors
/// What would keep it from being started.
pub fn of_node(
    role: Role,
    flags: FileConfig,
    config_file: Option<PathBuf>,
    environment: &Environment,
) -> Result<Vec<Setting>, ConfigError> {
    let layers = NodeConfig::layers(flags, config_file, environment)?;
    let by = |section, key, variable| {
        if layers.flags.has(section, key) {
            // A node's flags are not said here, but for this one.
            return Some(Origin::Flag("--token-file"));
        }
        if layers.variables.has(section, key) {
            return Some(Origin::Variable(variable));
        }
        layers.path.clone().filter(|_| layers.file.has(section, key)).map(|path| Origin::File { path })
    };
    let origins: Vec<_> = FileConfig::keys()
        .map(|(section, key, variable)| (section, key, by(section, key, variable).unwrap_or(Origin::Default)))
        .collect();
    let (of_file, path) = (layers.file.admission.clone(), layers.path.clone());
    let config = layers.resolve(role, environment)?;
    let setting = |(section, key, origin)| Setting {
        section,
        key,
        value: value(&config, section, key).unwrap_or(Value::Null),
        origin,
        remark: None,
    };
    let by_file = |said: bool| path.clone().filter(|_| said).map(|path| Origin::File { path });
    let default = of_file.default.unwrap_or_default().as_str();
    let rules = of_file.rules.len();
    let admission = [
        Setting {
            section: "admission",
            key: "default",
            value: json!(default),
            origin: by_file(of_file.default.is_some()).unwrap_or(Origin::Default),
            remark: None,
        },
        Setting {
            section: "admission",
            key: "rules",
            value: json!(rules),
            origin: by_file(rules > 0).unwrap_or(Origin::Default),
            remark: Some(format!("rules: {rules}")),
        },
    ];
    Ok(origins.into_iter().map(setting).chain(admission).collect())
}

fn shown(path: &Option<PathBuf>) -> Value {
    json!(path.as_ref().map(|path| path.display().to_string()))
}

/// What a setting came to; none for a key that is not written down here.
fn value(config: &NodeConfig, section: &str, key: &str) -> Option<Value> {
    let server = &config.server;
    Some(match (section, key) {
        ("server", "bind") => json!(server.bind.iter().map(ToString::to_string).collect::<Vec<_>>()),
        ("server", "data_dir") => json!(server.data_dir.display().to_string()),
        ("server", "slots") => json!(server.slots),
        ("server", "token_file") => shown(&server.token_file),
        ("server", "secret_key_file") => shown(&server.secret_key_file),
        ("server", "insecure") => json!(server.insecure),
        ("server", "published") => json!(server.published.as_str()),
        ("server", "allowed_hosts") => json!(server.allowed_hosts),
        ("server", "workers") => json!(server.workers),
        ("server", "max_connections") => json!(server.max_connections),
        ("server", "shutdown_grace") => duration(server.shutdown_grace_ms),
        ("server", "runner_urls") => json!(server.runner_urls),
        ("server", "runner_token_file") => shown(&server.runner_token_file),
        ("tls", "cert") => shown(&config.tls.cert),
        ("tls", "key") => shown(&config.tls.key),
        ("tls", "client_ca") => shown(&config.tls.client_ca),
        ("tls", "peer_ca") => shown(&config.tls.peer_ca),
        ("store", "kind") => json!(config.store.kind.as_str()),
        ("store", "durability") => json!(config.store.durability.as_str()),
        ("runner", "user") => json!(config.runner.user.as_ref().map(user)),
        ("runner", "default_cwd") => shown(&config.runner.default_cwd),
        ("runner", "isolation") => json!(config.runner.isolation.as_str()),
        ("runner", "min_isolation") => json!(config.runner.min_isolation.as_str()),
        ("runner", "allow_host_network") => json!(config.runner.allow_host_network),
        ("runner", "isolation_check") => duration(config.runner.isolation_check_ms),
        ("runner", "allow_mounts") => {
            let words = |allowed: &Vec<_>| allowed.iter().map(ToString::to_string).collect::<Vec<_>>();
            json!(config.runner.allow_mounts.as_ref().map(words))
        }
        ("runner", "hold_jobs") => config.runner.hold_jobs_ms.map_or(Value::Null, duration),
        ("runner", "name") => json!(config.runner.name),
        ("runner", "labels") => {
            let pairs = config.runner.labels.iter().map(|(key, value)| format!("{key}={value}"));
            json!(pairs.collect::<Vec<_>>())
        }
        ("runner", "join") => json!(config.runner.join),
        ("runner", "join_token_file") => shown(&config.runner.join_token_file),
        ("scheduler", "placement") => json!(config.placement.as_str()),
        ("log", "format") => json!(config.log.format.as_str()),
        ("log", "level") => json!(levels(&config.log.level)),
        ("auth", "failures_per_minute") => json!(config.auth_failures_per_minute),
        ("liveness", "profile") => json!(config.liveness_profile.as_str()),
        ("liveness", "heartbeat") => duration(config.timers.heartbeat_ms),
        ("liveness", "suspect") => duration(config.timers.suspect_ms),
        ("liveness", "unreachable") => duration(config.timers.unreachable_ms),
        ("liveness", "fence") => duration(config.timers.fence_ms),
        ("liveness", "fence_grace") => duration(config.timers.fence_grace_ms),
        ("liveness", "fenced_lost") => duration(config.timers.fenced_lost_ms),
        ("liveness", "recovery") => duration(config.timers.recovery_ms),
        ("liveness", "lost") => duration(config.timers.lost_ms),
        ("audit", "enabled") => json!(config.audit.enabled),
        ("audit", "max_bytes") => size(config.audit.max_bytes),
        ("audit", "keep") => json!(config.audit.keep),
        ("limits", _) => return limit(&config.limits, key),
        _ => return None,
    })
}

fn limit(limits: &Limits, key: &str) -> Option<Value> {
    Some(match key {
        "max_live_jobs" => json!(limits.max_live_jobs),
        "max_in_flight" => json!(limits.max_in_flight),
        "max_waiters" => json!(limits.max_waiters),
        "default_timeout" => limits.default_timeout_ms.map_or_else(|| json!("none"), duration),
        "max_timeout" => duration(limits.max_timeout_ms),
        "default_grace" => duration(limits.default_grace_ms),
        "max_grace" => duration(limits.max_grace_ms),
        "output_head" => size(limits.output_head_bytes),
        "output_tail" => size(limits.output_tail_bytes),
        "output_hard" => size(limits.output_hard_bytes),
        "output_inline" => size(limits.output_inline_bytes),
        "max_artifacts" => size(limits.artifacts_bytes),
        "default_memory" => json!(limits.default_job.memory_bytes.map(size)),
        "max_memory" => json!(limits.max_job.memory_bytes.map(size)),
        "default_cpus" => json!(limits.default_job.cpu_millis.map(cpus)),
        "max_cpus" => json!(limits.max_job.cpu_millis.map(cpus)),
        "default_processes" => json!(limits.default_job.processes),
        "max_processes" => json!(limits.max_job.processes),
        "default_disk" => json!(limits.default_job.disk_bytes.map(size)),
        "max_disk" => json!(limits.max_job.disk_bytes.map(size)),
        "default_open_files" => json!(limits.default_job.open_files),
        "max_open_files" => json!(limits.max_job.open_files),
        "max_lost" => json!(limits.max_lost),
        "default_on_lost" => json!(limits.default_on_lost.as_str()),
        "default_on_disconnect" => json!(limits.default_on_disconnect.as_str()),
        "retention_age" => duration(limits.retention_age_ms),
        "retention_count" => json!(limits.retention_count),
        "retention_bytes" => size(limits.retention_bytes),
        "idempotency_ttl" => duration(limits.idempotency_ttl_ms),
        _ => return None,
    })
}

/// As it would be written in a file, exactly.
fn duration(ms: u64) -> Value {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let unit = units.iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    json!(unit.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit)))
}

fn cpus(millis: u32) -> f64 {
    f64::from(millis) / 1000.0
}

/// As it would be written in a file, exactly.
fn size(bytes: u64) -> Value {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| json!(bytes), |(unit, name)| json!(format!("{}{name}", bytes / unit)))
}

fn user(user: &JobUser) -> String {
    match user {
        JobUser::Name(name) => name.clone(),
        JobUser::Ids { uid, gid: None } => uid.to_string(),
        JobUser::Ids { uid, gid: Some(gid) } => format!("{uid}:{gid}"),
    }
}

fn levels(filter: &LogFilter) -> String {
    let one = |(target, level): &(Option<String>, log::LevelFilter)| {
        let level = level.as_str().to_lowercase();
        target.as_ref().map_or_else(|| level.clone(), |target| format!("{target}={level}"))
    };
    filter.0.iter().map(one).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_a_node_has_a_value_that_a_file_would_take() {
        let environment = Environment::of([("HOME", "/home/x"), ("CALLBOARD_USER", "5:6")]);
        let shown = of_node(Role::Coordinator, FileConfig::default(), None, &environment).unwrap();
        // Admission has no variables.
        assert_eq!(shown.len(), FileConfig::keys().count() + 2);
        let config = NodeConfig::load(Role::Coordinator, FileConfig::default(), None, &environment).unwrap();
        let mut file = String::new();
        for Setting { section, key, value: shown, remark, .. } in &shown {
            let known = *section == "admission" || value(&config, section, key).is_some();
            assert!(known, "{section}.{key} is not shown: add it to `value`");
            if !shown.is_null() && remark.is_none() {
                file += &format!("{section}.{key} = {shown}\n");
            }
        }
        let told = super::super::parse_file(&file, "shown").unwrap();
        let again = NodeConfig::load(Role::Coordinator, told, None, &Environment::of([("HOME", "/home/x")]));
        assert_eq!(again.unwrap(), config);
    }
}
