//! What holds where nobody says otherwise, and what is refused.

use super::*;
use crate::config::{LivenessProfile, Millis};

/// A setting that somebody makes.
type Change = fn(&mut FileConfig);

fn home() -> Environment {
    Environment::of([("HOME", "/home/x"), ("CALLBOARD_SLOT", "1"), ("CALLBOARD_SLOTS", "5")])
}

#[test]
fn flags_cover_variables_and_variables_cover_files() {
    let layer = |slots, workers, grace| {
        let mut layer = FileConfig::default();
        layer.server.slots = slots;
        layer.server.workers = workers;
        layer.limits.default_grace = grace;
        layer
    };
    let flags = layer(Some(9), None, None);
    let environment = Environment::of([("CALLBOARD_SLOTS", "5"), ("CALLBOARD_WORKERS", "6"), ("HOME", "/h")]);
    let variables = FileConfig::from_environment(&environment).unwrap();
    let file = layer(Some(1), Some(2), Some(Millis(3)));
    let config = resolve(Role::Coordinator, flags.or(variables).or(file), &environment).unwrap();
    assert_eq!((config.server.slots, config.server.workers), (9, 6));
    assert_eq!(config.limits.default_grace_ms, 3);
    assert_eq!(config.limits.max_lost, Limits::default().max_lost);
}

#[test]
fn a_variable_that_sets_nothing_is_warned_of_and_a_bad_one_refused() {
    assert_eq!(NodeConfig::defaults(&home()).unwrap().warnings.len(), 1);
    let bad = Environment::of([("CALLBOARD_SLOTS", "many")]);
    let shown = FileConfig::from_environment(&bad).unwrap_err().to_string();
    assert!(shown.starts_with("CALLBOARD_SLOTS: `many`"), "{shown}");
}

#[test]
fn whoever_names_runners_runs_nothing_here_unless_slots_are_named() {
    let variables = [("RUNNER_URL", "http://r:8080/, http://s:8080"), ("HOME", "/h")];
    let load = |role, flags| NodeConfig::load(role, flags, None, &Environment::of(variables));
    let config = load(Role::Coordinator, FileConfig::default()).unwrap();
    assert_eq!(config.server.runner_urls, ["http://r:8080", "http://s:8080"]);
    assert_eq!(config.server.slots, 0);
    let mut flags = FileConfig::default();
    flags.server.slots = Some(2);
    assert_eq!(load(Role::Coordinator, flags).unwrap().server.slots, 2);
    let refused = load(Role::Runner, FileConfig::default()).unwrap_err().to_string();
    assert!(refused.contains("RUNNER_URL"), "{refused}");
    let embedded = NodeConfig::defaults(&Environment::of(variables)).unwrap_err().to_string();
    assert!(embedded.contains("RUNNER_URL") && embedded.contains("unset it"), "{embedded}");
}

#[test]
fn what_runners_are_told_must_fit() {
    let wrong: [(Role, Change); 6] = [
        (Role::Runner, |told| told.server.slots = Some(0)),
        (Role::Coordinator, |told| told.runner.join = "http://c:8000".parse().ok()),
        (Role::Runner, |told| told.runner.name = Some("a b".into())),
        (Role::Runner, |told| told.runner.name = Some("a".repeat(65))),
        (Role::Runner, |told| told.liveness.suspect = Some(Millis(1))),
        (Role::Coordinator, |told| told.liveness.lost = Some(Millis(20_000))),
    ];
    for (role, set) in wrong {
        let mut told = FileConfig::default();
        set(&mut told);
        assert!(resolve(role, told, &home()).is_err());
    }
    let mut told = FileConfig::default();
    told.liveness.profile = Some(LivenessProfile::Wan);
    assert_eq!(resolve(Role::Coordinator, told, &home()).unwrap().timers.heartbeat_ms, 20_000);
}

#[test]
fn an_open_address_needs_a_token_or_an_explicit_word() {
    let open = |set: fn(&mut FileConfig)| {
        let mut told = FileConfig::default();
        told.server.bind = Some(":8000".parse().unwrap());
        set(&mut told);
        resolve(Role::Coordinator, told, &home())
    };
    assert!(open(|_| {}).is_err());
    assert!(open(|told| told.server.insecure = Some(true)).is_ok());
    assert!(open(|told| told.server.token_file = Some("/t".into())).is_ok());
    assert!(open(|told| told.server.published = Some(Published::Loopback)).is_ok());
    assert!(open(|told| told.server.published = Some(Published::Everywhere)).is_err());
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let wrong: [fn(&mut FileConfig); 6] = [
        |told| told.audit.max_bytes = Some(super::super::ByteCount(1)),
        |told| told.audit.keep = Some(1001),
        |told| told.limits.max_timeout = Some(Millis(0)),
        |told| told.limits.max_grace = Some(Millis(1)),
        |told| told.limits.output_head = Some(super::super::ByteCount(1)),
        |told| told.limits.output_hard = Some(super::super::ByteCount(1)),
    ];
    for set in wrong {
        let mut told = FileConfig::default();
        set(&mut told);
        assert!(resolve(Role::Coordinator, told, &home()).is_err());
    }
}

#[test]
fn a_runner_has_defaults_of_its_own_and_refuses_what_it_could_only_ignore() {
    let runner = |set: fn(&mut FileConfig)| {
        let mut told = FileConfig::default();
        set(&mut told);
        resolve(Role::Runner, told, &home())
    };
    let config = runner(|_| {}).unwrap();
    assert_eq!(config.server.bind, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!((config.store.kind, config.limits.max_live_jobs), (StoreKind::Memory, 1024));
    assert!(config.server.data_dir.ends_with("callboard/runner"));
    assert!(runner(|told| told.store.kind = Some(StoreKind::Memory)).is_ok());
    assert!(runner(|told| told.store.kind = Some(StoreKind::Sqlite)).is_err());
    assert!(runner(|told| told.store.durability = Some(Durability::Full)).is_err());
    assert!(runner(|told| told.server.secret_key_file = Some("/k".into())).is_err());
    assert!(runner(|told| told.limits.max_waiters = Some(1)).is_err());
}
