//! The doors between a coordinator and nodes elsewhere. `http` holds them: a [`NodeGateway`] on a coordinator, for nodes
//! that dial it, and a [`NodePort`] on a node, for coordinators that dial it. They know neither HTTP nor tokens.

use std::sync::Arc;

use actix::{Message, Recipient};

use super::orders::{Answer, Order};
use super::runner::{FenceTimes, Occupied, RegisterError, Registration, RunnerReport};
use crate::link::{Report, ReportRefusal, ReportReply};
use crate::model::{Incarnation, NodeId, Pulses, RoomBoard, RoomFacts, RoomPolicy, RunnerSpec};

/// Longest that a request for orders, or for a report, is held when there is nothing, in milliseconds: proxies between the
/// two cut silent connections after half a minute.
pub const MAX_HOLD_MS: u64 = 20_000;
/// Most nodes that a coordinator lets register.
pub const MAX_NODES: usize = 10_000;

/// What a node says of itself, whoever dials.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// Which node.
    pub node: NodeId,
    /// What it is.
    pub spec: RunnerSpec,
    /// What its rooms are worth.
    pub rooms: RoomFacts,
    /// What its configuration grants.
    pub policy: RoomPolicy,
}

/// What a node says of itself, as it is at any time: what its rooms are worth may change.
#[derive(Clone, Debug)]
pub struct Portrait {
    /// Which node.
    pub node: NodeId,
    /// What it is.
    pub spec: RunnerSpec,
    /// Where it is written down what its rooms are worth.
    pub rooms: Arc<RoomBoard>,
}

impl Portrait {
    /// As it is now.
    pub fn introduction(&self) -> Introduction {
        let (rooms, policy) = (self.rooms.read(), self.rooms.policy().clone());
        Introduction { node: self.node, spec: self.spec.clone(), rooms, policy }
    }
}

/// http or Dialler → Reception. A node asks to be let in; a life of it that was there before is over. Answered with its
/// new incarnation, minted durably.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Registration, RegisterError>")]
pub struct AdmitNode {
    /// Who.
    pub introduction: Introduction,
}

/// Why a node gets no orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeRefusal {
    /// It is not registered here: it may register.
    #[error("the node is not registered: register it again")]
    NotRegistered,
    /// A later life of it is registered.
    #[error("a later life of this node has registered: is its data folder in use twice?")]
    Superseded,
    /// The platform is stopping.
    #[error("the coordinator is stopping")]
    Stopping,
}

/// http or Dialler → Reception. Orders for a node; held for a while when there are none. Orders above `seen` that were
/// handed out before are handed out again.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Vec<Order>, NodeRefusal>")]
pub struct TakeOrders {
    /// Which node.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// The highest order that the node has got.
    pub seen: u64,
    /// How long to wait for one, in milliseconds; at most [`MAX_HOLD_MS`].
    pub hold_ms: u64,
}

/// http or Dialler → Reception. What the rooms of a node are worth now.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), NodeRefusal>")]
pub struct NoteRooms {
    /// Which node.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// What they are worth.
    pub rooms: RoomFacts,
}

/// http or Dialler → Reception. What a node answers to orders.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), NodeRefusal>")]
pub struct AnswerOrders {
    /// Which node.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// The answers.
    pub answers: Vec<Answer>,
}

/// http or Dialler → Reception. The node has told everything, holds nothing and goes: this life of it is over. Answered when
/// that holds.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<(), NodeRefusal>")]
pub struct LeaveNode {
    /// Which node.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
}

/// The door of a coordinator for nodes that dial it.
#[derive(Clone, Debug)]
pub struct NodeGateway {
    /// Lets nodes in.
    pub admit: Recipient<AdmitNode>,
    /// Hands out orders.
    pub orders: Recipient<TakeOrders>,
    /// Writes down what rooms are worth.
    pub rooms: Recipient<NoteRooms>,
    /// Takes answers.
    pub answers: Recipient<AnswerOrders>,
    /// Takes goodbyes.
    pub leave: Recipient<LeaveNode>,
    /// Takes reports.
    pub report: Recipient<RunnerReport>,
    /// Where it is noted that a node was heard, before any mailbox.
    pub pulses: Arc<Pulses>,
    /// The longest silence that a node may keep, in milliseconds.
    pub heartbeat_ms: u64,
    /// When a node ends jobs that must not outlive their connection.
    pub fence: Option<FenceTimes>,
    /// Makes and tells the tokens of nodes.
    pub tokens: Arc<dyn NodeTokens>,
}

/// The tokens that nodes show once they were let in. Each is bound to one node.
pub trait NodeTokens: std::fmt::Debug + Send + Sync {
    /// The token of a node; none when it cannot be made: then the node shows what it came with.
    fn token_of(&self, node: NodeId) -> Option<String>;

    /// Whose token this is, if it is one.
    fn node_of(&self, token: &str) -> Option<NodeId>;
}

/// The doors of a platform to other machines.
#[derive(Clone, Debug)]
pub struct NodeDoors {
    /// For nodes that dial it.
    pub gateway: NodeGateway,
    /// For coordinators that dial its own node, when they may.
    pub port: Option<NodePort>,
}

/// http → Port. A coordinator that dialled has registered the node: from now on it reports there. A life that it had with
/// the same coordinator before is over.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), Occupied>")]
pub struct BeginLife {
    /// What registering brought.
    pub registration: Registration,
    /// The longest silence between two reports, in milliseconds.
    pub heartbeat_ms: u64,
    /// When a node ends jobs that must not outlive their connection.
    pub fence: Option<FenceTimes>,
}

/// http → Port. Orders of a coordinator, in rising order. Answered when each was carried out.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Vec<Answer>, NodeRefusal>")]
pub struct GiveOrders {
    /// What the coordinator was told at the registration.
    pub registration: Registration,
    /// The orders.
    pub orders: Vec<Order>,
}

/// http → Port. The answer to the last report, if it had one, and the wish for the next. Held for a while when the node
/// has nothing to report: then it brings none.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Watched, NodeRefusal>")]
pub struct WatchReports {
    /// What the coordinator was told at the registration.
    pub registration: Registration,
    /// The answer to the report that the last watch brought.
    pub answer: Option<Result<ReportReply, ReportRefusal>>,
    /// How long to wait for a report, in milliseconds; at most [`MAX_HOLD_MS`].
    pub hold_ms: u64,
}

/// What a watch brings.
#[derive(Clone, Debug)]
pub struct Watched {
    /// A report, when there is one.
    pub report: Option<Report>,
    /// What the node's rooms are worth, when the coordinator was not told so yet.
    pub rooms: Option<RoomFacts>,
    /// Whether the node says goodbye with this: it has told everything and holds nothing.
    pub bye: bool,
}

/// The door of a node for coordinators that dial it.
#[derive(Clone, Debug)]
pub struct NodePort {
    /// What the node says of itself.
    pub portrait: Portrait,
    /// Takes what registering brought.
    pub begin: Recipient<BeginLife>,
    /// Takes orders.
    pub orders: Recipient<GiveOrders>,
    /// Hands out reports.
    pub watch: Recipient<WatchReports>,
}
