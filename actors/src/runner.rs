//! The Runner: owns the processes of one node and its half of the link. It acts on commands, tells what became of
//! them, and stays able to hear a cancel while it works. It knows no queue and no records.

mod aging;
mod bond;
mod heritage;
mod results;
mod telling;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, ResponseFuture};
use futures_util::stream;
use tokio::sync::{mpsc, oneshot};

use crate::clock::{self, Moment};
use crate::exec::{BaseEnv, ExecEvent, ExecJob, Executor, HoldOrder, job_env};
use crate::link::{Assignment, Command, NodeEffect};
use crate::model::meter::Meter;
use crate::model::{AttemptEnd, AttemptId, AttemptResult, Captured, JobSpec, NodeId, Stream, Usage};
use crate::protocol::jobs::InputAck;
use crate::protocol::metrics::Shutdown;
use crate::protocol::runner::{
    AssignAttempts, CancelAttempt, DrainNode, ForgetOutput, ReadOutput, SpoolChunk, SpoolReadError,
    WriteInput,
};
use crate::protocol::{DeathGuard, NodeError};
use crate::secret::Vault;
use crate::spool::Spool;
use crate::spool::results::ResultLog;
use bond::Bonds;
use heritage::Heritage;

/// Most events of the executor that are handled in one go.
const EVENTS_AT_ONCE: usize = 256;

/// What a Runner works with.
pub struct RunnerSetup {
    /// Whose processes these are.
    pub node: NodeId,
    /// Runs attempts.
    pub executor: Box<dyn Executor>,
    /// What every job's environment starts from.
    pub base_env: BaseEnv,
    /// Opens secret variables.
    pub vault: Arc<Vault>,
    /// What the executor says.
    pub events: mpsc::UnboundedReceiver<ExecEvent>,
    /// Where output is kept; none for executors that keep none.
    pub spool: Option<Spool>,
    /// Where results for a coordinator elsewhere are kept until they have their verdict; none where there can be none.
    pub results: Option<ResultLog>,
    /// How long jobs of a coordinator elsewhere go on when this process ends without a word, in milliseconds; 0 for not
    /// at all.
    pub hold_ms: u64,
    /// Counters.
    pub meter: Arc<Meter>,
}

/// The actor.
pub struct Runner {
    setup: RunnerSetup,
    bonds: Bonds,
    /// What a former life left, until its coordinator is there again.
    heritage: Heritage,
    /// Before everything that is spoken of.
    origin: Moment,
    /// Whoever waits for the end of the drain, and whether everything is told then.
    drained: Vec<oneshot::Sender<bool>>,
    draining: bool,
    /// Whether the grace of the drain is over.
    is_overdue: bool,
    /// When it was last told that results are not kept.
    warned: Option<Moment>,
    guard: DeathGuard,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("node", &self.setup.node).finish_non_exhaustive()
    }
}

impl Runner {
    /// A Runner that reports once it has been told who it is, and to whom.
    pub fn new(mut setup: RunnerSetup, guard: DeathGuard) -> Self {
        let adopted = setup.executor.adopted();
        let oldest = adopted.iter().map(|it| it.started_ms_ago).max().unwrap_or(0);
        let origin = clock::moment().before(oldest);
        Self {
            setup,
            bonds: Bonds::default(),
            heritage: Heritage::of(origin.elapsed_ms(), adopted),
            origin,
            drained: Vec::new(),
            draining: false,
            is_overdue: false,
            warned: None,
            guard,
        }
    }

    fn now(&self) -> u64 {
        self.origin.elapsed_ms()
    }

    fn on_command(&mut self, command: Command, ctx: &mut Context<Self>) -> Result<(), NodeError> {
        let now = self.now();
        let bond = self.bonds.of(command.cluster).ok_or(NodeError::Unavailable { maybe_applied: false })?;
        let (is_far, term) = (bond.tie.is_far(), command.term);
        let effects = bond.link.on_command(now, command).map_err(NodeError::Refused)?;
        if is_far {
            self.see_term(term);
        }
        self.perform(effects, ctx);
        self.share_slots(ctx);
        self.tell(ctx);
        Ok(())
    }

    fn share_slots(&mut self, ctx: &mut Context<Self>) {
        let effects = self.bonds.share_slots(self.usable_slots());
        self.perform(effects, ctx);
    }

