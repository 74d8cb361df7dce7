//! The conversation between a coordinator and a node as pure state machines. No IO, no clock: time is an argument.

pub mod coordinator;
pub mod liveness;
pub mod messages;
pub mod node;
pub mod prefetch;

pub use coordinator::{CoordinatorLink, JobFact, LinkEffect};
pub use liveness::{Heard, LivenessTimers, LivenessWatch, MassBrake, NodeHealth, Sweep, TimerError};
pub use messages::{
    Assignment, CancelOrder, Command, CommandRefusal, Digest, DrainOrder, Draining, Held, HeldPhase,
    Inventory, PROTO, Report, ReportRefusal, ReportReply, ReturnedNote, StartedNote, Verdict,
};
pub use node::{NodeEffect, NodeLink};
pub use prefetch::prefetch_size;
