//! How an attempt ended, out of why it was ended and how its process left.

use super::{Cause, Running};
use crate::exec::cgroup::Readings;
use crate::exec::keeper::tree::Unkillable;
use crate::model::{AttemptEnd, Exit};

/// Why a job was ended that must not outlive its connection.
const FENCED: &str =
    "its runner had no answer from its coordinator for too long, and so ended it (on_disconnect kill)";

impl Running {
    pub(super) fn end_of(
        &self,
        exit: Option<Exit>,
        readings: &Readings,
        stuck: Option<&Unkillable>,
    ) -> AttemptEnd {
        let Some(exit) = exit else {
            let why = stuck.map_or_else(|| "its exit status was lost".into(), ToString::to_string);
            return AttemptEnd::Lost { why, fenced: false };
        };
        match self.cause {
            Some(Cause::Timeout) => {
                AttemptEnd::Timeout { limit_ms: self.timeout.map_or(0, |(_, ms)| ms), exit }
            }
            Some(Cause::Fence) => AttemptEnd::Lost { why: FENCED.into(), fenced: true },
            Some(Cause::Asked) => AttemptEnd::Killed { exit: Some(exit) },
            Some(Cause::Output) => AttemptEnd::OutputLimit { limit_bytes: self.hard_bytes, exit },
            Some(Cause::Memory) | None => {
                let spared = self.cause.is_some();
                self.hold.out_of_memory(readings, spared, exit).unwrap_or(AttemptEnd::Exited(exit))
            }
        }
    }
}
