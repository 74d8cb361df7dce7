//! The one function that changes a job's state. Illegal moves are errors; news of a stale attempt is a legal no-op.
//! It knows neither who asks nor what time it is: `now_ms` comes in with the event.

use super::id::{Epoch, Incarnation, NodeId};
use super::outcome::{AttemptEnd, AttemptResult, Outcome};
use super::reason::EndReason;
use super::spec::OnLost;
use super::state::{CancelWish, JobState, Lease, Tally};

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// The job was given to a node, under the next epoch.
    Leased {
        /// Who got it.
        node: NodeId,
        /// In which life.
        incarnation: Incarnation,
    },
    /// The node started its process.
    Started {
        /// The attempt.
        epoch: Epoch,
        /// When, Unix milliseconds.
        at_ms: i64,
    },
    /// The node reports the end of the attempt.
    Finished(Box<AttemptResult>),
    /// The node gave the attempt back without having started it.
    Returned {
        /// The attempt.
        epoch: Epoch,
    },
    /// Nothing was heard of the node for a while.
    Silent {
        /// The attempt.
        epoch: Epoch,
    },
    /// The node, heard again, still runs the attempt.
    Reattached {
        /// The attempt.
        epoch: Epoch,
        /// The node that runs it.
        node: NodeId,
        /// In which life.
        incarnation: Incarnation,
        /// When it started, Unix milliseconds.
        started_at_ms: i64,
    },
    /// The attempt is gone together with its node, or with its keeper.
    Lost {
        /// The attempt.
        epoch: Epoch,
        /// Whether another attempt may follow.
        on_lost: OnLost,
        /// After how many losses the job is given up.
        max_lost: u16,
        /// What happened, one line.
        why: String,
    },
    /// The attempt is gone like those before it, each with another node: the job is taken to be the cause.
    Poisoned {
        /// The attempt.
        epoch: Epoch,
        /// How many different nodes lost it.
        nodes: usize,
        /// What happened, one line.
        why: String,
    },
    /// The attempt was ended because its node was drained: nothing that it did is counted.
    Drained {
        /// The attempt.
        epoch: Epoch,
    },
    /// Someone wants the job cancelled.
    CancelRequested(CancelWish),
}

impl JobEvent {
    /// The event's name in docs and errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Leased { .. } => "leased",
            Self::Started { .. } => "started",
            Self::Finished(_) => "finished",
            Self::Returned { .. } => "returned",
            Self::Silent { .. } => "silent",
            Self::Reattached { .. } => "reattached",
            Self::Lost { .. } => "lost",
            Self::Poisoned { .. } => "poisoned",
            Self::Drained { .. } => "drained",
            Self::CancelRequested(_) => "cancel_requested",
        }
    }

    /// The attempt that the event is about, for those that name one.
    fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Leased { .. } | Self::CancelRequested(_) => None,
            Self::Finished(result) => Some(result.attempt.epoch),
            Self::Started { epoch, .. }
            | Self::Returned { epoch }
            | Self::Silent { epoch }
            | Self::Reattached { epoch, .. }
            | Self::Lost { epoch, .. }
            | Self::Poisoned { epoch, .. }
            | Self::Drained { epoch } => Some(*epoch),
        }
    }
}

/// What a transition did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The state changed.
    To(JobState),
    /// The news was old, or told nothing new: the state stays.
    Unchanged,
}

/// A move that the state machine does not have. The caller has a bug, or the peer lies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {state} cannot take the event {event}")]
pub struct IllegalMove {
    /// The state's name.
    pub state: &'static str,
    /// The event's name.
    pub event: &'static str,
}

