//! A platform from memory: one actor that answers everything that a `PlatformHandle` may ask, and a stage on which a
//! test sets what it shall answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, ResponseFuture};
use callboard::http::Door;
use callboard_actors::clock;
use callboard_actors::model::access::TokenRecord;
use callboard_actors::model::meter::Meter;
use callboard_actors::model::{
    AdmissionRules, AttemptRecord, Cordon, Eligibility, Epoch, HealthBoard, Incarnation, InputMode,
    IsolationReport, JobId, JobRecord, JobSpec, JobState, JobView, Kept, Lease, Limits, NodeId, Outcome,
    RunnerSpec, Status, StoreSummary, Stream, Tenant, Tier, WaitReason, admission,
};
use callboard_actors::protocol::access::*;
use callboard_actors::protocol::feed::EventFeed;
use callboard_actors::protocol::jobs::*;
use callboard_actors::protocol::metrics::{GetStats, RenderMetrics, Stats};
use callboard_actors::protocol::platform::{JobRecipients, MetricsRecipients, PlatformFacts};
use callboard_actors::protocol::scheduling::{ListRunners, PauseQueue, Runners};
use callboard_actors::protocol::*;
use tokio::sync::watch;

/// What a stream of a job has to give.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub kept: Vec<u8>,
    pub total: u64,
    pub gap_at: Option<u64>,
}

#[derive(Debug)]
pub struct FakeJob {
    pub view: JobView,
    pub output: [Written; 2],
    pub input: Vec<u8>,
}

/// What a test sees and sets.
#[derive(Debug, Default)]
pub struct Stage {
    pub jobs: BTreeMap<JobId, FakeJob>,
    pub keys: HashMap<(Tenant, String), ([u8; 32], JobId)>,
    pub tokens: Vec<TokenRecord>,
    pub paused: bool,
    pub runners_gone: bool,
    pub eligibility: Eligibility,
    pub runner_changes: Vec<ChangeRunner>,
    pub refuse_change: Option<ChangeRunnerError>,
    pub refuse_submit: Option<SubmitError>,
    pub refuse_lookup: Option<LookupError>,
    pub refuse_output: Option<OutputError>,
    pub refuse_wait: bool,
    pub submits: usize,
    pub stats: Stats,
    /// Jobs that one round of a prune forgets.
    pub prune_page: usize,
}

impl Stage {
    pub fn job(&mut self, id: JobId) -> &mut FakeJob {
        self.jobs.get_mut(&id).expect("the job is on the stage")
    }

    pub fn run(&mut self, id: JobId) {
        let lease = Lease {
            tally: Default::default(),
            node: clock::new_node_id(),
            incarnation: Incarnation(1),
            started_at_ms: Some(clock::now_ms()),
            cancel: None,
        };
        let job = self.job(id);
        job.view.record.state = JobState::Running(Box::new(lease));
        job.view.waiting = None;
    }

    pub fn end(&mut self, id: JobId, outcome: Outcome) {
        let job = self.job(id);
        job.view.record.state = JobState::Ended(Box::new(outcome));
        job.view.waiting = None;
    }

    fn add(&mut self, spec: JobSpec, tenant: Tenant, retry_of: Option<JobId>) -> JobView {
        let record = JobRecord {
            id: clock::new_job_id(),
            spec: Arc::new(spec),
            created_at_ms: clock::now_ms(),
            tenant,
            retry_of,
            state: JobState::new(),
            attempts: vec![AttemptRecord {
                epoch: Epoch(0),
                node: NodeId(Default::default()),
                fate: "returned".into(),
                why: "a stage has no runner".into(),
                at_ms: 0,
            }],
        };
        let view = JobView { record, waiting: Some(WaitReason::Resources), runner: None };
        let job = FakeJob { view: view.clone(), output: Default::default(), input: Vec::new() };
        self.jobs.insert(view.record.id, job);
        view
    }

    fn submit(&mut self, job: Submission) -> Result<Accepted, SubmitError> {
        self.submits += 1;
        if let Some(error) = &self.refuse_submit {
            return Err(error.clone());
        }
        admission::check(&job.spec, &Limits::default()).map_err(SubmitError::Invalid)?;
        let Some(key) = job.idempotency else {
            return Ok(Accepted { view: self.add(job.spec, job.tenant, None), replayed: false });
        };
        match self.keys.get(&(job.tenant, key.key.clone())) {
            Some((hash, _)) if *hash != key.request_hash => Err(SubmitError::KeyReused),
            Some((_, id)) => {
                let view = self.jobs.get(id).ok_or(SubmitError::Forgotten(*id))?.view.clone();
                Ok(Accepted { view, replayed: true })
            }
            None => {
                let view = self.add(job.spec, job.tenant, None);
                self.keys.insert((job.tenant, key.key), (key.request_hash, view.record.id));
                Ok(Accepted { view, replayed: false })
            }
        }
    }

