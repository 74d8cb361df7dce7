//! Ties the actors that speak with other machines: those of a coordinator to its far nodes, those of a node to
//! coordinators elsewhere. Which of them there are is what the builder says.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, Recipient};
use futures_util::future::{join, join_all};

use super::{StartError, original};
use crate::coordinator::Coordinator;
use crate::courier::Peer;
use crate::model::{NodeId, Pulses, RunnerSpec};
use crate::protocol::gateway::{NodeDoors, NodeTokens, Portrait};
use crate::protocol::metrics::Shutdown;
use crate::protocol::runner::{FenceTimes, SayGoodbye};
use crate::protocol::{DeathGuard, NodeGateway, NodePort, RunnerHandle};
use crate::runner::Runner;
use crate::runner_proxy::dial::{self, Dial, Finding};
use crate::runner_proxy::{Reception, ReceptionSetup};
use crate::secret::Vault;
use crate::spool::results::ResultLog;
use crate::uplink::loopback::{self, LoopbackError};
use crate::uplink::{NodeSide, Port, Uplink};

/// Longest that a coordinator is given to hear that the node goes.
pub const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Whom a platform speaks with on other machines.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// Nodes that it dials.
    pub dials: Vec<Peer>,
    /// Coordinators that its own node joins.
    pub joins: Vec<Peer>,
    /// Whether coordinators may dial its own node.
    pub is_dialled: bool,
    /// Where its own node keeps results until coordinators elsewhere have them; without one they are in memory only.
    pub results_dir: Option<PathBuf>,
    /// How long jobs of coordinators elsewhere go on when this process ends without a word, in milliseconds; 0 for not at
    /// all.
    pub hold_ms: u64,
}

impl Peers {
    /// Whether its own node works for coordinators elsewhere.
    pub fn works_afar(&self) -> bool {
        self.is_dialled || !self.joins.is_empty()
    }

    /// The log of results, opened off this thread; none where none is needed.
    pub(super) async fn open_results(&self) -> Result<Option<ResultLog>, StartError> {
        let Some(dir) = self.results_dir.clone().filter(|_| self.works_afar()) else {
            return Ok(None);
        };
        let opened = tokio::task::spawn_blocking(move || ResultLog::open(&dir)).await;
        Ok(Some(opened.map_err(|_| StartError::Died)??))
    }
}

/// The tokens of nodes, made with the platform's key.
#[derive(Debug)]
struct Tokens(Arc<Vault>);

impl NodeTokens for Tokens {
    fn token_of(&self, node: NodeId) -> Option<String> {
        self.0.node_token(node)
    }

    fn node_of(&self, token: &str) -> Option<NodeId> {
        self.0.node_of_token(token)
    }
}

/// The local node, as the graph knows it.
pub(super) struct LocalNode<'a> {
    pub runner: &'a Addr<Runner>,
    pub handle: RunnerHandle,
    pub spec: RunnerSpec,
    pub vault: Arc<Vault>,
    pub heartbeat_ms: u64,
    pub fence: FenceTimes,
}

/// The actors.
pub(super) struct Far {
    reception: Addr<Reception>,
    uplinks: Vec<Addr<Uplink>>,
    port: Option<Addr<Port>>,
    loopback: Option<Recipient<Shutdown>>,
    side: NodeSide,
}

