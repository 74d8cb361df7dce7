//! The front door: everything that a guest may ask of the platform, as async methods over recipients. HTTP handlers
//! and embedding applications use only this. It knows neither actors nor transports.

mod health;
mod operation;

use std::sync::Arc;
use std::time::Duration;

use actix::{Message, Recipient};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot, watch};

use super::access::{ChangeTokens, GetTenant, ListTokens};
use super::admit;
use super::errors::{CancelError, DeleteError, LookupError, OutputError, RetryError, SubmitError};
use super::feed::EventFeed;
use super::gateway::NodeDoors;
use super::jobs::{
    Accepted, AwaitJob, CancelJob, DeleteJob, FindJob, GetJob, GetTotals, InputAck, JobPage, ListJobs,
    OutputChunk, PruneJobs, PruneRound, ReadJobOutput, RetryJob, Submission, SubmitJobs, SubmitResults,
    WriteJobInput,
};
use super::metrics::{GetStats, RenderMetrics, Stats};
use super::operate::{ChangeRunner, ChangeRunnerError, RunnerChange};
use super::scheduling::{ListRunners, PauseQueue, Runners};
use crate::model::access::{TokenLabel, TokenOp, TokenRecord};
use crate::model::meter::{Meter, Rejected};
use crate::model::rules::Asker;
use crate::model::{
    AdmissionRules, Eligibility, HealthBoard, IsolationReport, JobId, JobView, Limits, NodeId, RoomBoard,
    StoreSummary, StoreTotals, View,
};

pub use health::{Health, RunnerSummary};

/// The Coordinator's side of the front door.
#[derive(Clone, Debug)]
pub struct JobRecipients {
    /// Takes submits.
    pub submit: Recipient<SubmitJobs>,
    /// Shows a job.
    pub get: Recipient<GetJob>,
    /// Finds a job by the beginning of its id.
    pub find: Recipient<FindJob>,
    /// Waits for a job.
    pub wait: Recipient<AwaitJob>,
    /// Lists jobs.
    pub list: Recipient<ListJobs>,
    /// Cancels a job.
    pub cancel: Recipient<CancelJob>,
    /// Repeats a job.
    pub retry: Recipient<RetryJob>,
    /// Forgets a job.
    pub delete: Recipient<DeleteJob>,
    /// Forgets many jobs.
    pub prune: Recipient<PruneJobs>,
    /// Counts the records.
    pub totals: Recipient<GetTotals>,
    /// Reads output.
    pub read_output: Recipient<ReadJobOutput>,
    /// Takes input.
    pub write_input: Recipient<WriteJobInput>,
    /// Tells whose a job is.
    pub tenant: Recipient<GetTenant>,
    /// Lists tokens.
    pub list_tokens: Recipient<ListTokens>,
    /// Changes tokens.
    pub change_tokens: Recipient<ChangeTokens>,
    /// Changes nodes.
    pub change_runner: Recipient<ChangeRunner>,
}

/// The side of Metrics.
#[derive(Clone, Debug)]
pub struct MetricsRecipients {
    /// Writes the text.
    pub render: Recipient<RenderMetrics>,
    /// Tells of the last minutes.
    pub stats: Recipient<GetStats>,
}

/// What a platform tells about itself without being asked by message.
#[derive(Clone, Debug)]
pub struct PlatformFacts {
    /// The limits in force.
    pub limits: Limits,
    /// Which jobs may be taken in.
    pub rules: AdmissionRules,
    /// Where its records are.
    pub store: StoreSummary,
    /// The isolation of its own node's jobs.
    pub isolation: IsolationReport,
    /// What its rooms are worth, written down by whoever makes them.
    pub rooms: Arc<RoomBoard>,
    /// The user id that jobs run as.
    pub job_uid: u32,
    /// Weaknesses that the operator should know, one line each.
    pub warnings: Vec<String>,
}

/// The front door of a running platform. Cheap to clone. What it shows and changes are the jobs of its [`View`]: all of
/// them, until [`PlatformHandle::viewed`] narrows it. To one that is narrowed a foreign job is a job that does not exist.
#[derive(Clone)]
pub struct PlatformHandle {
    core: Arc<Core>,
    view: View,
    token: Option<Arc<TokenLabel>>,
}

/// What every handle shares.
struct Core {
    jobs: JobRecipients,
    runners: Recipient<ListRunners>,
    pause: Recipient<PauseQueue>,
    metrics: MetricsRecipients,
    feed: Arc<EventFeed>,
    doors: NodeDoors,
    permits: Semaphore,
    board: Arc<HealthBoard>,
    meter: Arc<Meter>,
    facts: PlatformFacts,
    stopping: watch::Receiver<bool>,
}

