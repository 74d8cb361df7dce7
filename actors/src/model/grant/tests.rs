use super::*;
use crate::model::isolation::layer_names;
use crate::model::{Layer, LayerState};

fn facts(gone: &[&str]) -> RoomFacts {
    let state = |name| match gone.contains(&name) {
        true => LayerState::Unavailable,
        false => LayerState::Enforced,
    };
    let layers: Vec<_> =
        layer_names().map(|name| Layer { name, state: state(name), why: String::new() }).collect();
    let fixes = if gone.is_empty() { Vec::new() } else { vec!["mend it".into()] };
    RoomFacts {
        tier: RoomFacts::tier_of(&layers),
        layers,
        verified_at_ms: Some(1),
        fixes,
        ..RoomFacts::default()
    }
}

fn policy() -> RoomPolicy {
    RoomPolicy { allow_host_network: true, ..RoomPolicy::default() }
}

fn job(isolation: Isolation, demands: Demands) -> JobSpec {
    JobSpec { isolation, demands, ..JobSpec::shell("true") }
}

fn missing(refused: Result<Grant, IsolationRefusal>) -> (&'static str, Vec<String>) {
    let refusal = refused.expect_err("it is refused");
    assert!(matches!(refusal.cause, RefusalCause::Lacking { .. }), "{refusal:?}");
    (refusal.pointer, refusal.missing().to_vec())
}

fn setting(refused: Result<Grant, IsolationRefusal>) -> (&'static str, &'static str) {
    let refusal = refused.expect_err("it is refused");
    match refusal.cause {
        RefusalCause::Forbidden { setting } => {
            assert!(refusal.detail.contains(setting), "{}", refusal.detail);
            (refusal.pointer, setting)
        }
        RefusalCause::Lacking { .. } => panic!("{refusal:?}"),
    }
}

#[test]
fn the_layers_that_are_not_there_are_named_once() {
    let host = Demands { network: Network::Host, ..Demands::default() };
    let full = Demands { min_tier: Some(Tier::Full), ..Demands::default() };
    let both = Demands { require: vec!["cgroup.cpu".into(), "landlock".into()], ..full.clone() };
    let no_groups = facts(&["cgroup.cpu", "landlock"]);
    let of = |spec: JobSpec, facts: &RoomFacts| missing(grant(&spec, &policy(), facts));
    assert_eq!(
        of(job(Isolation::Sandbox, both), &no_groups),
        ("/isolation/min_tier", vec!["cgroup.cpu".into(), "landlock".into()])
    );
    let landlock = Demands { require: vec!["landlock".into()], ..Demands::default() };
    assert_eq!(
        of(job(Isolation::Auto, landlock), &no_groups),
        ("/isolation/require", vec!["landlock".into()])
    );
    assert_eq!(
        of(job(Isolation::Sandbox, Demands::default()), &facts(&["seccomp", "landlock"])),
        ("/isolation", vec!["seccomp".into()])
    );
    let shared = Demands { min_tier: Some(Tier::Full), ..host };
    let refused = grant(&job(Isolation::Sandbox, shared), &policy(), &facts(&[])).expect_err("it shares");
    assert_eq!(refused.missing(), ["netns"]);
    assert!(refused.detail.contains("do without the host's network"), "{refused}");
    let plain = RoomPolicy { default_isolation: Isolation::None, ..policy() };
    let refused = grant(&job(Isolation::Auto, full), &plain, &facts(&[])).expect_err("it is plain");
    assert!(refused.detail.contains("ask for isolation `sandbox`"), "{refused}");
}

#[test]
fn what_a_node_could_and_may_not_is_a_matter_of_a_setting() {
    let host = || Demands { network: Network::Host, ..Demands::default() };
    let closed = RoomPolicy { allow_host_network: false, ..policy() };
    let shared = job(Isolation::Sandbox, host());
    assert_eq!(
        setting(grant(&shared, &closed, &facts(&[]))),
        ("/isolation/network", "runner.allow_host_network")
    );
    let strict = RoomPolicy { min_isolation: Tier::Full, ..policy() };
    let plain = job(Isolation::None, Demands::default());
    for known in [facts(&[]), facts(&["userns"])] {
        assert_eq!(setting(grant(&plain, &strict, &known)), ("/isolation", "runner.min_isolation"));
    }
    assert_eq!(setting(grant(&shared, &strict, &facts(&[]))), ("/isolation/network", "runner.min_isolation"));
    // No other job would fare better here.
    let any = job(Isolation::Auto, Demands::default());
    assert_eq!(
        missing(grant(&any, &strict, &facts(&["cgroup.pids"]))),
        ("/isolation", vec!["cgroup.pids".into()])
    );
}

