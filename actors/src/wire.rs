//! What crosses HTTP between our own nodes: paths, versions, bodies and their conversions. It speaks to nobody.

mod rooms;

use serde::{Deserialize, Serialize};

pub use rooms::WireRooms;

pub use crate::link::{Report, ReportRefusal, ReportReply};
use crate::model::{Incarnation, NodeId, RoomPolicy, RunnerSpec};
use crate::protocol::gateway::Introduction;
use crate::protocol::orders::{Answer, Order};
use crate::protocol::runner::{FenceTimes, Registration};

/// The newest version of the node protocol that this build speaks.
pub const PROTO_MAX: u16 = 1;
/// The oldest that it still speaks.
pub const PROTO_MIN: u16 = 1;
/// Largest body of the node protocol, in bytes.
pub const MAX_NODE_BODY_BYTES: usize = 64 << 20;

/// Node to coordinator: let me in.
pub const REGISTER: &str = "/v1/node/register";
/// Node to coordinator: what is there to do? Held.
pub const ORDERS: &str = "/v1/node/orders";
/// Node to coordinator: what became of it.
pub const ANSWERS: &str = "/v1/node/answers";
/// Node to coordinator: a report.
pub const REPORT: &str = "/v1/node/report";
/// Node to coordinator: I have told everything, hold nothing and go.
pub const BYE: &str = "/v1/node/bye";
/// Coordinator to node: who are you?
pub const HELLO: &str = "/v1/node/hello";
/// Coordinator to node: you are registered.
pub const BEGIN: &str = "/v1/node/begin";
/// Coordinator to node: do this.
pub const GIVE: &str = "/v1/node/give";
/// Coordinator to node: what is there to report? Held.
pub const WATCH: &str = "/v1/node/watch";

/// The versions that one side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protos {
    /// The oldest.
    pub min: u16,
    /// The newest.
    pub max: u16,
}

/// Two builds that have no version of the node protocol in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this build speaks versions {} to {} of the node protocol and the other side {} to {}: upgrade the older of the two",
    PROTO_MIN,
    PROTO_MAX,
    .0.min,
    .0.max
)]
pub struct NoCommonProto(pub Protos);

impl Protos {
    /// Those of this build.
    pub const OWN: Self = Self { min: PROTO_MIN, max: PROTO_MAX };

    /// The highest that both speak.
    ///
    /// # Errors
    /// [`NoCommonProto`].
    pub fn common(self) -> Result<u16, NoCommonProto> {
        let highest = self.max.min(PROTO_MAX);
        if highest >= self.min.max(PROTO_MIN) { Ok(highest) } else { Err(NoCommonProto(self)) }
    }
}

/// How a node introduces itself: the body of `register`, and the answer to `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloBody {
    /// Versions that it speaks.
    pub protos: Protos,
    /// Which node.
    pub node: NodeId,
    /// What it is.
    pub spec: RunnerSpec,
    /// What its rooms are worth.
    #[serde(default)]
    pub rooms: WireRooms,
    /// What its configuration grants.
    #[serde(default)]
    pub policy: RoomPolicy,
}

impl From<Introduction> for HelloBody {
    fn from(said: Introduction) -> Self {
        let Introduction { node, spec, rooms, policy } = said;
        Self { protos: Protos::OWN, node, spec, rooms: rooms.into(), policy }
    }
}

impl HelloBody {
    /// What the node says, within bounds.
    pub fn into_introduction(self) -> Introduction {
        let Self { node, spec, rooms, policy, .. } = self;
        Introduction {
            node,
            spec: rooms::bounded(spec),
            rooms: rooms.into(),
            policy: rooms::bounded_policy(policy),
        }
    }
}

/// The answer to `register`, and the body of `begin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredBody {
    /// The version that is spoken from now on.
    pub proto: u16,
    /// What registering brought.
    pub registration: Registration,
    /// What the node shows from now on, when it dialled.
    #[serde(default)]
    pub token: Option<String>,
    /// The longest silence between two reports, in milliseconds.
    pub heartbeat_ms: u64,
    /// When the node ends jobs that must not outlive their connection. Coordinators of before say nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<FenceTimes>,
}

/// The body of `orders`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OrdersBody {
    /// Which node.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// The highest order that it has got.
    pub seen: u64,
    /// How long it waits, in milliseconds.
    pub hold_ms: u64,
    /// What its rooms are worth, when that has changed.
    #[serde(default)]
    pub rooms: Option<WireRooms>,
    /// Answers to orders before.
    #[serde(default)]
    pub answers: Vec<Answer>,
}

/// The answer to `orders`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OrdersAnswer {
    /// What there is to do.
    pub orders: Vec<Order>,
}

/// The body of `answers`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AnswersBody {
    /// Which node.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// What became of orders.
    pub answers: Vec<Answer>,
}

/// The body of `bye`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByeBody {
    /// Which node.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
}

/// The body of `give`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GiveBody {
    /// Whom the coordinator takes the node for.
    pub registration: Registration,
    /// What to do.
    pub orders: Vec<Order>,
}

/// The answer to `give`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GiveAnswer {
    /// What became of it.
    pub answers: Vec<Answer>,
}

/// The body of `watch`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WatchBody {
    /// Whom the coordinator takes the node for.
    pub registration: Registration,
    /// The answer to the last report.
    #[serde(default)]
    pub answer: Option<Result<ReportReply, ReportRefusal>>,
    /// How long it waits, in milliseconds.
    pub hold_ms: u64,
}

/// The answer to `watch`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WatchAnswer {
    /// A report, when there is one.
    pub report: Option<Report>,
    /// What the node's rooms are worth, when that has changed.
    #[serde(default)]
    pub rooms: Option<WireRooms>,
    /// Whether the node says goodbye: it has told everything, holds nothing and goes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bye: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_spoken_and_none_is_an_error() {
        assert_eq!(Protos::OWN.common(), Ok(PROTO_MAX));
        assert_eq!(Protos { min: 1, max: 9 }.common(), Ok(PROTO_MAX));
        let newer = Protos { min: PROTO_MAX + 1, max: PROTO_MAX + 2 };
        assert_eq!(newer.common(), Err(NoCommonProto(newer)));
        let older = Protos { min: 0, max: 0 };
        assert!(older.common().is_err_and(|error| error.to_string().contains("upgrade the older")));
    }
}
