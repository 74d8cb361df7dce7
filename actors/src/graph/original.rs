//! Makes a node out of an original runner: a Runner of ours, beside the coordinator, whose executor is the original's
//! `POST /execute`. To everybody else it is a node like any other, and says in its kind what it is.

use std::sync::Arc;

use actix::{Actor, Addr};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{StartError, local, ties};
use crate::coordinator::Coordinator;
use crate::courier::{Courier, Peer};
use crate::exec::{BaseEnv, Executor};
use crate::model::meter::Meter;
use crate::model::{NodeId, RoomBoard, RoomFacts, RoomPolicy, RunnerKind, RunnerSpec};
use crate::protocol::DeathGuard;
use crate::runner::{Runner, RunnerSetup};
use crate::runner_proxy::original::OriginalExecutor;
use crate::secret::Vault;

/// Registers it. What goes wrong is logged: the coordinator does without it.
pub(super) async fn begin(peer: Peer, coordinator: &Addr<Coordinator>, vault: Arc<Vault>, heartbeat_ms: u64) {
    let url = peer.url.clone();
    let node = id_of(&url);
    let (sender, events) = mpsc::unbounded_channel();
    let executor = OriginalExecutor::new(Courier::to(&peer), sender);
    let slots = executor.usable_slots();
    let (died, _) = mpsc::unbounded_channel();
    let setup = RunnerSetup {
        node,
        executor: Box::new(executor),
        base_env: BaseEnv::default(),
        vault,
        events,
        spool: None,
        results: None,
        hold_ms: 0,
        meter: Arc::new(Meter::default()),
    };
    let runner = Runner::new(setup, DeathGuard::new("original runner", died)).start();
    // Its jobs have no room, and nothing of the host that we could give or keep.
    let rooms = Arc::new(RoomBoard::new(RoomPolicy::default()));
    rooms.write(RoomFacts {
        verified_at_ms: Some(0),
        degraded_because: vec!["it is the original's runner, which isolates nothing".into()],
        ..RoomFacts::default()
    });
    let spec = RunnerSpec {
        name: name_of(&url),
        slots,
        kind: RunnerKind::Original,
        address: Some(url.clone()),
        ..RunnerSpec::default()
    };
    let handle = ties::runner_handle(node, &runner, rooms);
    match local::register(coordinator, &runner, &handle, &spec, heartbeat_ms).await {
        Ok(()) => {}
        // The coordinator has stopped.
        Err(StartError::Died) => return,
        Err(error) => return log::error!(url = url.as_str(); "the original's runner is not used: {error}"),
    }
    log::warn!(
        url = url.as_str();
        "this is the original's runner: its jobs are not isolated, cannot be ended, and are lost with a connection"
    );
}

/// The same for the same address, as it has no name of its own.
fn id_of(url: &str) -> NodeId {
    let hash = Sha256::digest(url.as_bytes());
    NodeId::from_bytes(std::array::from_fn(|at| hash[at]))
}

fn name_of(url: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    authority.chars().map(plain).take(crate::model::runner_spec::MAX_NODE_NAME_BYTES).collect()
}