/// Applies `event` to `state`.
///
/// # Errors
/// [`IllegalMove`] when the table of docs/STATE_MACHINE.md has no such move; the state is then untouched.
pub fn transition(state: &JobState, event: JobEvent, now_ms: i64) -> Result<Moved, IllegalMove> {
    if let JobState::Ended(_) = state {
        return match event {
            JobEvent::Leased { .. } => Err(illegal(state, &event)),
            _ => Ok(Moved::Unchanged),
        };
    }
    if event.epoch().is_some_and(|epoch| epoch < state.epoch()) {
        return Ok(Moved::Unchanged);
    }
    if event.epoch().is_some_and(|epoch| epoch > state.epoch()) {
        return Err(illegal(state, &event));
    }
    match state {
        JobState::Queued(tally) => from_queued(state, *tally, event, now_ms),
        JobState::Leased(lease) | JobState::Running(lease) | JobState::Unknown(lease) => {
            from_held(state, lease, event, now_ms)
        }
        JobState::Ended(_) => Ok(Moved::Unchanged),
    }
}

fn illegal(state: &JobState, event: &JobEvent) -> IllegalMove {
    IllegalMove { state: state.name(), event: event.name() }
}

fn from_queued(state: &JobState, tally: Tally, event: JobEvent, now_ms: i64) -> Result<Moved, IllegalMove> {
    Ok(Moved::To(match event {
        JobEvent::Leased { node, incarnation } => JobState::Leased(Box::new(Lease {
            tally: Tally { epoch: tally.epoch.next(), ..tally },
            node,
            incarnation,
            started_at_ms: None,
            cancel: None,
        })),
        JobEvent::CancelRequested(wish) => {
            ended(Outcome::without_process(tally.epoch, wish.reason, wish.note, now_ms))
        }
        // Nobody else was given the job since, so the attempt that was thought lost is the current one again.
        JobEvent::Reattached { node, incarnation, started_at_ms, .. } if tally.epoch > Epoch(0) => {
            JobState::Running(Box::new(Lease {
                tally: Tally { started: tally.started.max(1), ..tally },
                node,
                incarnation,
                started_at_ms: Some(started_at_ms),
                cancel: None,
            }))
        }
        JobEvent::Finished(result) if matches!(result.end, AttemptEnd::Lost { .. }) => {
            return Err(illegal_lost(state));
        }
        JobEvent::Finished(result) if tally.epoch > Epoch(0) => {
            ended(Outcome::from_result(*result, None, None, now_ms))
        }
        JobEvent::Returned { .. }
        | JobEvent::Silent { .. }
        | JobEvent::Lost { .. }
        | JobEvent::Poisoned { .. }
        | JobEvent::Drained { .. } => return Ok(Moved::Unchanged),
        JobEvent::Started { .. } if tally.epoch > Epoch(0) => return Ok(Moved::Unchanged),
        JobEvent::Started { .. } | JobEvent::Reattached { .. } | JobEvent::Finished(_) => {
            return Err(illegal(state, &event));
        }
    }))
}

