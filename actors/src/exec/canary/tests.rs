//! What the canary's words and the kernel's counts are worth. No job is run.

use super::*;
use crate::model::{Captured, Enforcer, Exit, LimitReport, Resource, Usage};

const ALL: &str = "CapEff: 0000000000000000\nCapBnd: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n\
    Seccomp_filters: 99\nuser:[1]\npid:[2]\nmnt:[3]\nnet:[4]\nipc:[5]\nuts:[6]\ncgroup:[7]\nprocesses: 2\n\
    first: hidden\nsys: hidden\nsecret: hidden\nusr: closed\ncomm: closed\ntold: all\n";

pub(super) fn report(text: &str, oom_kills: u32, process_denials: u32) -> Report {
    let limit = |resource| LimitReport { resource, limit: 1, enforced_by: Some(Enforcer::CgroupV2) };
    Report {
        attempt: AttemptId::new(clock::new_job_id(), Epoch(0)),
        end: AttemptEnd::Exited(Exit::Code(0)),
        usage: Usage { oom_kills, process_denials, ..Usage::default() },
        stdout: Captured { inline: Some(text.into()), ..Captured::default() },
        stderr: Captured::default(),
        started_ms_ago: Some(1),
        confinement: Confinement::Room,
        host_network: false,
        steps: Default::default(),
        artifacts: Default::default(),
        throttles: 1,
        limits: [Resource::Memory, Resource::Cpu, Resource::Processes].map(limit).into(),
    }
}

const ALL_CONTROLS: Controls = Controls { memory: true, pids: true, cpu: true };

fn judged(text: &str) -> RoomFacts {
    judge(Ok(report(text, 1, 1)), &HostFacts::default(), ALL_CONTROLS)
}

#[test]
fn a_room_that_holds_is_a_full_one() {
    let facts = judged(ALL);
    assert_eq!(facts.tier, Tier::Full, "{facts:?}");
    let weak = judge(Ok(report(ALL, 0, 1)), &HostFacts::default(), ALL_CONTROLS);
    assert_eq!((weak.tier, weak.missing()), (Tier::Partial, vec!["cgroup.memory".to_owned()]));
}

#[test]
fn each_answer_that_is_wrong_costs_its_layer_and_no_other() {
    let own = |kind: &str| own_namespace(kind).unwrap();
    for (right, wrong, layer) in [
        ("CapEff: 0000000000000000", "CapEff: 0000000000000001".to_owned(), "rights"),
        ("CapBnd: 0000000000000000", "CapBnd: 000001ffffffffff".to_owned(), "rights"),
        ("NoNewPrivs: 1", "NoNewPrivs: 0".to_owned(), "no_new_privs"),
        ("Seccomp: 2", "Seccomp: 0".to_owned(), "seccomp"),
        ("Seccomp_filters: 99", "Seccomp_filters: 0".to_owned(), "seccomp"),
        ("user:[1]", own("user"), "userns"),
        ("pid:[2]", own("pid"), "pidns"),
        ("mnt:[3]", own("mnt"), "mountns"),
        ("net:[4]", own("net"), "netns"),
        ("ipc:[5]", own("ipc"), "ipcns"),
        ("uts:[6]", own("uts"), "utsns"),
        ("cgroup:[7]", own("cgroup"), "cgroupns"),
        ("processes: 2", "processes: 80".to_owned(), "proc"),
        ("first: hidden", "first: seen".to_owned(), "proc"),
        ("sys: hidden", "sys: seen".to_owned(), "root"),
        ("secret: hidden", "secret: seen".to_owned(), "root"),
        ("usr: closed", "usr: written".to_owned(), "root"),
    ] {
        let facts = judged(&ALL.replace(right, &wrong));
        assert_eq!((facts.tier, facts.missing()), (Tier::None, vec![layer.to_owned()]), "{wrong}");
    }
}

#[test]
fn a_canary_that_did_not_finish_proves_nothing() {
    for text in ["", "told: al", &ALL.replace("told: all\n", "")] {
        assert_eq!(judged(text).tier, Tier::None, "{text}");
    }
    let stuck = judge(Err("its keeper cannot be spoken to".into()), &HostFacts::default(), ALL_CONTROLS);
    assert_eq!(stuck.tier, Tier::None);
    assert!(stuck.degraded_because[0].contains("keeper"));
}

fn layer(facts: &RoomFacts, name: &str) -> (LayerState, String) {
    let layer = facts.layers.iter().find(|layer| layer.name == name).unwrap();
    (layer.state, layer.why.clone())
}