    fn perform(&mut self, effects: Vec<NodeEffect>, ctx: &mut Context<Self>) {
        for effect in effects {
            match effect {
                NodeEffect::Start(assignment) => self.start_attempt(&assignment, ctx),
                NodeEffect::Kill { attempt, grace_ms } => self.setup.executor.kill(attempt, grace_ms),
                NodeEffect::Forget(attempt) => self.forget(move |kept| kept == attempt),
            }
        }
    }

    fn start_attempt(&mut self, assignment: &Assignment, ctx: &mut Context<Self>) {
        let Assignment { attempt, spec, started_before } = assignment;
        let env = job_env(&self.setup.base_env, &spec.env, *attempt, u32::from(*started_before) + 1);
        let now = self.now();
        let secret_env = match self.setup.vault.open(attempt.job, &spec.secret_env) {
            Ok(secret_env) => secret_env,
            Err(error) => return self.not_started(now, *attempt, error.to_string(), ctx),
        };
        let (hold, fence_grace_ms) = (self.hold_order(*attempt), self.fence_grace(*attempt, spec));
        let job =
            ExecJob { attempt: *attempt, spec: Arc::clone(spec), env, secret_env, hold, fence_grace_ms };
        if let Err(refusal) = self.setup.executor.start(job)
            && let Some(bond) = self.bonds.holder(*attempt)
        {
            let more = bond.link.on_not_started(*attempt, refusal.to_string());
            self.perform(more, ctx);
        }
    }

    /// Jobs of coordinators elsewhere may outlive this process: their coordinator does.
    fn hold_order(&mut self, attempt: AttemptId) -> Option<HoldOrder> {
        let for_ms = self.setup.hold_ms;
        let bond = self.bonds.holder(attempt).filter(|bond| bond.tie.is_far() && for_ms > 0)?;
        Some(HoldOrder { cluster: bond.cluster, for_ms })
    }

    /// What a job that must not outlive its connection is given between TERM and KILL.
    fn fence_grace(&mut self, attempt: AttemptId, spec: &JobSpec) -> Option<u64> {
        let fence = self.bonds.holder(attempt)?.fence?;
        (!spec.on_disconnect.is_keep()).then_some(fence.grace_ms.min(spec.grace_ms))
    }

    /// An attempt without its secret variables ends before it starts: no repetition here would fare better.
    fn not_started(&mut self, now: u64, attempt: AttemptId, message: String, ctx: &mut Context<Self>) {
        log::error!(attempt:% = attempt; "a job is not started: {message}");
        let result = AttemptResult {
            attempt,
            end: AttemptEnd::SpawnError { message, shell_code: 126 },
            usage: Usage::default(),
            stdout: Captured::default(),
            stderr: Captured::default(),
            started_ms_ago: None,
            isolation: self.setup.executor.isolation(),
            artifacts: Default::default(),
        };
        self.count(&result);
        self.keep(now, vec![result], ctx);
    }

    /// Removes spooled output off this thread: folders may be large.
    fn forget(&self, which: impl Fn(AttemptId) -> bool + Send + 'static) {
        if let Some(spool) = self.setup.spool.clone() {
            tokio::task::spawn_blocking(move || {
                if let Err(error) = spool.sweep(|attempt| !which(attempt)) {
                    log::warn!("spooled output could not be removed: {error}");
                }
            });
        }
    }

    fn on_events(&mut self, events: Vec<ExecEvent>, ctx: &mut Context<Self>) {
        let now = self.now();
        let mut finished = Vec::new();
        for event in events {
            match event {
                ExecEvent::Started { attempt } => {
                    self.setup.meter.attempts_started.add(1);
                    if let Some(bond) = self.bonds.holder(attempt) {
                        bond.link.on_started(now, attempt);
                    }
                }
                ExecEvent::Finished(result) => {
                    self.count(&result);
                    finished.push(*result);
                }
                ExecEvent::InputRoom { .. } => {}
                ExecEvent::SlotQuarantined { slot, why } => {
                    self.setup.meter.slots_quarantined.add(1);
                    log::error!(slot = slot, why = why.as_str(); "a slot is quarantined");
                }
            }
        }
        self.keep(now, finished, ctx);
        self.share_slots(ctx);
        self.tell(ctx);
    }

    fn count(&self, result: &AttemptResult) {
        let meter = &self.setup.meter;
        meter.orphans_killed.add(u64::from(result.usage.orphans_killed));
        meter.oom_kills.add(u64::from(result.usage.oom_kills));
        match &result.end {
            AttemptEnd::SandboxError { stage, .. } => meter.setup_failures[*stage as usize - 1].add(1),
            AttemptEnd::Unavailable { missing, .. } => meter.count_isolation_refused(missing),
            _ => {}
        }
        for (stream, captured) in [(Stream::Stdout, &result.stdout), (Stream::Stderr, &result.stderr)] {
            let summary = captured.summary;
            meter.output_bytes[stream as usize].add(summary.total_bytes);
            meter.output_truncated[stream as usize].add(u64::from(summary.is_truncated()));
        }
    }
}

