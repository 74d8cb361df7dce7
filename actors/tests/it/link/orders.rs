//! Orders about a node as a whole: slots, prefetch, retracting, draining, terms and clusters.

use super::node::{command, obey, returned, sorted};
use super::*;

fn started(node: &mut NodeLink, cmd_no: u64, assign: &[AttemptId]) -> Vec<AttemptId> {
    let (start, kill) = obey(node, command(cmd_no, assign, &[]));
    assert_eq!(kill, []);
    start.iter().for_each(|attempt| node.on_started(0, *attempt));
    start
}

fn listed(node: &mut NodeLink) -> Vec<(AttemptId, HeldPhase)> {
    node.on_report_failed();
    match node.report(0).inventory {
        Inventory::Full(held) => held.into_iter().map(|held| (held.attempt, held.phase)).collect(),
        Inventory::Digest(_) => panic!("a whole inventory was due"),
    }
}

#[test]
fn a_changed_number_of_slots_is_news_and_an_equal_one_is_not() {
    let mut node = node(2);
    node.report(0);
    assert!(node.set_usable_slots(2).is_empty() && !node.has_news());
    assert!(node.set_usable_slots(1).is_empty() && node.has_news());
    assert_eq!(node.report(0).usable_slots, 1);
    assert!(!node.has_news());
}

#[test]
fn what_goes_beyond_the_slots_waits_in_order_and_what_goes_beyond_the_prefetch_comes_back() {
    let mut node = node(1);
    node.set_prefetch(2);
    let [a, b, c, d] = [1, 2, 3, 4].map(|job| attempt(job, 1));
    assert_eq!(started(&mut node, 1, &[a, b, c, d]), [a]);
    assert_eq!(returned(&node.report(0)), [d]);
    assert_eq!(node.live_count(), 3);
    let phases: Vec<_> = listed(&mut node).into_iter().filter(|held| held.1 == HeldPhase::Taken).collect();
    assert_eq!(phases, [(b, HeldPhase::Taken), (c, HeldPhase::Taken)]);
    assert_eq!(sorted(node.on_finished(0, result(a))), (vec![b], vec![]));
    node.on_started(0, b);
    assert_eq!(sorted(node.set_usable_slots(2)), (vec![c], vec![]));
    assert_eq!(sorted(node.on_finished(0, result(b))), (vec![], vec![]));
}

#[test]
fn what_waits_comes_back_when_there_is_no_room_for_it_any_more() {
    let mut node = node(1);
    node.set_prefetch(2);
    let [a, b, c] = [1, 2, 3].map(|job| attempt(job, 1));
    started(&mut node, 1, &[a, b, c]);
    node.set_prefetch(1);
    assert_eq!(returned(&node.report(0)), [c], "the last that came");
    assert!(node.set_usable_slots(0).is_empty());
    assert_eq!(returned(&node.report(0)), [b], "nothing waits for slots that do not exist");
}

#[test]
fn retracting_gives_back_what_waits_and_leaves_what_was_started() {
    let mut node = node(2);
    node.set_prefetch(2);
    let [a, b, c, unseen] = [1, 2, 3, 4].map(|job| attempt(job, 1));
    assert_eq!(started(&mut node, 1, &[a]), [a]);
    assert_eq!(obey(&mut node, command(2, &[b, c], &[])).0, [b]);
    let retract = |cmd_no| Command { retract: vec![a, b, c, unseen], ..command(cmd_no, &[], &[]) };
    assert_eq!(obey(&mut node, retract(3)), (vec![], vec![]), "nothing is killed");
    let told = node.report(0);
    assert_eq!(returned(&told), [c, unseen], "one runs and one is being started");
    assert_eq!(told.returned[0].why, "retracted");
    obey(&mut node, retract(4));
    assert_eq!(returned(&node.report(0)), [], "a repetition says nothing new");
    assert_eq!(
        obey(&mut node, command(5, &[c, unseen], &[])),
        (vec![], vec![]),
        "it is too late to assign them"
    );
    assert_eq!(node.live_count(), 2);
}

#[test]
fn a_retracted_result_is_no_return() {
    let mut node = node(1);
    let done = attempt(1, 1);
    started(&mut node, 1, &[done]);
    node.on_finished(0, result(done));
    let retract = |cmd_no| Command { retract: vec![done], ..command(cmd_no, &[], &[]) };
    obey(&mut node, retract(2));
    let told = node.report(0);
    assert_eq!((told.finished.len(), told.returned.len()), (1, 0));
    node.on_reply(&ReportReply {
        n: told.n,
        verdicts: vec![(done, Verdict::Recorded)],
        want_full_inventory: false,
    });
    obey(&mut node, retract(3));
    assert_eq!(returned(&node.report(0)), []);
}

