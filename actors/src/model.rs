//! The facts of the domain: ids, specs, states, outcomes, limits. True even if there were no computers:
//! this room knows no actor, no clock, no disk and no network.

pub mod access;
pub mod admission;
pub mod files;
pub mod footprint;
pub mod grant;
pub mod health;
pub mod id;
pub mod isolation;
pub mod job;
pub mod limits;
pub mod meter;
pub mod mounts;
pub mod outcome;
pub mod output;
pub mod reason;
pub mod resources;
pub mod rules;
pub mod secret;
pub mod setup;
pub mod spec;
pub mod spread;
pub mod state;
pub mod tenant;
pub mod time;
pub mod transition;

pub use files::InputFile;
pub use footprint::StoreTotals;
pub use grant::{IsolationRefusal, RefusalCause, RoomBoard, RoomPolicy};
pub use health::{HealthBoard, StoreSummary};
pub use id::{AttemptId, ClusterId, Epoch, Incarnation, JobId, NodeId, Term};
pub use isolation::{Demands, Layer, LayerState, Network, RoomFacts, Tier};
pub use job::{AttemptRecord, JobRecord, JobView, Status};
pub use limits::Limits;
pub use mounts::{AllowedMount, Mount};
pub use outcome::{AttemptEnd, AttemptResult, Exit, IsolationReport, Outcome, Usage};
pub use output::{Captured, OutputSummary, Stream};
pub use reason::{EndReason, WaitReason};
pub use resources::{Enforcer, LimitReport, Resource, ResourceLimits};
pub use rules::{AdmissionRules, Denial};
pub use secret::{SealedEnv, SecretEnv, SecretError};
pub use setup::SetupStage;
pub use spec::{CommandLine, IdempotencyKey, InputMode, Isolation, JobSpec, OnLost};
pub use state::{CancelWish, JobState, Lease};
pub use tenant::{Tenant, View};
pub use transition::{IllegalMove, JobEvent, Moved, transition};
