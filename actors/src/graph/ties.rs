//! Who holds whose recipients: the edges of the graph, and nothing else.

use std::sync::Arc;

use actix::{Actor, Addr};

use super::StartError;
use crate::clock;
use crate::coordinator::{Coordinator, CoordinatorPeers};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::model::meter::Meter;
use crate::model::{NodeId, RoomBoard};
use crate::protocol::feed::EventFeed;
use crate::protocol::metrics::Shutdown;
use crate::protocol::platform::{JobRecipients, MetricsRecipients};
use crate::protocol::{DeathGuard, RunnerHandle};
use crate::runner::Runner;
use crate::scheduler::{Scheduler, SchedulerPeers};

/// Those that only listen. They are started first: they must hear of what is restored.
pub(super) struct Hearers {
    pub metrics: Addr<Metrics>,
    pub events: Addr<Events>,
    /// Where the events are read.
    pub feed: Arc<EventFeed>,
}

impl Hearers {
    pub(super) fn start(
        meter: &Arc<Meter>,
        guard: impl Fn(&'static str) -> DeathGuard,
    ) -> Result<Self, StartError> {
        let metrics = Metrics::new(Arc::clone(meter), guard("metrics")).map_err(|error| {
            log::error!("metrics cannot be registered: {error}");
            StartError::Died
        })?;
        let feed = Arc::new(EventFeed::new(clock::now_ms()));
        let events = Events::new(Arc::clone(&feed), guard("events"));
        Ok(Self { metrics: metrics.start(), events: events.start(), feed })
    }

    pub(super) fn metrics_recipients(&self) -> MetricsRecipients {
        MetricsRecipients {
            render: self.metrics.clone().recipient(),
            stats: self.metrics.clone().recipient(),
        }
    }

    /// Tells them that nothing comes any more.
    pub(super) async fn stop(&self, shutdown: Shutdown) {
        // One that is gone has nothing left to stop.
        let _ = self.metrics.send(shutdown).await;
        let _ = self.events.send(shutdown).await;
    }
}

pub(super) fn scheduler_peers(coordinator: &Addr<Coordinator>, hearers: &Hearers) -> SchedulerPeers {
    SchedulerPeers {
        start: coordinator.clone().recipient(),
        lost: coordinator.clone().recipient(),
        listeners: vec![hearers.metrics.clone().recipient(), hearers.events.clone().recipient()],
        measured: hearers.metrics.clone().recipient(),
    }
}

pub(super) fn coordinator_peers(scheduler: &Addr<Scheduler>, hearers: &Hearers) -> CoordinatorPeers {
    CoordinatorPeers {
        enqueue: scheduler.clone().recipient(),
        withdraw: scheduler.clone().recipient(),
        release: scheduler.clone().recipient(),
        capacity: scheduler.clone().recipient(),
        doubt: scheduler.clone().recipient(),
        eligibility: scheduler.clone().recipient(),
        forget: scheduler.clone().recipient(),
        gone: scheduler.clone().recipient(),
        explain: scheduler.clone().recipient(),
        listeners: vec![hearers.metrics.clone().recipient(), hearers.events.clone().recipient()],
    }
}

pub(super) fn runner_handle(id: NodeId, runner: &Addr<Runner>, rooms: Arc<RoomBoard>) -> RunnerHandle {
    RunnerHandle {
        id,
        rooms,
        pulse: Arc::default(),
        assign: runner.clone().recipient(),
        cancel: runner.clone().recipient(),
        read_output: runner.clone().recipient(),
        write_input: runner.clone().recipient(),
        forget: runner.clone().recipient(),
    }
}

pub(super) fn job_recipients(coordinator: &Addr<Coordinator>) -> JobRecipients {
    JobRecipients {
        submit: coordinator.clone().recipient(),
        get: coordinator.clone().recipient(),
        find: coordinator.clone().recipient(),
        wait: coordinator.clone().recipient(),
        list: coordinator.clone().recipient(),
        cancel: coordinator.clone().recipient(),
        retry: coordinator.clone().recipient(),
        delete: coordinator.clone().recipient(),
        prune: coordinator.clone().recipient(),
        totals: coordinator.clone().recipient(),
        read_output: coordinator.clone().recipient(),
        write_input: coordinator.clone().recipient(),
        tenant: coordinator.clone().recipient(),
        list_tokens: coordinator.clone().recipient(),
        change_tokens: coordinator.clone().recipient(),
        change_runner: coordinator.clone().recipient(),
    }
}
