//! The metric families: every name, help text and bucket in one place. Which notice moves which is not known here.

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

use super::isolation::IsolationFamilies;
use super::nodes::NodeFamilies;
use crate::model::meter::{DurationMeter, Meter, Rejected};
use crate::model::{EndReason, Status, Stream, Usage};
use crate::protocol::metrics::QueueMeasured;

/// The one queue that there is.
const QUEUE: &str = "default";
/// What the program was built from and with, where that was told.
const REVISION: Option<&str> = option_env!("CALLBOARD_REVISION");
const RUSTC: Option<&str> = option_env!("CALLBOARD_RUSTC");

/// Upper bounds of run times, in seconds.
const RUNTIME: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
    14400.0, 86400.0,
];
/// Upper bounds of waits in the queue, in seconds.
const WAIT: &[f64] = &[
    0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0,
];
/// Upper bounds of dispatches, in seconds.
const DISPATCH: &[f64] = &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];
/// Upper bounds of memory, in bytes: 1 MiB to 16 GiB, each four times the one before.
const MEMORY: &[f64] =
    &[1048576.0, 4194304.0, 16777216.0, 67108864.0, 268435456.0, 1073741824.0, 4294967296.0, 17179869184.0];

pub(super) struct Families {
    pub registry: Registry,
    pub jobs: IntCounter,
    pub completed: IntCounter,
    pub failed: IntCounter,
    pub cancelled: IntCounter,
    pub failures: IntCounterVec,
    pub executions: IntCounter,
    pub executions_success: IntCounter,
    pub executions_failed: IntCounter,
    pub runtime: Histogram,
    /// The original's gauge, and ours.
    pub pending: [IntGauge; 2],
    /// The original's gauge, and ours.
    pub running: [IntGauge; 2],
    pub restored: IntCounter,
    pub requeued: IntCounter,
    pub queue_wait: Histogram,
    pub dispatch: Histogram,
    queue_depth: IntGauge,
    queue_oldest: Gauge,
    pub nodes: NodeFamilies,
    isolation: IsolationFamilies,
    cpu_seconds: Counter,
    memory: Histogram,
    insecure: IntGauge,
    rejected: IntCounterVec,
    orphans: IntCounter,
    output_bytes: IntCounterVec,
    output_truncated: IntCounterVec,
    store_operations: IntCounter,
    store_errors: IntCounter,
    store_size: IntGauge,
    retained: Retained,
    attempts_assigned: IntCounter,
    attempts_started: IntCounter,
    quarantined: (IntCounter, IntGauge),
    results_unkept: IntCounter,
}

/// Makes families and registers them.
pub(super) struct Maker(Registry);

impl Maker {
    pub(super) fn add<C: Collector + Clone + 'static>(
        &self,
        made: prometheus::Result<C>,
    ) -> prometheus::Result<C> {
        let collector = made?;
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(name, help))
    }

    pub(super) fn counters(&self, name: &str, help: &str, label: &str) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), &[label]))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, label: &str) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), &[label]))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    // What is said of a queue carries its name, so that a second queue will change no query.

    fn queue_depth(&self) -> prometheus::Result<IntGauge> {
        let depth = self.gauges("callboard_queue_depth", "Jobs that wait for a slot.", "queue")?;
        Ok(depth.with_label_values(&[QUEUE]))
    }

    fn queue_oldest(&self) -> prometheus::Result<Gauge> {
        let opts = Opts::new(
            "callboard_queue_oldest_job_timestamp_seconds",
            "When the oldest waiting job was accepted; 0 when none waits.",
        );
        Ok(self.add(GaugeVec::new(opts, &["queue"]))?.with_label_values(&[QUEUE]))
    }

    fn queue_wait(&self) -> prometheus::Result<Histogram> {
        let opts = HistogramOpts::new("callboard_queue_wait_seconds", "From acceptance to lease.");
        let waits = self.add(HistogramVec::new(opts.buckets(WAIT.to_vec()), &["queue"]))?;
        Ok(waits.with_label_values(&[QUEUE]))
    }

    fn dispatch(&self) -> prometheus::Result<Histogram> {
        self.histogram("callboard_dispatch_duration_seconds", "From lease to the runner's answer.", DISPATCH)
    }

    fn memory(&self) -> prometheus::Result<Histogram> {
        self.histogram(
            "callboard_execution_max_rss_bytes",
            "Largest resident size of one process of a finished job.",
            MEMORY,
        )
    }

    /// How many ever, and how many now.
    fn quarantined(&self) -> prometheus::Result<(IntCounter, IntGauge)> {
        let taken = self.counter("callboard_slots_quarantined_total", "Slots taken out of use.")?;
        Ok((taken, self.gauge("callboard_slots_quarantined", "Slots that are out of use now.")?))
    }

    fn results_unkept(&self) -> prometheus::Result<IntCounter> {
        let help = "Results that were told without being on the disk of their node first.";
        self.counter("callboard_results_unkept_total", help)
    }

    fn insecure(&self) -> prometheus::Result<IntGauge> {
        self.gauge("callboard_insecure", "1 when other machines can reach the API and no token guards it.")
    }

    /// This process itself, and what it was built from.
    fn process(&self) -> prometheus::Result<()> {
        self.0.register(Box::new(ProcessCollector::for_self()))?;
        let opts = Opts::new("callboard_build_info", "The running program; always 1.");
        let build = self.add(IntGaugeVec::new(opts, &["version", "revision", "rustc"]))?;
        let known = |fact: Option<&'static str>| fact.filter(|fact| !fact.is_empty()).unwrap_or("unknown");
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), known(REVISION), known(RUSTC)]).set(1);
        Ok(())
    }
}