#[test]
fn draining_is_a_level_that_each_command_sets() {
    let mut node = node(2);
    node.set_prefetch(1);
    let [a, b, c, d] = [1, 2, 3, 4].map(|job| attempt(job, 1));
    started(&mut node, 1, &[a, b, c]);
    node.report(0);
    let order = Some(DrainOrder { deadline_ms: Some(500) });
    let drain = Command { draining: order, ..command(2, &[d], &[]) };
    node.on_command(1_000, drain).expect("it is of this life");
    assert!(node.is_draining() && node.has_news());
    assert_eq!(node.drain_deadline_ms(1_200), Some(300));
    let told = node.report(0);
    assert_eq!((returned(&told), told.draining), (vec![c, d], Draining::Ordered));
    assert_eq!(node.live_count(), 2, "what was started goes on");
    obey(&mut node, command(3, &[], &[]));
    assert_eq!(node.report(0).draining, Draining::No);
    node.on_finished(0, result(a));
    assert_eq!(started(&mut node, 4, &[attempt(5, 1)]).len(), 1, "it takes work again");
}

#[test]
fn no_command_ends_a_drain_of_the_nodes_own() {
    let mut node = node(2);
    node.drain();
    assert!(node.has_news());
    obey(&mut node, command(1, &[attempt(1, 1)], &[]));
    let told = node.report(0);
    assert_eq!((returned(&told), told.draining), (vec![attempt(1, 1)], Draining::Itself));
}

#[test]
fn old_terms_and_other_clusters_are_refused_and_change_nothing() {
    let mut node = node(2).with_term_seen(Term(5));
    let at = |term| Command { term: Term(term), ..command(1, &[attempt(1, 1)], &[]) };
    assert_eq!(node.on_command(0, at(4)), Err(CommandRefusal::OldTerm));
    assert_eq!(node.report(0).term_seen, Term(5));
    let other = Command { cluster: ClusterId::from_bytes([9; 16]), ..at(6) };
    assert_eq!(node.on_command(0, other), Err(CommandRefusal::OtherCluster));
    assert_eq!((node.term_seen(), node.report(0).cmd_seen), (Term(5), 0));
    assert_eq!(obey(&mut node, at(6)).0.len(), 1);
    node.rejoin(Incarnation(2), Term(3));
    assert_eq!(node.term_seen(), Term(6), "a new life forgets no term");
}

#[test]
fn the_coordinator_restates_a_drain_until_the_node_has_it() {
    let mut node = node(2);
    let mut link = CoordinatorLink::new(cluster(), node_id(), LIFE, Term(1), []);
    let read = |link: &mut CoordinatorLink, report: Report| {
        link.on_report(report, |_| JobFact::NotLive).expect("of this life").0
    };
    assert_eq!(read(&mut link, node.report(0)), [LinkEffect::Capacity { usable_slots: 2 }]);
    assert_eq!(link.room(), 2);
    link.set_drain(Some(DrainOrder::default()));
    assert_eq!((link.room(), read(&mut link, node.report(0))), (0, vec![LinkEffect::Restate]));
    let lost = link.restate();
    assert_eq!(read(&mut link, node.report(0)), [], "the command may still be on its way");
    node.on_report_failed();
    assert_eq!(read(&mut link, node.report(0)), [LinkEffect::Restate], "a whole inventory ends the wait");
    node.on_command(0, link.restate()).expect("of this life");
    assert_eq!(node.on_command(0, lost), Ok(vec![]), "it was overtaken");
    assert_eq!(read(&mut link, node.report(0)), [LinkEffect::Capacity { usable_slots: 0 }]);
    link.set_drain(None);
    assert_eq!(read(&mut link, node.report(0)), [LinkEffect::Restate]);
    node.on_command(0, link.restate()).expect("of this life");
    assert_eq!(read(&mut link, node.report(0)), [LinkEffect::Capacity { usable_slots: 2 }]);
    node.drain();
    assert_eq!(read(&mut link, node.report(0)), [LinkEffect::Capacity { usable_slots: 0 }], "and no Restate");
    assert_eq!(link.node_drains(), Draining::Itself);
}

