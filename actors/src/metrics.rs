//! Metrics: owns the metric families and their names, learns by listening to notices, and reads the meters when it is
//! asked for its text. It knows no jobs by name.

mod families;
mod isolation;
mod nodes;
mod windows;

use std::sync::Arc;

use actix::{Actor, Context, Handler, MessageResult};
use prometheus::{Encoder, TextEncoder};

use crate::clock;
use crate::model::Status;
use crate::model::meter::Meter;
use crate::protocol::DeathGuard;
use crate::protocol::metrics::{GetStats, QueueMeasured, RenderMetrics, Shutdown, Stats};
use crate::protocol::notices::{JobChange, JobChangeKind, JobChanged, RunnerChanged};
use families::{Families, render_meters};
use windows::Windows;

/// The actor.
pub struct Metrics {
    families: Families,
    windows: Windows,
    /// When the oldest job that waits was accepted, as it was last measured.
    oldest_waiting_ms: Option<i64>,
    meter: Arc<Meter>,
    guard: DeathGuard,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Registers every family in a registry of its own.
    ///
    /// # Errors
    /// A name that is registered twice or is not valid: a mistake in `families`.
    pub fn new(meter: Arc<Meter>, guard: DeathGuard) -> Result<Self, prometheus::Error> {
        let windows = Windows::new(clock::now_ms());
        Ok(Self { families: Families::new()?, windows, oldest_waiting_ms: None, meter, guard })
    }

    fn render(&self) -> String {
        self.families.read_meter(&self.meter);
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.families.registry.gather(), &mut text) {
            log::error!("metrics could not be rendered: {error}");
        }
        let mut text = String::from_utf8_lossy(&text).into_owned();
        let (name, help) =
            ("callboard_store_operation_duration_seconds", "Time of one durable commit or one read.");
        text += &render_meters(
            (name, help, "op"),
            &[("commit", &self.meter.store_commit), ("read", &self.meter.store_read)],
        );
        text
    }

    fn learn(&mut self, change: &JobChange, now_ms: i64) {
        let (families, windows) = (&self.families, &mut self.windows);
        let shift = |status: Status, by: i64| match status {
            Status::Pending => families.pending.iter().for_each(|gauge| gauge.add(by)),
            Status::Running => families.running.iter().for_each(|gauge| gauge.add(by)),
            Status::Completed | Status::Failed | Status::Cancelled => {}
        };
        match &change.what {
            JobChangeKind::Accepted => {
                families.jobs.inc();
                windows.accepted(now_ms);
                shift(Status::Pending, 1);
            }
            JobChangeKind::Restored { status } => {
                families.restored.inc();
                shift(*status, 1);
            }
            JobChangeKind::Leased { waited_ms } => {
                families.queue_wait.observe(*waited_ms as f64 / 1e3);
                windows.waited(now_ms, *waited_ms);
            }
            JobChangeKind::Dispatched { took_us } => families.dispatch.observe(*took_us as f64 / 1e6),
            JobChangeKind::Started => {
                shift(Status::Pending, -1);
                shift(Status::Running, 1);
            }
            JobChangeKind::Requeued { was_running } => {
                families.requeued.inc();
                if *was_running {
                    shift(Status::Running, -1);
                    shift(Status::Pending, 1);
                }
            }
            JobChangeKind::Ended { reason, from, runtime_ms, usage, .. } => {
                shift(*from, -1);
                families.ended(*reason, *runtime_ms, usage);
                windows.ended(now_ms, *reason, runtime_ms.map(|_| usage.wall_us));
            }
            JobChangeKind::Deleted => {}
        }
    }
}

impl Metrics {
    fn stats(&self) -> Stats {
        let now_ms = clock::now_ms();
        let (wait_us, run_us) = self.windows.spreads(now_ms);
        let level = |gauges: &[prometheus::IntGauge; 2]| gauges[0].get().max(0).unsigned_abs();
        Stats {
            pending: level(&self.families.pending),
            running: level(&self.families.running),
            windows: self.windows.counts(now_ms),
            wait_us,
            run_us,
            oldest_waiting_ms: self.oldest_waiting_ms,
        }
    }
}

impl Handler<GetStats> for Metrics {
    type Result = MessageResult<GetStats>;

    fn handle(&mut self, _: GetStats, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.stats())
    }
}

impl Actor for Metrics {
    type Context = Context<Self>;
}

impl Handler<RenderMetrics> for Metrics {
    type Result = MessageResult<RenderMetrics>;

    fn handle(&mut self, _: RenderMetrics, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.render())
    }
}

impl Handler<JobChanged> for Metrics {
    type Result = ();

    fn handle(&mut self, message: JobChanged, _: &mut Context<Self>) {
        let now_ms = clock::now_ms();
        message.changes.iter().for_each(|change| self.learn(change, now_ms));
    }
}

impl Handler<RunnerChanged> for Metrics {
    type Result = ();

    fn handle(&mut self, message: RunnerChanged, _: &mut Context<Self>) {
        self.families.nodes.changed(message.state);
    }
}

impl Handler<QueueMeasured> for Metrics {
    type Result = ();

    fn handle(&mut self, message: QueueMeasured, _: &mut Context<Self>) {
        let oldest_ms = message.oldest_created_at_ms;
        self.oldest_waiting_ms = (oldest_ms > 0).then_some(oldest_ms);
        self.families.measured(&message);
    }
}

impl Handler<Shutdown> for Metrics {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Context<Self>) {
        self.guard.disarm();
    }
}
