//! The node's half: what it starts, what it refuses, and what it tells until it is answered.

use super::*;

pub(super) fn command(cmd_no: u64, assign: &[AttemptId], cancel: &[AttemptId]) -> Command {
    Command {
        proto: PROTO,
        cluster: cluster(),
        term: Term(1),
        incarnation: LIFE,
        cmd_no,
        assign: assign.iter().map(|attempt| assignment(*attempt)).collect(),
        cancel: cancel.iter().map(|attempt| CancelOrder { attempt: *attempt, grace_ms: 0 }).collect(),
        retract: Vec::new(),
        draining: None,
        answered_n: 0,
    }
}

/// Acts on a command and says which attempts are to be started, and which to be killed.
pub(super) fn obey(node: &mut NodeLink, command: Command) -> (Vec<AttemptId>, Vec<AttemptId>) {
    sorted(node.on_command(0, command).expect("it is of this life"))
}

pub(super) fn sorted(effects: Vec<NodeEffect>) -> (Vec<AttemptId>, Vec<AttemptId>) {
    let (mut start, mut kill) = (Vec::new(), Vec::new());
    for effect in effects {
        match effect {
            NodeEffect::Start(assignment) => start.push(assignment.attempt),
            NodeEffect::Kill { attempt, .. } => kill.push(attempt),
            NodeEffect::Forget(_) => {}
        }
    }
    (start, kill)
}

pub(super) fn returned(report: &Report) -> Vec<AttemptId> {
    report.returned.iter().map(|note| note.attempt).collect()
}

fn reply(n: u64, verdicts: &[(AttemptId, Verdict)]) -> ReportReply {
    ReportReply { n, verdicts: verdicts.to_vec(), want_full_inventory: false }
}

#[test]
fn what_was_given_back_never_starts_here() {
    let mut node = node(1);
    let (busy, late) = (attempt(1, 1), attempt(2, 1));
    assert_eq!(obey(&mut node, command(1, &[busy, late], &[])), (vec![busy], vec![]));
    node.on_started(0, busy);
    node.on_finished(0, result(busy));
    assert_eq!(
        obey(&mut node, command(2, &[late], &[])),
        (vec![], vec![]),
        "there is room now, but it is too late"
    );
    assert_eq!(returned(&node.report(0)), [late, late]);
}

#[test]
fn what_was_given_back_is_told_until_it_is_answered() {
    let mut node = node(0);
    let refused = attempt(1, 1);
    obey(&mut node, command(1, &[refused], &[]));
    assert_eq!(returned(&node.report(0)), [refused]);
    node.on_report_failed();
    assert!(node.has_news());
    let again = node.report(0);
    assert_eq!(returned(&again), [refused]);
    node.on_reply(&reply(again.n, &[]));
    node.on_report_failed();
    assert_eq!(returned(&node.report(0)), []);
}

#[test]
fn a_later_attempt_waits_until_the_earlier_one_is_dead_and_starts_once() {
    let mut node = node(3);
    let (old, new) = (attempt(1, 1), attempt(1, 2));
    obey(&mut node, command(1, &[old], &[]));
    node.on_started(0, old);
    assert_eq!(obey(&mut node, command(2, &[new], &[])), (vec![], vec![old]));
    assert_eq!(obey(&mut node, command(3, &[new], &[])), (vec![], vec![]), "a repetition changes nothing");
    assert_eq!(returned(&node.report(0)), []);
    assert_eq!(sorted(node.on_finished(0, result(old))), (vec![new], vec![]));
    assert_eq!(sorted(node.on_finished(0, result(new))), (vec![], vec![]));
}

#[test]
fn a_repetition_of_what_waits_is_not_refused_for_want_of_a_slot() {
    let mut node = node(2);
    let (old, new) = (attempt(1, 1), attempt(1, 2));
    obey(&mut node, command(1, &[old], &[]));
    obey(&mut node, command(2, &[new], &[]));
    obey(&mut node, command(3, &[new], &[]));
    assert_eq!(returned(&node.report(0)), []);
}