/// Brings a counter to where a meter is.
pub(super) fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

/// Finished jobs and what they occupy.
struct Retained {
    bytes: IntGauge,
    jobs: IntGauge,
    forgotten: IntCounter,
}

impl Retained {
    fn new(make: &Maker) -> prometheus::Result<Self> {
        let (bytes, jobs) = ("callboard_retained_bytes", "callboard_retained_jobs");
        let forgotten = "callboard_jobs_forgotten_total";
        Ok(Self {
            bytes: make.gauge(bytes, "What finished jobs occupy, output included, as estimated.")?,
            jobs: make.gauge(jobs, "Finished jobs that are kept.")?,
            forgotten: make.counter(forgotten, "Finished jobs forgotten by age, number, size or a prune.")?,
        })
    }
}

impl Families {
    pub fn new() -> prometheus::Result<Self> {
        let make = Maker(Registry::new());
        make.process()?;
        let jobs = make.gauges("callboard_jobs", "Jobs that are live now, by status.", "status")?;
        let live = |status: Status| jobs.with_label_values(&[status.as_str()]);
        let pending = make.gauge("jobs_pending_total", "Jobs that wait now.")?;
        let running = make.gauge("jobs_running_total", "Jobs that run now.")?;
        let families = Self {
            jobs: make.counter("jobs_total", "Jobs accepted since the start.")?,
            completed: make.counter("jobs_completed_total", "Jobs that ended with exit code 0.")?,
            failed: make
                .counter("jobs_failed_total", "Jobs that ended otherwise, cancelled ones not counted.")?,
            cancelled: make.counter("callboard_jobs_cancelled_total", "Jobs that were cancelled.")?,
            failures: make.counters("callboard_job_failures_total", "Failed jobs by reason.", "reason")?,
            executions: make.counter("executions_total", "Executions finished.")?,
            executions_success: make.counter("executions_success_total", "Executions with exit code 0.")?,
            executions_failed: make.counter("executions_failed_total", "Executions that ended otherwise.")?,
            runtime: make.histogram("job_runtime_seconds", "From a process's start to its end.", RUNTIME)?,
            pending: [pending, live(Status::Pending)],
            running: [running, live(Status::Running)],
            restored: make
                .counter("callboard_jobs_restored_total", "Live jobs found in the store at start.")?,
            requeued: make
                .counter("callboard_job_retries_total", "Attempts that were lost or given back.")?,
            queue_wait: make.queue_wait()?,
            dispatch: make.dispatch()?,
            queue_depth: make.queue_depth()?,
            queue_oldest: make.queue_oldest()?,
            nodes: NodeFamilies::new(&make)?,
            isolation: IsolationFamilies::new(&make)?,
            cpu_seconds: make
                .add(Counter::new("callboard_execution_cpu_seconds_total", "CPU time of finished jobs."))?,
            memory: make.memory()?,
            insecure: make.insecure()?,
            rejected: make.counters(
                "callboard_jobs_rejected_total",
                "Submits that were refused.",
                "reason",
            )?,
            orphans: make
                .counter("callboard_job_orphans_killed_total", "Processes that outlived their job.")?,
            output_bytes: make.counters(
                "callboard_execution_output_bytes_total",
                "Output that jobs wrote.",
                "stream",
            )?,
            output_truncated: make.counters(
                "callboard_execution_output_truncated_total",
                "Streams not kept whole.",
                "stream",
            )?,
            store_operations: make.counter("callboard_store_operations_total", "Operations committed.")?,
            store_errors: make.counter("callboard_store_errors_total", "Commits or reads that failed.")?,
            store_size: make
                .gauge("callboard_store_size_bytes", "Size of the database and its log on disk.")?,
            retained: Retained::new(&make)?,
            attempts_assigned: make
                .counter("callboard_attempts_assigned_total", "Attempts given to runners.")?,
            attempts_started: make.counter("callboard_attempts_started_total", "Processes started.")?,
            quarantined: make.quarantined()?,
            results_unkept: make.results_unkept()?,
            registry: make.0,
        };
        Ok(families.begun_at_zero())
    }

