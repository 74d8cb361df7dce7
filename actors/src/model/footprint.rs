//! What a finished job occupies, estimated: so that records can be kept up to a number of bytes without looking at the
//! disk. It knows no encoding: the same job weighs the same in every store.

use super::artifacts::Artifacts;
use super::job::Status;
use super::outcome::Outcome;
use super::spec::{InputMode, JobSpec};

/// What every finished job occupies besides what is counted: its rows, their indexes, and the names of their fields.
pub const RECORD_BYTES: u64 = 1024;

/// The bytes of what was asked for: command, name, folder, environment, the input that travels with it, and what it
/// requires of its node.
pub fn of_spec(spec: &JobSpec) -> u64 {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let env: usize = spec.env.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let input = match &spec.input {
        InputMode::Inline(bytes) => bytes.len(),
        _ => 0,
    };
    let files = super::files::weight(&spec.files);
    let artifacts: usize = spec.artifacts.iter().map(String::len).sum();
    let requires = spec.requires.byte_len();
    (spec.command.byte_len()
        + text(&spec.name)
        + text(&spec.cwd)
        + env
        + input
        + files
        + artifacts
        + requires) as u64
}

/// The bytes of a finished job: its spec's, its kept output's, inline or spooled, its artifacts', and [`RECORD_BYTES`].
pub fn of_finished(spec_bytes: u64, outcome: &Outcome) -> u64 {
    let message = outcome.message.as_ref().map_or(0, String::len) as u64;
    let output = outcome.stdout.summary.kept_bytes().saturating_add(outcome.stderr.summary.kept_bytes());
    let artifacts = of_artifacts(&outcome.artifacts);
    [spec_bytes, message, output, artifacts].into_iter().fold(RECORD_BYTES, u64::saturating_add)
}

/// The bytes of what was kept, and of what is told about it and about the rest.
fn of_artifacts(artifacts: &Artifacts) -> u64 {
    let kept = artifacts.kept.iter().map(|kept| kept.path.len());
    let unkept = artifacts.unkept.iter().map(|unkept| unkept.path.len() + unkept.why.len());
    artifacts.kept_bytes().saturating_add(kept.chain(unkept).sum::<usize>() as u64)
}

/// How many records there are, and what they occupy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreTotals {
    /// Live jobs.
    pub live: u64,
    /// Finished jobs.
    pub finished: u64,
    /// Finished jobs by how they ended, in the order of [`StoreTotals::ENDS`].
    pub ended: [u64; 3],
    /// What the finished jobs occupy, their spooled output included: the sum of [`of_finished`].
    pub retained_bytes: u64,
    /// Bytes on disk, logs included.
    pub size_bytes: u64,
}

impl StoreTotals {
    /// The ways to end.
    pub const ENDS: [Status; 3] = [Status::Completed, Status::Failed, Status::Cancelled];

    /// Where a status is counted; none for live ones.
    pub fn place_of(status: Status) -> Option<usize> {
        Self::ENDS.iter().position(|end| *end == status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Artifact, EndReason, Epoch};

    #[test]
    fn a_job_weighs_what_it_was_asked_and_what_it_said() {
        let bare = JobSpec::shell("true");
        let full = JobSpec {
            name: Some("n".repeat(10)),
            env: [("A".to_owned(), "b".repeat(100))].into(),
            input: InputMode::Inline(vec![0; 1000]),
            ..bare.clone()
        };
        assert_eq!(of_spec(&full) - of_spec(&bare), 10 + 103 + 1000);
        let mut outcome = Outcome::without_process(Epoch(1), EndReason::Exited, None, 0);
        assert_eq!(of_finished(5, &outcome), RECORD_BYTES + 5);
        (outcome.stdout.summary.head_bytes, outcome.stderr.summary.tail_bytes) = (7_000, 900);
        assert_eq!(of_finished(5, &outcome), RECORD_BYTES + 5 + 7_900);
        let path = "p".repeat(9);
        outcome.artifacts.kept.push(Artifact { path, bytes: 100_000, executable: false });
        assert_eq!(of_finished(5, &outcome), RECORD_BYTES + 5 + 7_900 + 100_009);
        outcome.stdout.summary.head_bytes = u64::MAX;
        assert_eq!(of_finished(5, &outcome), u64::MAX);
    }
}