#[test]
fn an_even_later_attempt_takes_the_place_of_the_one_that_waits() {
    let mut node = node(4);
    let (old, second, third) = (attempt(1, 1), attempt(1, 2), attempt(1, 3));
    obey(&mut node, command(1, &[old], &[]));
    obey(&mut node, command(2, &[second], &[]));
    assert_eq!(obey(&mut node, command(3, &[third], &[])), (vec![], vec![old]));
    assert_eq!(returned(&node.report(0)), [second]);
    assert_eq!(sorted(node.on_finished(0, result(old))), (vec![third], vec![]));
}

#[test]
fn an_attempt_waits_for_the_living_even_when_another_that_waited_was_cancelled() {
    let mut node = node(4);
    let (old, second, third) = (attempt(1, 1), attempt(1, 2), attempt(1, 3));
    obey(&mut node, command(1, &[old], &[]));
    obey(&mut node, command(2, &[second], &[]));
    obey(&mut node, command(3, &[], &[second]));
    assert_eq!(obey(&mut node, command(4, &[third], &[])), (vec![], vec![old]));
}

#[test]
fn an_attempt_that_waits_starts_when_the_earlier_one_could_not() {
    let mut node = node(2);
    let (old, new) = (attempt(1, 1), attempt(1, 2));
    obey(&mut node, command(1, &[old], &[]));
    obey(&mut node, command(2, &[new], &[]));
    let effects = node.on_not_started(old, "no keeper was free".into());
    assert_eq!(sorted(effects), (vec![new], vec![]));
}

#[test]
fn a_result_without_a_verdict_is_told_again_but_is_no_news() {
    let mut node = node(1);
    let done = attempt(1, 1);
    obey(&mut node, command(1, &[done], &[]));
    node.on_finished(0, result(done));
    let first = node.report(0);
    assert_eq!(first.finished.len(), 1);
    node.on_reply(&reply(first.n, &[]));
    assert!(!node.has_news(), "its record is under way: no hurry");
    let second = node.report(0);
    assert_eq!(second.finished.len(), 1);
    node.on_reply(&reply(second.n, &[(done, Verdict::AlreadyRecorded)]));
    assert!(node.is_empty());
}

#[test]
fn a_judged_attempt_does_not_start_again() {
    let mut node = node(1);
    let done = attempt(1, 1);
    obey(&mut node, command(1, &[done], &[]));
    node.on_finished(0, result(done));
    let told = node.report(0);
    node.on_reply(&reply(told.n, &[(done, Verdict::Recorded)]));
    assert_eq!(obey(&mut node, command(2, &[done], &[])), (vec![], vec![]));
    assert_eq!(returned(&node.report(0)), []);
}

#[test]
fn a_node_that_registers_again_brings_along_what_it_holds() {
    let mut node = node(3);
    let (running, done, refused) = (attempt(1, 1), attempt(2, 1), attempt(3, 1));
    obey(&mut node, command(1, &[running, done], &[refused]));
    node.on_started(0, running);
    node.on_finished(0, result(done));
    obey(&mut node, command(2, &[refused], &[]));
    node.report(0);
    node.rejoin(Incarnation(2), Term(2));
    assert_eq!(node.on_command(0, command(3, &[], &[])), Err(CommandRefusal::OtherIncarnation));
    let report = node.report(5);
    assert_eq!((report.n, report.cmd_seen, report.incarnation), (1, 0, Incarnation(2)));
    assert_eq!(returned(&report), [refused]);
    assert_eq!(report.finished.len(), 1);
    let held = [
        Held { attempt: running, phase: HeldPhase::Running { started_ms_ago: 5 } },
        Held { attempt: done, phase: HeldPhase::Done },
    ];
    assert_eq!(report.inventory, Inventory::Full(held.into()));
}

#[test]
fn results_of_an_earlier_life_are_told_first_thing() {
    let mut node = node(1).with_results(0, [result(attempt(1, 1))]);
    let report = node.report(0);
    assert_eq!(report.finished.len(), 1);
    let held = Held { attempt: attempt(1, 1), phase: HeldPhase::Done };
    assert_eq!(report.inventory, Inventory::Full(vec![held]));
}