impl Far {
    /// Starts them, and opens their doors.
    pub fn start(
        peers: Peers,
        local: LocalNode<'_>,
        coordinator: &Addr<Coordinator>,
        guard: impl Fn(&'static str) -> DeathGuard,
    ) -> (Self, NodeDoors) {
        let pulses = Arc::new(Pulses::default());
        let setup = ReceptionSetup {
            register: coordinator.clone().recipient(),
            gone: coordinator.clone().recipient(),
            vault: Arc::clone(&local.vault),
            pulses: Arc::clone(&pulses),
        };
        let reception = Reception::new(setup, guard("reception")).start();
        let gateway = NodeGateway {
            admit: reception.clone().recipient(),
            orders: reception.clone().recipient(),
            rooms: reception.clone().recipient(),
            answers: reception.clone().recipient(),
            leave: reception.clone().recipient(),
            report: coordinator.clone().recipient(),
            pulses,
            heartbeat_ms: local.heartbeat_ms,
            fence: Some(local.fence),
            tokens: Arc::new(Tokens(Arc::clone(&local.vault))),
        };
        let heartbeat_ms = local.heartbeat_ms;
        for peer in peers.dials {
            let dial = Dial {
                peer,
                heartbeat_ms: local.heartbeat_ms,
                fence: Some(local.fence),
                admit: gateway.admit.clone(),
                orders: gateway.orders.clone(),
                rooms: gateway.rooms.clone(),
                answers: gateway.answers.clone(),
                leave: gateway.leave.clone(),
                report: gateway.report.clone(),
                pulses: Arc::clone(&gateway.pulses),
            };
            let (coordinator, vault) = (coordinator.clone(), Arc::clone(&local.vault));
            actix::spawn(async move {
                let peer = dial.peer.clone();
                if dial::keep(dial).await == Finding::Original {
                    original::begin(peer, &coordinator, vault, heartbeat_ms).await;
                }
            });
        }
        let rooms = Arc::clone(&local.handle.rooms);
        let portrait = Portrait { node: local.handle.id, spec: local.spec, rooms };
        let side = NodeSide {
            portrait: portrait.clone(),
            runner: local.handle,
            begin: local.runner.clone().recipient(),
            vault: local.vault,
        };
        let join = |target| Uplink::new(side.clone(), target, guard("uplink")).start();
        let uplinks = peers.joins.into_iter().map(join).collect();
        let port = peers.is_dialled.then(|| Port::new(side.clone(), guard("port")).start());
        let door = port.as_ref().map(|port| NodePort {
            portrait,
            begin: port.clone().recipient(),
            orders: port.clone().recipient(),
            watch: port.clone().recipient(),
        });
        (Self { reception, uplinks, port, loopback: None, side }, NodeDoors { gateway, port: door })
    }

    /// Ties the local node like a far one: everything that it is told, and tells, is written down and read again.
    pub async fn tie_local(&mut self, doors: &NodeDoors, guard: DeathGuard) -> Result<(), StartError> {
        let begun = loopback::begin(self.side.clone(), doors.gateway.clone(), guard).await;
        self.loopback = Some(begun.map_err(|error| match error {
            LoopbackError::Register(error) => StartError::Register(error),
            LoopbackError::Occupied(error) => StartError::Occupied(error),
            LoopbackError::Altered(error) => StartError::Altered(error),
        })?);
        Ok(())
    }

    /// The node has told its coordinators everything and holds nothing: they need not miss it.
    pub async fn say_goodbye(&self) {
        let uplinks = join_all(self.uplinks.iter().map(|uplink| uplink.send(SayGoodbye)));
        let port = async {
            if let Some(port) = &self.port {
                // One that is gone has nothing to say.
                let _ = port.send(SayGoodbye).await;
            }
        };
        if tokio::time::timeout(GOODBYE_TIMEOUT, join(uplinks, port)).await.is_err() {
            log::warn!("a coordinator does not hear this runner's goodbye: it is thought lost there");
        }
    }

    /// The node has told its coordinators everything: it speaks with them no more.
    pub async fn leave(&self, shutdown: Shutdown) {
        for uplink in &self.uplinks {
            // One that is gone has nothing left to stop.
            let _ = uplink.send(shutdown).await;
        }
        if let Some(port) = &self.port {
            let _ = port.send(shutdown).await;
        }
        if let Some(loopback) = &self.loopback {
            let _ = loopback.send(shutdown).await;
        }
    }

    /// Far nodes are given nothing more. What they run goes on.
    pub async fn close(&self, shutdown: Shutdown) {
        let _ = self.reception.send(shutdown).await;
    }
}
