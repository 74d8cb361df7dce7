//! Nodes that run nothing, for measuring a coordinator: each has a true Runner that speaks the true protocol, and an
//! executor that ends every job as it begins it. They keep nothing on a disk.

use std::sync::Arc;

use actix::{Actor, Addr, Arbiter};
use tokio::sync::mpsc;

use super::ties;
use crate::clock;
use crate::courier::Peer;
use crate::exec::{BaseEnv, Executor, NoopExecutor};
use crate::model::meter::Meter;
use crate::model::{HealthBoard, RunnerSpec};
use crate::protocol::DeathGuard;
use crate::protocol::gateway::Portrait;
use crate::runner::{Runner, RunnerSetup};
use crate::secret::{KeySource, Vault};
use crate::uplink::{NodeSide, Uplink};

/// Such nodes, on threads of their own. They are gone when this is dropped.
#[derive(Debug)]
pub struct SimulatedNodes {
    threads: Vec<Arbiter>,
    meter: Arc<Meter>,
}

impl SimulatedNodes {
    /// So many nodes with so many slots each, which begin to join at once.
    pub fn join(count: usize, slots: u32, threads: usize, target: &Peer) -> Self {
        let meter = Arc::new(Meter::default());
        let threads: Vec<Arbiter> = (0..threads.max(1)).map(|_| Arbiter::new()).collect();
        for (at, thread) in threads.iter().enumerate() {
            let own = (at..count).step_by(threads.len());
            let (meter, target) = (Arc::clone(&meter), target.clone());
            let begun = thread.spawn_fn(move || {
                let vault = Vault::shared(KeySource::Ephemeral, &Arc::new(HealthBoard::default()));
                own.for_each(|number| drop(join(number, slots, &target, &vault, &meter)));
            });
            if !begun {
                log::error!("a thread of simulated nodes has ended");
            }
        }
        Self { threads, meter }
    }

    /// Attempts that they have started.
    pub fn started(&self) -> u64 {
        self.meter.attempts_started.read()
    }
}

impl Drop for SimulatedNodes {
    fn drop(&mut self) {
        for thread in &self.threads {
            // One that has ended needs no end.
            let _ = thread.stop();
        }
    }
}

/// One node, on this thread.
fn join(number: usize, slots: u32, target: &Peer, vault: &Arc<Vault>, meter: &Arc<Meter>) -> Addr<Uplink> {
    // Nobody mourns them: whoever measures finds that jobs do not end.
    let guard = |name| DeathGuard::new(name, mpsc::unbounded_channel().0);
    let (sender, events) = mpsc::unbounded_channel();
    let node = clock::new_node_id();
    let executor = Box::new(NoopExecutor::new(slots, sender));
    let rooms = executor.rooms();
    let setup = RunnerSetup {
        node,
        executor,
        base_env: BaseEnv::default(),
        vault: Arc::clone(vault),
        events,
        spool: None,
        results: None,
        hold_ms: 0,
        meter: Arc::clone(meter),
    };
    let runner = Runner::new(setup, guard("runner")).start();
    let spec = RunnerSpec { name: format!("simulated-{number}"), slots, ..RunnerSpec::default() };
    let side = NodeSide {
        portrait: Portrait { node, spec, rooms: Arc::clone(&rooms) },
        runner: ties::runner_handle(node, &runner, rooms),
        begin: runner.recipient(),
        vault: Arc::clone(vault),
    };
    Uplink::new(side, target.clone(), guard("uplink")).start()
}
