//! What a node says of itself, and when it was last heard. It knows no connection and no clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::id::NodeId;

/// Longest name of a node, in bytes.
pub const MAX_NODE_NAME_BYTES: usize = 64;

/// Most labels of a node.
pub const MAX_NODE_LABELS: usize = 64;

/// How a node came to its coordinator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunnerKind {
    /// It is part of the coordinator's own process.
    #[default]
    Local,
    /// The coordinator dials it.
    Dialled,
    /// It dialled the coordinator.
    Joined,
    /// It is the original's runner, which knows `POST /execute` only: what it runs has no number, is not found again
    /// after a break, cannot be cancelled, and is not isolated by us.
    Original,
}

impl RunnerKind {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Dialled => "dialled",
            Self::Joined => "joined",
            Self::Original => "original",
        }
    }
}

/// What a node says of itself when it registers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerSpec {
    /// What people call it: at most [`MAX_NODE_NAME_BYTES`] bytes.
    pub name: String,
    /// Jobs that it runs at once.
    pub slots: u32,
    /// What jobs may require of it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Version of its callboard.
    #[serde(default)]
    pub version: String,
    /// Where it is, as far as its coordinator knows.
    #[serde(default)]
    pub address: Option<String>,
    /// How it came.
    #[serde(default)]
    pub kind: RunnerKind,
    /// Whether it ends jobs by itself that must not outlive its connection. Nodes of before do not.
    #[serde(default)]
    pub fences: bool,
}

/// When a node was last heard, in milliseconds of its coordinator's monotonic clock. Whoever hears the node writes it, a
/// busy mailbox between them or not.
#[derive(Debug, Default)]
pub struct Pulse(AtomicU64);

impl Pulse {
    /// It was heard at this time. A moment that is older than what is known changes nothing.
    pub fn beat(&self, at_ms: u64) {
        self.0.fetch_max(at_ms, Ordering::Relaxed);
    }

    /// When it was last heard.
    pub fn last_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The pulses of every node that is registered.
#[derive(Debug, Default)]
pub struct Pulses(RwLock<HashMap<NodeId, Arc<Pulse>>>);

impl Pulses {
    /// The pulse of a node; a new one when it has none.
    pub fn of(&self, node: NodeId) -> Arc<Pulse> {
        Arc::clone(self.0.write().unwrap_or_else(PoisonError::into_inner).entry(node).or_default())
    }

    /// The node was heard at this time. One that is not registered has no pulse.
    pub fn beat(&self, node: NodeId, at_ms: u64) {
        if let Some(pulse) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&node) {
            pulse.beat(at_ms);
        }
    }

    /// The node is not registered any more.
    pub fn forget(&self, node: NodeId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&node);
    }
}
