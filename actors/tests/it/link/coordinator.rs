//! The coordinator's half: what reports prove and what they do not.

use super::*;

fn link(believed: &[AttemptId]) -> CoordinatorLink {
    CoordinatorLink::new(cluster(), node_id(), LIFE, Term(1), believed.iter().copied())
}

fn leased(attempt: AttemptId) -> JobFact {
    JobFact::Leased { epoch: attempt.epoch, node: node_id(), incarnation: LIFE, started: false }
}

/// An empty first report, to be changed.
fn report(n: u64, cmd_seen: u64, inventory: Inventory) -> Report {
    Report { n, cmd_seen, inventory, ..node(2).report(0) }
}

#[test]
fn a_waiting_job_that_starts_after_all_is_taken_back() {
    let mut link = link(&[]);
    let late = attempt(1, 1);
    let taken = Inventory::Full(vec![Held { attempt: late, phase: HeldPhase::Taken }]);
    let (effects, _) =
        link.on_report(report(1, 0, taken), |_| JobFact::Waiting(late.epoch)).expect("of this life");
    assert_eq!(
        effects,
        [LinkEffect::Capacity { usable_slots: 2 }],
        "not started: others may still be given the job"
    );
    assert!(!link.holds(late));
    let started = StartedNote { attempt: late, started_ms_ago: 3 };
    let next = Report { started: vec![started], ..report(2, 0, Inventory::Full(Vec::new())) };
    let (effects, _) = link.on_report(next, |_| JobFact::Waiting(late.epoch)).expect("of this life");
    assert_eq!(effects.first(), Some(&LinkEffect::Reattach { attempt: late, started_ms_ago: 3 }));
}

#[test]
fn what_another_node_holds_is_none_of_its_business() {
    let mut link = link(&[]);
    let foreign = attempt(1, 1);
    let elsewhere = |_| JobFact::Leased {
        epoch: foreign.epoch,
        node: NodeId::from_bytes([9; 16]),
        incarnation: LIFE,
        started: true,
    };
    let started = StartedNote { attempt: foreign, started_ms_ago: 3 };
    let returned = vec![callboard_actors::link::ReturnedNote { attempt: foreign, why: "no".into() }];
    let running = Held { attempt: foreign, phase: HeldPhase::Running { started_ms_ago: 3 } };
    let forged = Report {
        started: vec![started],
        finished: vec![result(foreign)],
        returned,
        ..report(1, 0, Inventory::Full(vec![running]))
    };
    let (effects, _) = link.on_report(forged, elsewhere).expect("of this life");
    let judged = LinkEffect::Judge { result: Box::new(result(foreign)), verdict: Verdict::Unknown };
    assert_eq!(
        effects,
        [judged, LinkEffect::KillStale(foreign), LinkEffect::Capacity { usable_slots: 2 }],
        "it neither starts, ends, gives back nor takes over what it was not given"
    );
}

#[test]
fn doubt_asks_for_an_inventory_even_while_a_command_is_under_way() {
    let mut link = link(&[]);
    let given = attempt(1, 1);
    let empty = || Inventory::Full(Vec::new());
    link.on_report(report(1, 0, empty()), |_| JobFact::NotLive).expect("of this life");
    link.assign(vec![assignment(given)]);
    let digest = || Inventory::Digest(Default::default());
    let (_, want) = link.on_report(report(2, 0, digest()), |_| leased(given)).expect("of this life");
    assert!(!want, "the command may still arrive");
    link.distrust();
    assert!(!link.is_ready());
    let (_, want) = link.on_report(report(3, 0, digest()), |_| leased(given)).expect("of this life");
    assert!(want);
    let (effects, _) = link.on_report(report(4, 0, empty()), |_| leased(given)).expect("of this life");
    assert!(effects.contains(&LinkEffect::Resend(given)));
    assert!(link.is_ready());
}

#[test]
fn absence_proves_a_loss_only_after_the_command_was_acted_on() {
    let mut link = link(&[]);
    let given = attempt(1, 1);
    link.assign(vec![assignment(given)]);
    let seen = |cmd_seen| report(cmd_seen + 1, cmd_seen, Inventory::Full(Vec::new()));
    let (effects, _) = link.on_report(seen(0), |_| leased(given)).expect("of this life");
    assert!(effects.contains(&LinkEffect::Resend(given)));
    let (effects, _) = link.on_report(seen(1), |_| leased(given)).expect("of this life");
    assert!(
        effects.iter().any(|effect| matches!(effect, LinkEffect::Lost { attempt, .. } if *attempt == given))
    );
}

#[test]
fn an_overtaken_report_is_believed_only_about_results() {
    let mut link = link(&[attempt(1, 1)]);
    let running = Held { attempt: attempt(1, 1), phase: HeldPhase::Running { started_ms_ago: 1 } };
    let held = Inventory::Full(vec![running]);
    link.on_report(report(2, 0, held.clone()), |_| leased(attempt(1, 1))).expect("of this life");
    let old = Report { finished: vec![result(attempt(1, 1))], ..report(1, 0, held) };
    let (effects, want) = link.on_report(old, |_| leased(attempt(1, 1))).expect("of this life");
    assert!(matches!(effects.as_slice(), [LinkEffect::Record(_)]));
    assert!(!want);
}

#[test]
fn strangers_are_refused() {
    let mut link = link(&[]);
    let other =
        Report { cluster: ClusterId::from_bytes([9; 16]), ..report(1, 0, Inventory::Full(Vec::new())) };
    assert_eq!(link.on_report(other, |_| JobFact::NotLive), Err(ReportRefusal::OtherCluster));
    let later = Report { incarnation: Incarnation(7), ..report(1, 0, Inventory::Full(Vec::new())) };
    assert_eq!(link.on_report(later, |_| JobFact::NotLive), Err(ReportRefusal::Superseded));
}

#[test]
fn what_a_node_that_lived_on_does_not_list_never_came_to_it() {
    let given = attempt(1, 1);
    let fact = |started| {
        move |_| JobFact::Leased { epoch: given.epoch, node: node_id(), incarnation: Incarnation(0), started }
    };
    let told = |born: u64, started| {
        let first = Report { born: Some(Incarnation(born)), ..report(1, 0, Inventory::Full(Vec::new())) };
        let (effects, _) = link(&[given]).on_report(first, fact(started)).expect("of this life");
        effects.into_iter().next()
    };
    assert!(matches!(told(0, false), Some(LinkEffect::Returned { attempt, .. }) if attempt == given));
    assert!(matches!(told(0, true), Some(LinkEffect::Lost { .. })), "it was there, and is gone");
    assert!(matches!(told(1, false), Some(LinkEffect::Lost { .. })), "a former process may have had it");
}
