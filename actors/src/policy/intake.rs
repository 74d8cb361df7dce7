//! Whether the platform takes in more jobs, and this one. It knows counts, limits and what nodes give, not who asks.

use crate::model::{IsolationRefusal, JobSpec, RoomBoard};

/// Whether `asked` more jobs fit beside `live` ones under `limit`.
pub fn has_room(live: usize, asked: usize, limit: usize) -> bool {
    live.checked_add(asked).is_some_and(|total| total <= limit)
}

/// Whether a node may run this job: one that fits, or one of which too little is known. Where none is registered, one may
/// come.
///
/// # Errors
/// Why a node does not run it, when none does.
pub fn some_node_fits<'a>(
    spec: &JobSpec,
    boards: impl Iterator<Item = &'a RoomBoard>,
) -> Result<(), IsolationRefusal> {
    let mut refused = Ok(());
    for board in boards {
        match board.judge(spec) {
            Ok(()) => return Ok(()),
            Err(refusal) => refused = Err(refusal),
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Isolation, RoomFacts, Tier};

    #[test]
    fn the_last_place_is_given_and_no_more() {
        assert!(has_room(9, 1, 10));
        assert!(!has_room(10, 1, 10));
        assert!(!has_room(usize::MAX, 1, usize::MAX));
    }

    #[test]
    fn a_job_is_refused_only_where_every_node_is_known_to_refuse_it() {
        let without = RoomBoard::default();
        without.write(RoomFacts { verified_at_ms: Some(1), ..RoomFacts::default() });
        let with = RoomBoard::default();
        with.write(RoomFacts { tier: Tier::Full, verified_at_ms: Some(1), ..RoomFacts::default() });
        let unknown = RoomBoard::default();
        let spec = JobSpec { isolation: Isolation::Sandbox, ..JobSpec::shell("true") };
        let fits = |boards: &[&RoomBoard]| some_node_fits(&spec, boards.iter().copied()).is_ok();
        assert!(!fits(&[&without, &without]));
        assert!(fits(&[&without, &with]) && fits(&[&with, &without]));
        assert!(fits(&[&without, &unknown]) && fits(&[]));
    }
}
