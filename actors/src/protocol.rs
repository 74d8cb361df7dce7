//! The typed messages, by conversation, and the handles that carry them. No handler, no address, no network here:
//! the messages say what is promised, the actors keep it.

pub mod access;
mod admit;
pub mod errors;
pub mod feed;
pub mod gateway;
pub mod jobs;
pub mod life;
pub mod metrics;
pub mod notices;
pub mod operate;
pub mod orders;
pub mod platform;
pub mod runner;
pub mod scheduling;

pub use errors::{CancelError, DeleteError, LookupError, NodeError, OutputError, RetryError, SubmitError};
pub use gateway::{NodeGateway, NodePort};
pub use life::DeathGuard;
pub use operate::{ChangeRunner, ChangeRunnerError, RunnerChange};
pub use platform::{Health, PlatformHandle, RunnerSummary};
pub use runner::RunnerHandle;
