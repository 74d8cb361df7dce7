//! What the silence of a node means. The rule only: who listens, and with which clock, is the Scheduler's business.

mod brake;
mod timers;
mod watch;

pub use brake::MassBrake;
pub use timers::{LivenessTimers, TimerError};
pub use watch::{Heard, LivenessWatch, Sweep};

/// How a node is thought of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeHealth {
    /// Heard lately.
    Ready,
    /// Silent for a while.
    Suspect,
    /// Silent for long.
    Unreachable,
    /// Given up.
    Lost,
    /// It said goodbye: it holds nothing, and its silence means nothing.
    Gone,
}

impl NodeHealth {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Suspect => "suspect",
            Self::Unreachable => "unreachable",
            Self::Lost => "lost",
            Self::Gone => "gone",
        }
    }

    /// Whether the node is thought to be there: its jobs are known to run.
    pub fn is_there(self) -> bool {
        self < Self::Unreachable
    }
}
