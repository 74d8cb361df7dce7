//! The drawing of the state machine and the state machine are one: the table in docs/STATE_MACHINE.md is made by asking
//! `transition`, and this test fails when the document says anything else.

use std::fmt::Write;

use callboard_actors::model::state::Tally;
use callboard_actors::model::{
    AttemptEnd, AttemptId, AttemptResult, CancelWish, Captured, EndReason, Epoch, Exit, Incarnation,
    IsolationReport, JobEvent, JobId, JobState, Lease, Moved, NodeId, OnLost, Outcome, Usage, transition,
};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/STATE_MACHINE.md");
const BEGIN: &str = "<!-- table: made by actors/tests/it/state_machine_doc.rs -->\n";
const END: &str = "<!-- end of table -->";
const MAX_LOST: u16 = 3;
const CURRENT: Epoch = Epoch(2);

fn node() -> NodeId {
    NodeId::from_bytes([1; 16])
}

fn lease(started: bool, cancel: bool) -> Box<Lease> {
    let wish = CancelWish { reason: EndReason::User, note: None, grace_ms: 0 };
    Box::new(Lease {
        tally: Tally { epoch: CURRENT, lost: 1, started: u16::from(started) },
        node: node(),
        incarnation: Incarnation(1),
        started_at_ms: started.then_some(0),
        cancel: cancel.then_some(wish),
    })
}

fn states() -> Vec<(&'static str, JobState)> {
    let ended = Outcome::without_process(CURRENT, EndReason::User, None, 0);
    vec![
        ("queued, never leased", JobState::new()),
        ("queued", JobState::Queued(Tally { epoch: CURRENT, lost: 1, started: 1 })),
        ("leased", JobState::Leased(lease(false, false))),
        ("leased, to be cancelled", JobState::Leased(lease(false, true))),
        ("running", JobState::Running(lease(true, false))),
        ("running, to be cancelled", JobState::Running(lease(true, true))),
        ("unknown, not started", JobState::Unknown(lease(false, false))),
        ("unknown", JobState::Unknown(lease(true, false))),
        ("unknown, to be cancelled", JobState::Unknown(lease(true, true))),
        ("ended", JobState::Ended(Box::new(ended))),
    ]
}

fn finished(epoch: Epoch, end: AttemptEnd) -> JobEvent {
    JobEvent::Finished(Box::new(AttemptResult {
        attempt: AttemptId::new(JobId::from_bytes([2; 16]), epoch),
        end,
        usage: Usage::default(),
        stdout: Captured::default(),
        stderr: Captured::default(),
        started_ms_ago: None,
        isolation: IsolationReport::default(),
        artifacts: Default::default(),
    }))
}

fn lost(epoch: Epoch, on_lost: OnLost, max_lost: u16) -> JobEvent {
    JobEvent::Lost { epoch, on_lost, max_lost, why: String::new() }
}

/// Events that name no attempt.
fn nameless() -> Vec<(&'static str, JobEvent)> {
    let wish = CancelWish { reason: EndReason::User, note: None, grace_ms: 0 };
    vec![
        ("leased", JobEvent::Leased { node: node(), incarnation: Incarnation(1) }),
        ("cancel_requested", JobEvent::CancelRequested(wish)),
    ]
}

/// Events of the attempt with this epoch.
fn of_attempt(epoch: Epoch) -> Vec<(&'static str, JobEvent)> {
    let reattached =
        JobEvent::Reattached { epoch, node: node(), incarnation: Incarnation(2), started_at_ms: 0 };
    vec![
        ("started", JobEvent::Started { epoch, at_ms: 0 }),
        ("finished, exit code 0", finished(epoch, AttemptEnd::Exited(Exit::Code(0)))),
        ("finished, exit code 1", finished(epoch, AttemptEnd::Exited(Exit::Code(1)))),
        ("finished, killed", finished(epoch, AttemptEnd::Killed { exit: None })),
        ("finished, lost", finished(epoch, AttemptEnd::Lost { why: String::new(), fenced: false })),
        ("returned", JobEvent::Returned { epoch }),
        ("silent", JobEvent::Silent { epoch }),
        ("reattached", reattached),
        ("lost, requeue", lost(epoch, OnLost::Requeue, MAX_LOST)),
        ("lost, requeue, for the last time", lost(epoch, OnLost::Requeue, 2)),
        ("lost, never again", lost(epoch, OnLost::Never, MAX_LOST)),
        ("poisoned", JobEvent::Poisoned { epoch, nodes: 3, why: String::new() }),
        ("drained", JobEvent::Drained { epoch }),
    ]
}

fn cell(state: &JobState, event: JobEvent) -> String {
    match transition(state, event, 0) {
        Err(_) => "illegal".into(),
        Ok(Moved::Unchanged) => "–".into(),
        Ok(Moved::To(JobState::Ended(outcome))) => {
            format!("**ended** {}: {}", outcome.reason.status(), outcome.reason)
        }
        Ok(Moved::To(next)) => named(state, &next),
    }
}

fn named(state: &JobState, next: &JobState) -> String {
    let mut text = next.name().to_owned();
    if next.epoch() > state.epoch() {
        text += ", epoch + 1";
    }
    if let (Some(lease), JobState::Queued(tally)) = (state.lease(), next)
        && tally.lost > lease.tally.lost
    {
        text += ", lost + 1";
    }
    if next.lease().is_some_and(|lease| lease.cancel.is_some()) {
        text += ", to be cancelled";
    }
    text
}

/// The one cell that all events of another epoch share.
fn shared_cell(state: &JobState, epoch: Epoch) -> String {
    let mut cells: Vec<String> = of_attempt(epoch).into_iter().map(|(_, event)| cell(state, event)).collect();
    cells.dedup();
    assert_eq!(cells.len(), 1, "events of epoch {epoch} part ways in {}: {cells:?}", state.name());
    cells.remove(0)
}

fn row(table: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.collect();
    writeln!(table, "| {name} | {} |", cells.join(" | ")).expect("a string takes everything");
}

fn table() -> String {
    let states = states();
    let mut table = String::new();
    row(&mut table, "event", states.iter().map(|(name, _)| (*name).to_owned()));
    row(&mut table, "---", states.iter().map(|_| "---".to_owned()));
    for (index, (name, _)) in nameless().iter().enumerate() {
        row(&mut table, name, states.iter().map(|(_, state)| cell(state, nameless()[index].1.clone())));
    }
    for (index, (name, _)) in of_attempt(CURRENT).iter().enumerate() {
        let event = |state: &JobState| of_attempt(state.epoch())[index].1.clone();
        row(&mut table, name, states.iter().map(|(_, state)| cell(state, event(state))));
    }
    let older = |state: &JobState| match state.epoch() {
        Epoch(0) => "cannot be".into(),
        Epoch(epoch) => shared_cell(state, Epoch(epoch - 1)),
    };
    row(&mut table, "any of an older attempt", states.iter().map(|(_, state)| older(state)));
    let newer = |state: &JobState| shared_cell(state, state.epoch().next());
    row(&mut table, "any of an attempt never made", states.iter().map(|(_, state)| newer(state)));
    table
}

#[test]
fn the_document_shows_the_table_that_the_code_follows() {
    let expected = table();
    let advice =
        format!("paste this between the markers of docs/STATE_MACHINE.md:\n\n{BEGIN}{expected}{END}\n");
    let document = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
    let Some((_, rest)) = document.split_once(BEGIN) else { panic!("no table in the document; {advice}") };
    let found = rest.split_once(END).map(|(found, _)| found);
    assert!(found == Some(expected.as_str()), "the document is not what the code does; {advice}");
}