impl std::fmt::Debug for PlatformHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlatformHandle")
            .field("view", &self.view)
            .field("facts", &self.core.facts)
            .finish_non_exhaustive()
    }
}

/// Longest silence of the actors after which a health check calls them dead.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

impl PlatformHandle {
    /// Ties the recipients of the actors to one handle. `graph` and test probes do this.
    #[allow(
        clippy::too_many_arguments,
        reason = "each argument is one actor or one shared board, named once here"
    )]
    pub fn new(
        jobs: JobRecipients,
        runners: Recipient<ListRunners>,
        pause: Recipient<PauseQueue>,
        metrics: MetricsRecipients,
        feed: Arc<EventFeed>,
        doors: NodeDoors,
        board: Arc<HealthBoard>,
        meter: Arc<Meter>,
        facts: PlatformFacts,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let permits = Semaphore::new(facts.limits.max_in_flight);
        let core =
            Core { jobs, runners, pause, metrics, feed, doors, permits, board, meter, facts, stopping };
        Self { core: Arc::new(core), view: View::FULL, token: None }
    }

    /// The same door for a caller who sees and submits as `view` says.
    #[must_use]
    pub fn viewed(&self, view: View) -> Self {
        Self { view, ..self.clone() }
    }

    /// The same door for a caller who shows this token, as admission rules may ask.
    #[must_use]
    pub fn shown(&self, token: Arc<TokenLabel>) -> Self {
        Self { token: Some(token), ..self.clone() }
    }

    /// How this handle sees jobs.
    pub fn view(&self) -> View {
        self.view
    }

    /// What the platform tells about itself.
    pub fn facts(&self) -> &PlatformFacts {
        &self.core.facts
    }

    /// Weaknesses that the operator should know, one line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.core.facts.warnings.clone();
        let lost = self.core.meter.slots_quarantined.read();
        if lost > 0 {
            warnings.push(format!(
                "{lost} slots are out of use: the log says why; restart the node once what holds them is gone"
            ));
        }
        // It stands until the next start.
        warnings.extend(self.core.board.secret_fault());
        warnings
    }

    /// Counters that doors add to.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.core.meter
    }

    /// Resolves when the platform begins to stop: held requests should then be answered with what there is.
    pub async fn stopping(&self) {
        let mut stopping = self.core.stopping.clone();
        // An error means that the sender is gone, and with it the platform.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Whether the platform has begun to stop.
    pub fn is_stopping(&self) -> bool {
        *self.core.stopping.borrow()
    }

    /// Submits jobs; resolves when they are durable. See [`SubmitJobs`].
    pub async fn submit(&self, mut request: SubmitJobs) -> SubmitResults {
        request.jobs.iter_mut().for_each(|job| job.tenant = self.view.tenant);
        let count = request.jobs.len();
        let refuse = |error: SubmitError, reason: Rejected| {
            self.core.meter.rejected[reason as usize].add(count as u64);
            vec![Err(error); count]
        };
        if self.core.board.is_draining() {
            return refuse(SubmitError::Draining, Rejected::Draining);
        }
        let Some(_permit) = self.permit() else {
            return refuse(SubmitError::Busy, Rejected::RateLimited);
        };
        let mut sifted = admit::sift(&self.core.facts.rules, self.token.as_deref(), request);
        self.count_denied(sifted.count);
        let Some(request) = sifted.take_allowed() else {
            return sifted.merge(Vec::new());
        };
        let asked = request.jobs.len();
        // Spawned by the mailbox, not by this future: a client that hangs up does not undo its submit.
        match self.core.jobs.submit.send(request).await {
            Ok(results) => sifted.merge(results),
            Err(_) => sifted.merge(vec![Err(SubmitError::Gone); asked]),
        }
    }

    /// Submits one job: its specification, or a [`Submission`] that carries a key. Resolves when it is durable.
    ///
    /// # Errors
    /// [`SubmitError`]; then nothing was stored.
    pub async fn submit_one(&self, job: impl Into<Submission>) -> Result<Accepted, SubmitError> {
        let request = SubmitJobs { jobs: vec![job.into()], all_or_nothing: true };
        self.submit(request).await.pop().unwrap_or(Err(SubmitError::Gone))
    }

    /// One job.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn get(&self, id: JobId) -> Result<JobView, LookupError> {
        self.admit(id).await?;
        self.look(&self.core.jobs.get, GetJob { id }).await
    }

    /// The one job whose id starts with `prefix`.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn find(&self, prefix: String) -> Result<JobId, LookupError> {
        self.look(&self.core.jobs.find, FindJob { prefix, tenant: self.view.only() }).await
    }

    /// One job, once it is over or `wait_ms` have passed.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn wait(&self, id: JobId, wait_ms: u64) -> Result<JobView, LookupError> {
        self.admit(id).await?;
        drop(self.permit().ok_or(LookupError::Busy)?);
        // Dropped with this future: so the Coordinator learns that the client is gone.
        let (_client, client_gone) = oneshot::channel();
        self.core
            .jobs
            .wait
            .send(AwaitJob { id, wait_ms, client_gone })
            .await
            .map_err(|_| LookupError::Gone)?
    }

    /// A page of jobs.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn list(&self, mut query: ListJobs) -> Result<JobPage, LookupError> {
        if let Some(own) = self.view.only()
            && own != *query.tenant.get_or_insert(own)
        {
            return Ok(JobPage::default());
        }
        self.look(&self.core.jobs.list, query).await
    }

    /// Cancels a job. See [`CancelJob`].
    ///
    /// # Errors
    /// [`CancelError`].
    pub async fn cancel(&self, request: CancelJob) -> Result<JobView, CancelError> {
        self.admit(request.id).await?;
        let _permit = self.permit().ok_or(LookupError::Busy)?;
        self.core.jobs.cancel.send(request).await.map_err(|_| LookupError::Gone)?
    }

    /// Repeats a finished job as a new one.
    ///
    /// # Errors
    /// [`RetryError`].
    pub async fn retry(&self, id: JobId) -> Result<JobView, RetryError> {
        self.admit(id).await?;
        if self.core.board.is_draining() {
            return Err(SubmitError::Draining.into());
        }
        if !self.core.facts.rules.allow_all() {
            let record = self.get(id).await?.record;
            let (spec, asker) = (&record.spec, Asker { tenant: record.tenant, token: self.token.as_deref() });
            let secrets = spec.secret_env.names().iter().map(String::as_str);
            let judged = admit::judge(&self.core.facts.rules, asker, spec, secrets, 0);
            self.count_denied(u64::from(judged.is_err()));
            judged?;
        }
        let _permit = self.permit().ok_or(LookupError::Busy)?;
        self.core.jobs.retry.send(RetryJob { id }).await.map_err(|_| LookupError::Gone)?
    }

    /// Forgets a finished job.
    ///
    /// # Errors
    /// [`DeleteError`].
    pub async fn delete(&self, id: JobId) -> Result<(), DeleteError> {
        self.admit(id).await?;
        let _permit = self.permit().ok_or(LookupError::Busy)?;
        self.core.jobs.delete.send(DeleteJob { id }).await.map_err(|_| LookupError::Gone)?
    }

    /// Forgets a round of finished jobs. See [`PruneJobs`].
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn prune(&self, request: PruneJobs) -> Result<PruneRound, LookupError> {
        self.look(&self.core.jobs.prune, request).await
    }

    /// How many records there are and what they occupy.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn totals(&self) -> Result<StoreTotals, LookupError> {
        self.look(&self.core.jobs.totals, GetTotals).await
    }

    /// Reads output.
    ///
    /// # Errors
    /// [`OutputError`].
    pub async fn read_output(&self, request: ReadJobOutput) -> Result<OutputChunk, OutputError> {
        self.admit(request.id).await?;
        let _permit = self.permit().ok_or(LookupError::Busy)?;
        self.core.jobs.read_output.send(request).await.map_err(|_| LookupError::Gone)?
    }

    /// Hands input to a running job.
    ///
    /// # Errors
    /// [`OutputError`].
    pub async fn write_input(&self, request: WriteJobInput) -> Result<InputAck, OutputError> {
        self.admit(request.id).await?;
        let _permit = self.permit().ok_or(LookupError::Busy)?;
        self.core.jobs.write_input.send(request).await.map_err(|_| LookupError::Gone)?
    }

    /// Whether this job exists for this handle. One that sees everything asks nobody; to any other a foreign job and
    /// none cost the same question.
    async fn admit(&self, id: JobId) -> Result<(), LookupError> {
        let Some(own) = self.view.only() else {
            return Ok(());
        };
        let tenant = self.look(&self.core.jobs.tenant, GetTenant { id }).await?;
        if tenant == own { Ok(()) } else { Err(LookupError::NotFound) }
    }

    async fn look<M, T>(&self, recipient: &Recipient<M>, message: M) -> Result<T, LookupError>
    where
        M: Message<Result = Result<T, LookupError>> + Send + 'static,
        T: Send + 'static,
    {
        let _permit = self.permit().ok_or(LookupError::Busy)?;
        recipient.send(message).await.map_err(|_| LookupError::Gone)?
    }

    fn count_denied(&self, count: u64) {
        self.core.meter.rejected[Rejected::Denied as usize].add(count);
    }

    fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.core.permits.try_acquire().ok()
    }
}