fn from_held(state: &JobState, lease: &Lease, event: JobEvent, now_ms: i64) -> Result<Moved, IllegalMove> {
    Ok(Moved::To(match event {
        JobEvent::Leased { .. } => return Err(illegal(state, &event)),
        JobEvent::Started { at_ms, .. } => match state {
            JobState::Leased(_) | JobState::Unknown(_) => JobState::Running(started(lease, at_ms)),
            _ => return Ok(Moved::Unchanged),
        },
        JobEvent::Reattached { node, incarnation, started_at_ms, .. } => {
            let mut held = started(lease, started_at_ms);
            (held.node, held.incarnation) = (node, incarnation);
            match state {
                JobState::Running(same) if **same == *held => return Ok(Moved::Unchanged),
                _ => JobState::Running(held),
            }
        }
        JobEvent::Silent { .. } => match state {
            JobState::Unknown(_) => return Ok(Moved::Unchanged),
            _ => JobState::Unknown(Box::new(lease.clone())),
        },
        JobEvent::Returned { .. } => match &lease.cancel {
            Some(wish) => ended(cancelled(lease, wish, now_ms)),
            // A process that ran cannot be given back as if it had not.
            None if lease.started_at_ms.is_some() => return Err(illegal(state, &event)),
            None => JobState::Queued(lease.tally),
        },
        JobEvent::Finished(result) => match *result {
            AttemptResult { end: AttemptEnd::Lost { .. }, .. } => return Err(illegal_lost(state)),
            result => ended(Outcome::from_result(result, Some(lease.node), lease.cancel.as_ref(), now_ms)),
        },
        JobEvent::Lost { on_lost, max_lost, why, .. } => lost(lease, on_lost, max_lost, why, now_ms),
        JobEvent::Poisoned { nodes, why, .. } => poisoned(lease, nodes, &why, now_ms),
        JobEvent::Drained { .. } => match &lease.cancel {
            Some(wish) => ended(cancelled(lease, wish, now_ms)),
            None => JobState::Queued(lease.tally),
        },
        JobEvent::CancelRequested(wish) => match &lease.cancel {
            // Who asks again may only shorten the time: the order that is out cannot be taken back.
            Some(earlier) if wish.grace_ms < earlier.grace_ms => {
                let note = earlier.note.clone().or(wish.note);
                with_wish(state, lease, CancelWish { reason: earlier.reason, note, grace_ms: wish.grace_ms })
            }
            Some(_) => return Ok(Moved::Unchanged),
            None => with_wish(state, lease, wish),
        },
    }))
}

/// A lost attempt is an infrastructure loss, never the end of a job by itself: it comes as [`JobEvent::Lost`].
fn illegal_lost(state: &JobState) -> IllegalMove {
    IllegalMove { state: state.name(), event: "finished(lost)" }
}

fn ended(outcome: Outcome) -> JobState {
    JobState::Ended(Box::new(outcome))
}

fn started(lease: &Lease, at_ms: i64) -> Box<Lease> {
    let first = lease.started_at_ms.is_none();
    let tally = Tally { started: lease.tally.started.saturating_add(u16::from(first)), ..lease.tally };
    Box::new(Lease { tally, started_at_ms: lease.started_at_ms.or(Some(at_ms)), ..lease.clone() })
}

fn with_wish(state: &JobState, lease: &Lease, wish: CancelWish) -> JobState {
    let lease = Box::new(Lease { cancel: Some(wish), ..lease.clone() });
    match state {
        JobState::Running(_) => JobState::Running(lease),
        JobState::Unknown(_) => JobState::Unknown(lease),
        _ => JobState::Leased(lease),
    }
}

fn cancelled(lease: &Lease, wish: &CancelWish, now_ms: i64) -> Outcome {
    Outcome {
        started_at_ms: lease.started_at_ms,
        ..Outcome::without_process(lease.tally.epoch, wish.reason, wish.note.clone(), now_ms)
    }
}

fn poisoned(lease: &Lease, nodes: usize, why: &str, now_ms: i64) -> JobState {
    if let Some(wish) = &lease.cancel {
        return ended(cancelled(lease, wish, now_ms));
    }
    let why =
        format!("{nodes} different runners lost it, so it is given to no other one; the last time {why}");
    let outcome = Outcome::without_process(lease.tally.epoch, EndReason::Poison, Some(why), now_ms);
    ended(Outcome { started_at_ms: lease.started_at_ms, ..outcome })
}

fn lost(lease: &Lease, on_lost: OnLost, max_lost: u16, why: String, now_ms: i64) -> JobState {
    if let Some(wish) = &lease.cancel {
        return ended(cancelled(lease, wish, now_ms));
    }
    let lost = lease.tally.lost.saturating_add(1);
    // An attempt that nobody saw start may have started all the same: that is what `never` is afraid of.
    if on_lost == OnLost::Never || lost >= max_lost {
        let reason = EndReason::RunnerLost;
        let outcome = Outcome::without_process(lease.tally.epoch, reason, Some(why), now_ms);
        return ended(Outcome { started_at_ms: lease.started_at_ms, ..outcome });
    }
    JobState::Queued(Tally { lost, ..lease.tally })
}