#[test]
fn a_limit_of_cpu_time_is_one_when_the_kernel_has_held_the_canary_back() {
    let judged = |throttles, cpu_user_us| {
        let usage =
            Usage { wall_us: 200_000, cpu_user_us, oom_kills: 1, process_denials: 1, ..Usage::default() };
        let facts =
            judge(Ok(Report { throttles, usage, ..report(ALL, 1, 1) }), &HostFacts::default(), ALL_CONTROLS);
        layer(&facts, "cgroup.cpu").0
    };
    assert_eq!(judged(1, 80_000), LayerState::Enforced);
    assert_eq!(judged(0, 150_000), LayerState::Unavailable, "it used more than it may, and nobody minded");
    assert_eq!(judged(0, 50_000), LayerState::Unverified, "it never had that much");
}

#[test]
fn a_canary_that_ran_out_of_time_has_not_got_past_the_limit_that_it_would_have_tried_last() {
    let end = AttemptEnd::Timeout { limit_ms: 1, exit: Exit::Signal { number: 9, core_dumped: false } };
    let slow = judge(Ok(Report { end, ..report(ALL, 0, 1) }), &HostFacts::default(), ALL_CONTROLS);
    assert_eq!((slow.tier, layer(&slow, "cgroup.memory").0), (Tier::Full, LayerState::Unverified));
    let quick = judge(Ok(report(ALL, 0, 1)), &HostFacts::default(), ALL_CONTROLS);
    assert_eq!(layer(&quick, "cgroup.memory").0, LayerState::Unavailable);
}

#[test]
fn without_rooms_groups_that_do_their_work_are_not_told_to_be_missing() {
    let failed = |controls| judge(Err("no rooms".into()), &HostFacts::default(), controls);
    let facts = failed(ALL_CONTROLS);
    assert_eq!(facts.tier, Tier::None);
    assert!(!OF_FULL.into_iter().any(|name| facts.lacks(name)), "{facts:?}");
    let facts = failed(Controls { cpu: false, ..ALL_CONTROLS });
    assert!(facts.lacks("cgroup.cpu") && !facts.lacks("cgroup.memory"), "{facts:?}");
    assert_eq!(layer(&facts, "cgroup.cpu").1, NO_GROUP);
}

#[test]
fn why_a_limit_did_not_hold_is_told() {
    let facts = judge(Ok(report(ALL, 0, 1)), &HostFacts::default(), ALL_CONTROLS);
    assert!(facts.degraded_because[0].starts_with("cgroup.memory: the canary got past it"), "{facts:?}");
    let mut ungrouped = report(ALL, 0, 0);
    ungrouped.limits.clear();
    let facts = judge(Ok(ungrouped), &HostFacts::default(), Controls::default());
    assert_eq!(
        (facts.tier, facts.degraded_because),
        (Tier::Partial, vec![]),
        "whoever looked for groups says it"
    );
}

#[test]
fn landlock_that_is_not_there_is_told_with_its_reason() {
    let host =
        HostFacts { no_landlock: Some(NoLandlock::SwitchedOff(String::new())), ..HostFacts::default() };
    let facts = judge(Ok(report(ALL, 1, 1)), &host, ALL_CONTROLS);
    assert_eq!(facts.tier, Tier::Full);
    let (state, why) = layer(&facts, "landlock");
    assert!(state == LayerState::Unavailable && why.contains("booted without it"), "{why}");
}

#[test]
fn each_obstacle_has_its_own_line_that_helps() {
    let obstacle = |why: &str, fix: Option<&str>| Obstacle { why: why.into(), fix: fix.map(str::to_owned) };
    let host = HostFacts {
        uid: 1000,
        no_landlock: Some(NoLandlock::SwitchedOff("yama".into())),
        ..HostFacts::default()
    };
    let obstacles = [obstacle("a", Some("do this")), obstacle("b", None), obstacle("c", None)];
    let mut ungrouped = report(ALL, 0, 0);
    ungrouped.limits.clear();
    let mut facts = judge(Ok(ungrouped), &host, Controls::default());
    add_fixes(&mut facts, &obstacles, &host);
    let scope = "systemd-run --user --scope -p Delegate=yes callboard serve";
    assert_eq!(facts.fixes, ["do this", scope, "lsm=landlock,yama on the kernel's command line"]);
    let mut full = judge(Ok(report(ALL, 1, 1)), &HostFacts::default(), ALL_CONTROLS);
    add_fixes(&mut full, &obstacles, &HostFacts::default());
    assert_eq!(full.fixes, [""; 0], "nothing is missing");
}
