//! Random sequences of events, legal and illegal, against the rules that `transition` must keep whatever happens.

use callboard_actors::model::{
    Artifacts, AttemptEnd, AttemptId, AttemptResult, CancelWish, Captured, EndReason, Epoch, Exit,
    Incarnation, IsolationReport, JobEvent, JobId, JobState, Moved, NodeId, OnLost, Usage, transition,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::shapes::result;

const MAX_LOST: u16 = 3;

/// An event, its epoch given relative to the job's current one.
#[derive(Clone, Debug)]
struct Step {
    epoch_offset: i64,
    event: JobEvent,
}

fn event() -> impl Strategy<Value = JobEvent> {
    let node = || any::<[u8; 16]>().prop_map(NodeId::from_bytes);
    let life = || any::<u64>().prop_map(Incarnation);
    let wish = prop_oneof![Just(EndReason::User), Just(EndReason::Preempted), Just(EndReason::Shutdown)];
    let on_lost = prop_oneof![3 => Just(OnLost::Requeue), 1 => Just(OnLost::Never)];
    let epoch = Epoch(0);
    prop_oneof![
        6 => (node(), life()).prop_map(|(node, incarnation)| JobEvent::Leased { node, incarnation }),
        3 => any::<i64>().prop_map(move |at_ms| JobEvent::Started { epoch, at_ms }),
        1 => result().prop_map(|result| JobEvent::Finished(Box::new(result))),
        2 => Just(JobEvent::Returned { epoch }),
        2 => Just(JobEvent::Silent { epoch }),
        2 => (node(), life(), any::<i64>()).prop_map(move |(node, incarnation, started_at_ms)| {
            JobEvent::Reattached { epoch, node, incarnation, started_at_ms }
        }),
        3 => on_lost.prop_map(move |on_lost| {
            JobEvent::Lost { epoch, on_lost, max_lost: MAX_LOST, why: "gone".into() }
        }),
        1 => Just(JobEvent::Poisoned { epoch, nodes: 3, why: "gone".into() }),
        1 => Just(JobEvent::Drained { epoch }),
        1 => (wish, any::<u64>()).prop_map(|(reason, grace_ms)| {
            JobEvent::CancelRequested(CancelWish { reason, note: None, grace_ms })
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let offset = prop_oneof![8 => Just(0), 1 => -3..0i64, 1 => 1..4i64];
    (offset, event()).prop_map(|(epoch_offset, event)| Step { epoch_offset, event })
}

/// The event under this epoch; whether it names one.
fn with_epoch(mut event: JobEvent, now: Epoch) -> (JobEvent, bool) {
    let named = match &mut event {
        JobEvent::Leased { .. } | JobEvent::CancelRequested(_) => false,
        JobEvent::Finished(result) => {
            result.attempt.epoch = now;
            true
        }
        JobEvent::Started { epoch, .. }
        | JobEvent::Returned { epoch }
        | JobEvent::Silent { epoch }
        | JobEvent::Reattached { epoch, .. }
        | JobEvent::Lost { epoch, .. }
        | JobEvent::Poisoned { epoch, .. }
        | JobEvent::Drained { epoch } => {
            *epoch = now;
            true
        }
    };
    (event, named)
}

fn lost_count(state: &JobState) -> u16 {
    match state {
        JobState::Queued(tally) => tally.lost,
        JobState::Leased(lease) | JobState::Running(lease) | JobState::Unknown(lease) => lease.tally.lost,
        JobState::Ended(_) => 0,
    }
}

/// Takes one step and checks it; the state that follows.
fn checked(state: &JobState, step: &Step) -> Result<JobState, TestCaseError> {
    let current = i64::from(state.epoch().0);
    let epoch = (current + step.epoch_offset).max(0);
    let (event, named) = with_epoch(step.event.clone(), Epoch(epoch as u32));
    let moved = transition(state, event.clone(), 1_000);
    if named && epoch < current {
        prop_assert_eq!(&moved, &Ok(Moved::Unchanged), "stale news changes nothing");
    }
    if named && epoch > current && !state.is_ended() {
        prop_assert!(moved.is_err(), "news of the future is illegal");
    }
    let Ok(Moved::To(next)) = moved else {
        return Ok(state.clone());
    };
    prop_assert_ne!(state, &next, "a change changes something");
    prop_assert!(!state.is_ended(), "what has ended stays as it is");
    prop_assert!(next.epoch() >= state.epoch());
    let leased = matches!(event, JobEvent::Leased { .. });
    prop_assert_eq!(next.epoch() > state.epoch(), leased, "a lease and nothing else mints an epoch");
    prop_assert!(lost_count(&next) < MAX_LOST);
    if let JobEvent::Lost { on_lost: OnLost::Never, .. } = event {
        prop_assert!(next.is_ended(), "never means never");
    }
    if let Some(wish) = state.lease().and_then(|lease| lease.cancel.as_ref()) {
        let asked_again = matches!(event, JobEvent::CancelRequested(_));
        let stands = next.lease().and_then(|lease| lease.cancel.as_ref()).is_some_and(|now| {
            now == wish || asked_again && now.reason == wish.reason && now.grace_ms < wish.grace_ms
        });
        prop_assert!(next.is_ended() || stands, "a wish stands until the end, and its grace only shrinks");
        let over = matches!(
            event,
            JobEvent::Returned { .. }
                | JobEvent::Lost { .. }
                | JobEvent::Poisoned { .. }
                | JobEvent::Drained { .. }
        );
        if let (JobState::Ended(outcome), true) = (&next, over) {
            prop_assert_eq!(outcome.reason, wish.reason);
        }
    }
    if let JobState::Ended(outcome) = &next {
        prop_assert_eq!(outcome.epoch, state.epoch());
    }
    let started = |state: &JobState| state.lease().is_some_and(|lease| lease.started_at_ms.is_some());
    let waits = matches!(next, JobState::Queued(_));
    if started(state) && waits {
        prop_assert!(
            matches!(event, JobEvent::Lost { .. } | JobEvent::Drained { .. }),
            "what has started waits again only after a loss or a drain"
        );
    }
    prop_assert!(!matches!(next, JobState::Running(_)) || started(&next));
    Ok(next)
}

/// The state of a running job whose end is wished for, with these last words.
fn cancelling(note: &str) -> JobState {
    let wish = CancelWish { reason: EndReason::User, note: Some(note.into()), grace_ms: 0 };
    let (node, incarnation) = (NodeId::from_bytes([1; 16]), Incarnation(1));
    let epoch = Epoch(1);
    let events = [
        JobEvent::Leased { node, incarnation },
        JobEvent::Started { epoch, at_ms: 5 },
        JobEvent::CancelRequested(wish),
    ];
    events.into_iter().fold(JobState::new(), |state, event| match transition(&state, event, 10) {
        Ok(Moved::To(next)) => next,
        other => panic!("{other:?}"),
    })
}

#[test]
fn the_note_of_a_cancel_is_the_last_word_on_a_job_that_it_killed_and_on_no_other() {
    let killed = AttemptEnd::Killed { exit: Some(Exit::Signal { number: 15, core_dumped: false }) };
    let by_itself = AttemptEnd::Exited(Exit::Code(0));
    for (end, reason, message) in
        [(killed, EndReason::User, Some("too slow".to_owned())), (by_itself, EndReason::Exited, None)]
    {
        let result = AttemptResult {
            attempt: AttemptId::new(JobId::from_bytes([2; 16]), Epoch(1)),
            end,
            usage: Usage::default(),
            stdout: Captured::default(),
            stderr: Captured::default(),
            started_ms_ago: Some(5),
            isolation: IsolationReport::default(),
            artifacts: Artifacts::default(),
        };
        let moved = transition(&cancelling("too slow"), JobEvent::Finished(Box::new(result)), 20);
        let Ok(Moved::To(JobState::Ended(outcome))) = moved else { panic!("{moved:?}") };
        assert_eq!((outcome.reason, &outcome.message), (reason, &message));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_sequence_of_events_breaks_a_rule(steps in vec(step(), 1..60)) {
        let mut state = JobState::new();
        for step in &steps {
            state = checked(&state, step)?;
        }
    }

    #[test]
    fn a_wish_to_cancel_is_granted_by_whatever_ends_the_attempt(steps in vec(step(), 1..30), last in event()) {
        let mut state = JobState::new();
        for step in &steps {
            state = checked(&state, step)?;
        }
        let wish = CancelWish { reason: EndReason::User, note: None, grace_ms: 0 };
        if let Ok(Moved::To(next)) = transition(&state, JobEvent::CancelRequested(wish), 0) {
            state = next;
        }
        let epoch = state.epoch();
        for event in [last, JobEvent::Returned { epoch }] {
            let (event, _) = with_epoch(event, epoch);
            if let Ok(Moved::To(next)) = transition(&state, event, 0) {
                state = next;
            }
        }
        prop_assert!(state.is_ended());
    }
}