impl Actor for Runner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (_, closed) = mpsc::unbounded_channel();
        let events = std::mem::replace(&mut self.setup.events, closed);
        let batches = stream::unfold(events, |mut events| async {
            let mut batch = Vec::new();
            (events.recv_many(&mut batch, EVENTS_AT_ONCE).await > 0).then_some((batch, events))
        });
        self.forget_aged(ctx);
        ctx.add_message_stream(futures_util::StreamExt::map(batches, ExecEvents));
    }
}

/// What the executor said, in one go. Self-addressed.
struct ExecEvents(Vec<ExecEvent>);

impl actix::Message for ExecEvents {
    type Result = ();
}

impl Handler<ExecEvents> for Runner {
    type Result = ();

    fn handle(&mut self, message: ExecEvents, ctx: &mut Context<Self>) {
        self.on_events(message.0, ctx);
    }
}

impl Handler<AssignAttempts> for Runner {
    type Result = Result<(), NodeError>;

    fn handle(&mut self, message: AssignAttempts, ctx: &mut Context<Self>) -> Self::Result {
        self.on_command(message.command, ctx)
    }
}

impl Handler<CancelAttempt> for Runner {
    type Result = Result<(), NodeError>;

    fn handle(&mut self, message: CancelAttempt, ctx: &mut Context<Self>) -> Self::Result {
        self.on_command(message.command, ctx)
    }
}

impl Handler<ReadOutput> for Runner {
    type Result = ResponseFuture<Result<SpoolChunk, SpoolReadError>>;

    fn handle(&mut self, message: ReadOutput, _: &mut Context<Self>) -> Self::Result {
        let Some(spool) = self.setup.spool.clone() else {
            return Box::pin(async { Err(SpoolReadError::Missing) });
        };
        let ReadOutput { attempt, kept, offset, max_bytes } = message;
        // Files may be cold: the disk is waited for elsewhere.
        let read = tokio::task::spawn_blocking(move || spool.read(attempt, kept, offset, max_bytes));
        Box::pin(async move {
            match read.await {
                Ok(Ok(chunk)) => Ok(SpoolChunk { bytes: chunk.bytes.into(), kept_bytes: chunk.kept_bytes }),
                Ok(Err(error)) => Err(SpoolReadError::Io(error.to_string())),
                Err(error) => Err(SpoolReadError::Io(error.to_string())),
            }
        })
    }
}

impl Handler<WriteInput> for Runner {
    type Result = actix::MessageResult<WriteInput>;

    fn handle(&mut self, message: WriteInput, _: &mut Context<Self>) -> Self::Result {
        let WriteInput { attempt, offset, bytes, end } = message;
        let (accepted, open) = self.setup.executor.write_input(attempt, offset, &bytes, end);
        actix::MessageResult(InputAck { accepted, open })
    }
}

impl Handler<ForgetOutput> for Runner {
    type Result = ();

    fn handle(&mut self, message: ForgetOutput, _: &mut Context<Self>) {
        let jobs: std::collections::HashSet<_> = message.jobs.into_iter().collect();
        self.forget(move |attempt| jobs.contains(&attempt.job));
    }
}

impl Handler<DrainNode> for Runner {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, message: DrainNode, ctx: &mut Context<Self>) -> Self::Result {
        self.draining = true;
        self.bonds.iter_mut().for_each(|bond| bond.link.drain());
        self.setup.executor.stop();
        let (sender, drained) = oneshot::channel();
        self.drained.push(sender);
        ctx.run_later(Duration::from_millis(message.grace_ms), |runner, ctx| {
            for attempt in runner.bonds.live().into_iter().chain(runner.heritage.attempts()) {
                runner.setup.executor.kill(attempt, KILL_GRACE_MS);
            }
            runner.is_overdue = true;
            runner.tell(ctx);
        });
        self.tell(ctx);
        // The Runner is gone when the sender is: then nothing runs either.
        Box::pin(async { drained.await.unwrap_or(false) })
    }
}

/// Time between TERM and KILL for jobs that outlast the grace of a shutdown, in milliseconds.
const KILL_GRACE_MS: u64 = 2_000;

impl Handler<Shutdown> for Runner {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Context<Self>) {
        self.guard.disarm();
    }
}