    fn look(&self, id: JobId) -> Result<JobView, LookupError> {
        if let Some(error) = &self.refuse_lookup {
            return Err(error.clone());
        }
        let job = self.jobs.get(&id).ok_or(LookupError::NotFound)?;
        Ok(job.view.clone())
    }
}

/// A platform on a stage.
pub struct Fake {
    pub stage: Arc<Mutex<Stage>>,
    pub board: Arc<HealthBoard>,
    pub stop: watch::Sender<bool>,
    pub feed: Arc<EventFeed>,
    pub door: Door,
}

impl Fake {
    pub fn new() -> Self {
        let stage = Arc::new(Mutex::new(Stage { prune_page: 1000, ..Stage::default() }));
        let board = Arc::new(HealthBoard::default());
        let (stop, stopping) = watch::channel(false);
        let feed = Arc::new(EventFeed::new(1_764_000_000_000));
        let address = Player(stage.clone()).start();
        let facts = PlatformFacts {
            rooms: Default::default(),
            limits: Limits::default(),
            rules: AdmissionRules::default(),
            store: StoreSummary { kind: "memory", durability: "none", path: None },
            isolation: IsolationReport::default(),
            job_uid: 1000,
            warnings: vec!["jobs run as root".into()],
        };
        let platform = PlatformHandle::new(
            recipients(&address),
            address.clone().recipient(),
            address.clone().recipient(),
            MetricsRecipients { render: address.clone().recipient(), stats: address.clone().recipient() },
            feed.clone(),
            doors::doors(&address),
            board.clone(),
            Arc::new(Meter::default()),
            facts,
            stopping,
        );
        let door = Door::new(platform, "0.0.0-test", "host-1");
        Self { stage, board, stop, feed, door }
    }

    pub fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().expect("no test panics with the stage in hand")
    }

    /// The only job there is.
    pub fn only(&self) -> JobId {
        let stage = self.stage();
        assert_eq!(stage.jobs.len(), 1);
        *stage.jobs.keys().next().expect("one job")
    }
}

fn recipients(player: &Addr<Player>) -> JobRecipients {
    JobRecipients {
        submit: player.clone().recipient(),
        get: player.clone().recipient(),
        find: player.clone().recipient(),
        wait: player.clone().recipient(),
        list: player.clone().recipient(),
        cancel: player.clone().recipient(),
        retry: player.clone().recipient(),
        delete: player.clone().recipient(),
        prune: player.clone().recipient(),
        totals: player.clone().recipient(),
        read_output: player.clone().recipient(),
        write_input: player.clone().recipient(),
        tenant: player.clone().recipient(),
        list_tokens: player.clone().recipient(),
        change_runner: player.clone().recipient(),
        change_tokens: player.clone().recipient(),
    }
}

struct Player(Arc<Mutex<Stage>>);

impl Player {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().expect("no test panics with the stage in hand")
    }
}

impl Actor for Player {
    type Context = Context<Self>;
}

macro_rules! answer {
    ($message:ty, $result:ty, |$stage:ident, $request:ident| $body:expr) => {
        impl Handler<$message> for Player {
            type Result = $result;

            fn handle(&mut self, $request: $message, _: &mut Context<Self>) -> Self::Result {
                #[allow(unused_mut)]
                let mut $stage = self.stage();
                $body
            }
        }
    };
}

mod doors;
mod records;

impl Handler<SubmitJobs> for Player {
    type Result = actix::MessageResult<SubmitJobs>;

    fn handle(&mut self, request: SubmitJobs, _: &mut Context<Self>) -> Self::Result {
        let mut stage = self.stage();
        let valid = |job: &Submission| admission::check(&job.spec, &Limits::default()).is_ok();
        let jobs = request.jobs;
        if request.all_or_nothing && jobs.len() > 1 && !jobs.iter().all(valid) {
            let check = |job: &Submission| admission::check(&job.spec, &Limits::default());
            let refused =
                jobs.iter().map(|job| Err(SubmitError::Invalid(check(job).err().unwrap_or_default())));
            return actix::MessageResult(refused.collect());
        }
        actix::MessageResult(jobs.into_iter().map(|job| stage.submit(job)).collect())
    }
}

answer!(GetJob, Result<JobView, LookupError>, |stage, request| stage.look(request.id));

mod access;
mod operation;

answer!(FindJob, Result<JobId, LookupError>, |stage, request| {
    let own = |job: &FakeJob| request.tenant.is_none_or(|tenant| tenant == job.view.record.tenant);
    let fits = |(id, job): &(&JobId, &FakeJob)| id.to_string().starts_with(&request.prefix) && own(job);
    let found: Vec<_> = stage.jobs.iter().filter(fits).map(|(id, _)| id).collect();
    match found[..] {
        [] => Err(LookupError::NotFound),
        [id] => Ok(*id),
        _ => Err(LookupError::Ambiguous(found.len())),
    }
});