    /// A series that appears only with its first event hides that event from whoever looks at its growth.
    fn begun_at_zero(self) -> Self {
        for reason in EndReason::ALL.iter().filter(|reason| reason.status() == Status::Failed) {
            self.failures.with_label_values(&[reason.as_str()]);
        }
        self
    }

    /// The queue and the nodes, as they were just measured.
    pub fn measured(&self, queue: &QueueMeasured) {
        self.queue_depth.set(queue.depth as i64);
        self.queue_oldest.set(queue.oldest_created_at_ms as f64 / 1e3);
        self.nodes.measured(queue);
    }

    pub fn ended(&self, reason: EndReason, runtime_ms: Option<u64>, usage: &Usage) {
        match reason.status() {
            Status::Completed => self.completed.inc(),
            Status::Cancelled => self.cancelled.inc(),
            _ => {
                self.failed.inc();
                self.failures.with_label_values(&[reason.as_str()]).inc();
            }
        }
        if let Some(runtime_ms) = runtime_ms {
            self.runtime.observe(runtime_ms as f64 / 1e3);
            self.memory.observe(usage.peak_memory_bytes as f64);
            self.executions.inc();
            let success = reason == EndReason::Exited;
            if success { self.executions_success.inc() } else { self.executions_failed.inc() }
        }
        self.cpu_seconds.inc_by((usage.cpu_user_us + usage.cpu_system_us) as f64 / 1e6);
    }

    /// Brings the counters that others keep up to date.
    pub fn read_meter(&self, meter: &Meter) {
        raise(&self.orphans, meter.orphans_killed.read());
        self.isolation.read_meter(meter);
        for stream in Stream::BOTH {
            let (at, label) = (stream as usize, [stream.as_str()]);
            raise(&self.output_bytes.with_label_values(&label), meter.output_bytes[at].read());
            raise(&self.output_truncated.with_label_values(&label), meter.output_truncated[at].read());
        }
        self.insecure.set(i64::try_from(meter.insecure.read()).unwrap_or(1));
        raise(&self.store_operations, meter.store_operations.read());
        raise(&self.store_errors, meter.store_errors.read());
        self.store_size.set(i64::try_from(meter.store_size_bytes.read()).unwrap_or(i64::MAX));
        let level = |level: u64| i64::try_from(level).unwrap_or(i64::MAX);
        self.retained.bytes.set(level(meter.retained_bytes.read()));
        self.retained.jobs.set(level(meter.retained_jobs.read()));
        raise(&self.retained.forgotten, meter.jobs_forgotten.read());
        raise(&self.attempts_assigned, meter.attempts_assigned.read());
        raise(&self.attempts_started, meter.attempts_started.read());
        raise(&self.results_unkept, meter.results_unkept.read());
        let (taken, now) = &self.quarantined;
        raise(taken, meter.slots_quarantined.read());
        // None comes back before the next start.
        now.set(level(meter.slots_quarantined.read()));
        for reason in Rejected::ALL {
            let counter = self.rejected.with_label_values(&[reason.as_str()]);
            raise(&counter, meter.rejected[reason as usize].read());
        }
    }
}

/// Text of a family of histograms that are kept in meters, in the exposition format. `family` is its name, its help
/// and its label; each meter stands beside its label's value.
pub(super) fn render_meters(family: (&str, &str, &str), meters: &[(&str, &DurationMeter)]) -> String {
    use std::fmt::Write;
    let (name, help, label) = family;
    let mut text = format!("# HELP {name} {help}\n# TYPE {name} histogram\n");
    for (value, meter) in meters {
        let (buckets, count, sum_us) = meter.read();
        let labels = format!("{label}=\"{value}\"");
        let mut below = 0;
        for (bound_us, observed) in DurationMeter::BOUNDS_US.iter().zip(buckets) {
            below += observed;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{}\"}} {below}", *bound_us as f64 / 1e6);
        }
        // The count is read after the buckets, and they may have grown in between.
        let count = count.max(below);
        let _ = write!(
            text,
            "{name}_bucket{{{labels},le=\"+Inf\"}} {count}\n{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {count}\n",
            sum_us as f64 / 1e6
        );
    }
    text
}