#[test]
fn only_what_is_known_to_be_there_is_retracted() {
    let (believed, held) = (attempt(1, 1), attempt(2, 1));
    let mut link = CoordinatorLink::new(cluster(), node_id(), LIFE, Term(1), [believed, held]);
    let taken = Inventory::Full(vec![Held { attempt: held, phase: HeldPhase::Taken }]);
    assert_eq!(link.retract([believed, held]).retract, [], "neither has been heard of in this life");
    let fact = |_| JobFact::Leased { epoch: Epoch(1), node: node_id(), incarnation: LIFE, started: false };
    link.on_report(Report { inventory: taken, ..node(2).report(0) }, fact).expect("of this life");
    assert_eq!(link.retract([believed, held]).retract, [held]);
    let given = attempt(3, 1);
    link.assign(vec![assignment(given)]);
    assert_eq!(link.retract([given]).retract, [given]);
}

#[test]
fn a_node_that_has_seen_a_higher_term_is_given_no_work_and_its_results_are_read() {
    let mut link = CoordinatorLink::new(cluster(), node_id(), LIFE, Term(1), [attempt(1, 1)]);
    let mut node = node(2).with_results(0, [result(attempt(1, 1))]);
    let report = Report { term_seen: Term(2), ..node.report(0) };
    let fact = |_| JobFact::Waiting(Epoch(1));
    let (effects, want) = link.on_report(report, fact).expect("of this life");
    assert!(matches!(effects.as_slice(), [LinkEffect::Record(_)]) && !want);
    assert_eq!((link.is_ready(), link.room(), link.outranked_by()), (false, 0, Some(Term(2))));
}

#[test]
fn prefetch_counts_as_room() {
    let mut link = CoordinatorLink::new(cluster(), node_id(), LIFE, Term(1), []);
    let mut node = node(2);
    node.set_prefetch(3);
    link.on_report(node.report(0), |_| JobFact::NotLive).expect("of this life");
    link.assign(vec![assignment(attempt(1, 1)), assignment(attempt(2, 1)), assignment(attempt(3, 1))]);
    assert_eq!((link.taken(), link.room()), (3, 2));
}

#[test]
fn an_assignment_that_was_overtaken_never_started_and_is_no_loss() {
    let mut node = node(2);
    let mut link = CoordinatorLink::new(cluster(), node_id(), LIFE, Term(1), []);
    let fact = |_| JobFact::Leased { epoch: Epoch(1), node: node_id(), incarnation: LIFE, started: false };
    let given = attempt(1, 1);
    let overtaken = link.assign(vec![assignment(given)]);
    node.on_command(0, link.cancel(Vec::new())).expect("of this life");
    assert_eq!(node.on_command(0, overtaken), Ok(vec![]));
    let report = node.report(0);
    assert_eq!((report.cmd_seen, report.skipped.as_slice()), (2, &[1][..]));
    let (effects, _) = link.on_report(report, fact).expect("of this life");
    assert!(matches!(effects[0], LinkEffect::Returned { attempt, .. } if attempt == given), "{effects:?}");
    assert!(!link.holds(given));
}

#[test]
fn overtaken_commands_are_remembered_up_to_a_number() {
    let mut node = node(2);
    obey(&mut node, command(1_000, &[], &[]));
    obey(&mut node, command(1_002, &[], &[]));
    let skipped = node.report(0).skipped;
    assert_eq!((skipped.len(), skipped.first(), skipped.last()), (64, Some(&937), Some(&1_001)));
    node.rejoin(Incarnation(2), Term(1));
    assert_eq!(node.report(0).skipped, Vec::<u64>::new());
}

#[test]
fn a_node_takes_no_command_that_it_could_not_remember_and_none_older_than_its_memory() {
    let many = 65_536;
    let attempts = |from: u32| (from..).map(|epoch| attempt(1, epoch)).take(many).collect::<Vec<_>>();
    let mut node = node(0);
    let too_many = [attempts(1), vec![attempt(2, 1)]].concat();
    let now = |node: &mut NodeLink, command| node.on_command(0, command);
    assert_eq!(now(&mut node, command(1, &too_many, &[])), Err(CommandRefusal::NotNow));
    assert_eq!(now(&mut node, command(1, &attempts(1), &[])), Ok(vec![]));
    assert_eq!(now(&mut node, command(2, &[attempt(2, 1)], &[])), Err(CommandRefusal::NotNow));
    let answer = |node: &mut NodeLink| {
        let n = node.report(0).n;
        node.on_reply(&ReportReply { n, verdicts: Vec::new(), want_full_inventory: false });
    };
    answer(&mut node);
    assert_eq!(now(&mut node, command(2, &[attempt(2, 1)], &[])), Ok(vec![]));
    answer(&mut node);
    assert_eq!(now(&mut node, command(3, &[attempt(1, 1)], &[])), Err(CommandRefusal::TooOld));
    let later = Command { answered_n: 1, ..command(3, &[attempt(3, 1)], &[]) };
    assert_eq!(now(&mut node, later), Ok(vec![]));
}