impl Handler<AwaitJob> for Player {
    type Result = ResponseFuture<Result<JobView, LookupError>>;

    fn handle(&mut self, request: AwaitJob, _: &mut Context<Self>) -> Self::Result {
        let stage = self.0.clone();
        Box::pin(async move {
            let begun = clock::moment();
            loop {
                {
                    let stage = stage.lock().expect("no test panics with the stage in hand");
                    if stage.refuse_wait {
                        return Err(LookupError::TooManyWaiters);
                    }
                    let view = stage.look(request.id)?;
                    if view.status().is_terminal() || begun.elapsed_ms() >= request.wait_ms {
                        return Ok(view);
                    }
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
    }
}

answer!(ListJobs, Result<JobPage, LookupError>, |stage, request| {
    if let Some(error) = &stage.refuse_lookup {
        return Err(error.clone());
    }
    let wanted = |view: &&JobView| {
        let created = view.record.created_at_ms;
        request.before.is_none_or(|before| view.record.id < before)
            && (request.statuses.is_empty() || request.statuses.contains(&view.status()))
            && (request.name.is_none() || request.name == view.record.spec.name)
            && request.tenant.is_none_or(|tenant| tenant == view.record.tenant)
            && request.created_after_ms.is_none_or(|after| created >= after)
            && request.created_before_ms.is_none_or(|before| created < before)
    };
    let found = stage.jobs.values().rev().map(|job| &job.view).filter(wanted);
    let mut jobs: Vec<_> = found.take(request.limit + 1).cloned().collect();
    let more = jobs.len() > request.limit;
    jobs.truncate(request.limit);
    let next = jobs.last().filter(|_| more).map(|view| view.record.id);
    Ok(JobPage { jobs, next })
});

answer!(CancelJob, Result<JobView, CancelError>, |stage, request| {
    let view = stage.look(request.id)?;
    let (job, status) = (request.id, view.status());
    let wish = request.wish;
    match &view.record.state {
        JobState::Queued(_) => {
            let outcome = Outcome::without_process(Epoch(0), wish.reason, wish.note, clock::now_ms());
            stage.end(job, outcome);
        }
        JobState::Ended(_) if status == Status::Cancelled => {}
        JobState::Ended(_) => return Err(CancelError::Ended { job, status }),
        _ => {
            if let JobState::Running(lease) = &mut stage.job(job).view.record.state {
                lease.cancel = Some(wish);
            }
        }
    }
    Ok(stage.look(job)?)
});

answer!(RetryJob, Result<JobView, RetryError>, |stage, request| {
    let view = stage.look(request.id)?;
    let (job, status) = (request.id, view.status());
    if !status.is_terminal() {
        return Err(RetryError::Live { job, status });
    }
    if view.record.spec.input == InputMode::Streamed {
        return Err(RetryError::StreamedInput(job));
    }
    let spec = JobSpec::clone(&view.record.spec);
    Ok(stage.add(spec, view.record.tenant, Some(job)))
});

answer!(DeleteJob, Result<(), DeleteError>, |stage, request| {
    let (job, status) = (request.id, stage.look(request.id)?.status());
    if !status.is_terminal() {
        return Err(DeleteError::Live { job, status });
    }
    stage.jobs.remove(&job);
    Ok(())
});

answer!(ReadJobOutput, Result<OutputChunk, OutputError>, |stage, request| {
    if let Some(error) = &stage.refuse_output {
        return Err(error.clone());
    }
    let view = stage.look(request.id)?;
    let written = &stage.job(request.id).output[usize::from(request.kept == Kept::Stream(Stream::Stderr))];
    let kept = &written.kept;
    let start = usize::try_from(request.offset).unwrap_or(usize::MAX).min(kept.len());
    let end = start.saturating_add(request.max_bytes).min(kept.len());
    Ok(OutputChunk {
        bytes: kept[start..end].to_vec().into(),
        kept_bytes: kept.len() as u64,
        total_bytes: written.total.max(kept.len() as u64),
        gap_at: written.gap_at,
        more: !view.status().is_terminal(),
    })
});

answer!(WriteJobInput, Result<InputAck, OutputError>, |stage, request| {
    let view = stage.look(request.id)?;
    if view.record.spec.input != InputMode::Streamed {
        return Err(OutputError::NoInput(request.id));
    }
    if view.status().is_terminal() {
        return Err(OutputError::InputClosed(request.id));
    }
    let input = &mut stage.job(request.id).input;
    let expected = input.len() as u64;
    if request.offset != expected {
        return Err(OutputError::InputGap { expected, got: request.offset });
    }
    input.extend_from_slice(&request.bytes);
    Ok(InputAck { accepted: input.len() as u64, open: !request.end })
});