#[test]
fn a_job_gets_what_it_asks_for_where_that_is_there() {
    let full = Demands { min_tier: Some(Tier::Full), require: vec!["netns".into()], ..Demands::default() };
    let in_room = Ok(Grant { confinement: Confinement::Room, host_network: false });
    assert_eq!(grant(&job(Isolation::Sandbox, full), &policy(), &facts(&[])), in_room);
    assert_eq!(grant(&job(Isolation::Auto, Demands::default()), &policy(), &facts(&[])), in_room);
    let optional = Demands { is_optional: true, ..Demands::default() };
    let plain = Ok(Grant { confinement: Confinement::Plain, host_network: false });
    assert_eq!(grant(&job(Isolation::Sandbox, optional), &policy(), &facts(&["userns"])), plain);
}

#[test]
fn where_no_room_can_be_made_a_job_has_what_there_is_unless_it_asks_for_one() {
    let gone =
        ["userns", "pidns", "mountns", "netns", "ipcns", "utsns", "cgroupns", "root", "proc", "cgroup.cpu"];
    let lite = RoomFacts { tier: Tier::Lite, ..facts(&gone) };
    let given = |isolation, demands| grant(&job(isolation, demands), &policy(), &lite);
    let confined = |host_network| Ok(Grant { confinement: Confinement::Lite, host_network });
    let at_least = |tier| Demands { min_tier: Some(tier), ..Demands::default() };
    assert_eq!(given(Isolation::Auto, at_least(Tier::Lite)), confined(false));
    assert_eq!(
        given(Isolation::Auto, Demands { network: Network::Host, ..Demands::default() }),
        confined(true)
    );
    assert_eq!(
        given(Isolation::Sandbox, Demands { is_optional: true, ..Demands::default() }),
        confined(false)
    );
    let require = |name: &str| Demands { require: vec![name.into()], ..Demands::default() };
    assert_eq!(given(Isolation::Auto, require("seccomp")), confined(false));
    assert_eq!(
        missing(given(Isolation::Auto, require("netns"))),
        ("/isolation/require", vec!["netns".into()])
    );
    assert_eq!(missing(given(Isolation::Sandbox, Demands::default())).0, "/isolation");
    assert_eq!(missing(given(Isolation::Auto, at_least(Tier::Partial))).1, gone[..9]);
    // A node that must not run less than that runs it, and no plain process.
    let strict = RoomPolicy { min_isolation: Tier::Lite, ..policy() };
    assert_eq!(grant(&job(Isolation::Auto, Demands::default()), &strict, &lite), confined(false));
    let plain = job(Isolation::None, Demands::default());
    assert_eq!(setting(grant(&plain, &strict, &lite)), ("/isolation", "runner.min_isolation"));
    let nothing = facts(&["userns", "landlock"]);
    let refused = grant(&job(Isolation::Auto, Demands::default()), &strict, &nothing);
    assert_eq!(missing(refused), ("/isolation", vec!["landlock".into()]));
}

#[test]
fn of_what_was_never_tried_nothing_is_claimed() {
    let board = RoomBoard::new(policy());
    let demanding = job(Isolation::Sandbox, Demands { min_tier: Some(Tier::Full), ..Demands::default() });
    assert_eq!((board.judge(&demanding), board.usual_tier()), (Ok(()), None));
    assert!(board.grant(&demanding).is_err(), "the node itself has the last word");
    board.write(facts(&["cgroup.cpu"]));
    assert!(board.judge(&demanding).is_err());
    assert_eq!(board.usual_tier(), Some(Tier::Partial));
}
