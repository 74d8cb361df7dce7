//! Clients that submit jobs, look at them and wait for them.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, Context, Handler, ResponseActFuture, ResponseFuture, WrapFuture};
use tokio::sync::oneshot;

use super::Coordinator;
use super::commit::{SubmitTicket, Then};
use super::live::LiveJob;
use crate::clock;
use crate::model::admission;
use crate::model::meter::Rejected;
use crate::model::needs::MAX_CLASSES;
use crate::model::{
    JobId, JobRecord, JobSpec, JobState, JobView, Needs, RoomBoard, RunnerSpec, SecretError, Status,
    WaitReason,
};
use crate::policy::intake;
use crate::protocol::jobs::{
    Accepted, AwaitJob, FindJob, GetJob, JobPage, ListJobs, Submission, SubmitJobs, SubmitResults,
};
use crate::protocol::scheduling::{EnqueueJobs, ExplainJobs, WaitReasons};
use crate::protocol::{LookupError, SubmitError};
use crate::store::{ListQuery, NewJob, StoreOp};

/// Most pages of the store that one list request reads to fill its own page.
const MAX_LIST_READS: usize = 20;

impl Coordinator {
    /// Checks and takes in submissions; the answer comes when they are durable.
    pub(super) fn submit(
        &mut self,
        jobs: Vec<(Submission, Option<JobId>)>,
        all_or_nothing: bool,
        ctx: &mut Context<Self>,
    ) -> oneshot::Receiver<SubmitResults> {
        let (reply, answer) = oneshot::channel();
        let mut lines: SubmitResults =
            jobs.iter().enumerate().map(|(index, (job, _))| self.admit(job, index, jobs.len())).collect();
        let refused = |line: &&Result<_, _>| !is_placeholder(line);
        let first = lines.iter().filter(refused).find_map(|line| line.clone().err());
        if all_or_nothing && let Some(error) = first {
            // Each keeps its own problem; the sound ones are refused with the first.
            for line in lines.iter_mut().filter(|line| line.is_ok() || is_placeholder(line)) {
                *line = Err(error.clone());
            }
        }
        let taken: Vec<usize> = (0..lines.len()).filter(|index| is_placeholder(&lines[*index])).collect();
        let ticket = Rc::new(SubmitTicket {
            left: Cell::new(taken.len()),
            lines: RefCell::new(lines),
            reply: Cell::new(Some(reply)),
        });
        ticket.send_when_full();
        let mut enqueued = Vec::with_capacity(taken.len());
        let mut jobs: Vec<Option<(Submission, Option<JobId>)>> = jobs.into_iter().map(Some).collect();
        for index in taken {
            if let Some((submission, retry_of)) = jobs[index].take() {
                match self.take_in(submission, retry_of, &ticket, index) {
                    Ok(id) => enqueued.push(id),
                    Err(error) => ticket.fill(index, Err(error.into())),
                }
            }
        }
        if !enqueued.is_empty() {
            let jobs = enqueued.into_iter().filter_map(|job| self.live.waiting(job)).collect();
            let asked = self.peers.enqueue.send(EnqueueJobs { jobs, at_front: false });
            self.flush_after(asked, ctx);
        }
        answer
    }

    /// A line that says why not, or one that stands for the answer to come.
    fn admit(&self, submission: &Submission, index: usize, asked: usize) -> Result<Accepted, SubmitError> {
        let limits = &self.setup.limits;
        if self.draining {
            return Err(SubmitError::Draining);
        }
        if let Err(problems) = admission::check_with_secrets(&submission.spec, &submission.secret_env, limits)
        {
            self.setup.meter.rejected[Rejected::Invalid as usize].add(1);
            return Err(SubmitError::Invalid(problems));
        }
        if !intake::has_room(self.live.len(), asked, limits.max_live_jobs) {
            self.setup.meter.rejected[Rejected::QueueFull as usize].add(1);
            return Err(SubmitError::QueueFull { limit: limits.max_live_jobs });
        }
        if !self.live.has_room_for(&Needs::of(&submission.spec)) {
            self.setup.meter.rejected[Rejected::QueueFull as usize].add(1);
            return Err(SubmitError::TooVaried { limit: MAX_CLASSES });
        }
        if submission.judged {
            self.judge_isolation(&submission.spec, index)?;
        }
        if !submission.secret_env.is_empty() {
            self.setup.vault.ready()?;
        }
        Err(PLACEHOLDER)
    }

    /// What the nodes give to jobs: one that runs none, as a coordinator's own may be, has no say.
    fn boards(&self) -> impl Iterator<Item = &RoomBoard> {
        self.nodes.values().filter(|node| node.spec.slots > 0).map(|node| &*node.handle.rooms)
    }

    /// Refuses a job that would only wait for its turn to be refused by the nodes. They have the last word all the same.
    fn judge_isolation(&self, spec: &JobSpec, index: usize) -> Result<(), SubmitError> {
        intake::some_node_fits(spec, self.boards()).map_err(|refusal| {
            let meter = &self.setup.meter;
            meter.rejected[Rejected::Isolation as usize].add(1);
            meter.count_isolation_refused(refusal.missing());
            SubmitError::Isolation { index, refusal: Box::new(refusal) }
        })
    }

    fn take_in(
        &mut self,
        submission: Submission,
        retry_of: Option<JobId>,
        ticket: &Rc<SubmitTicket>,
        index: usize,
    ) -> Result<JobId, SecretError> {
        let (id, created_at_ms) = (clock::new_job_id(), clock::now_ms());
        let Submission { mut spec, secret_env, mut idempotency, tenant, judged } = submission;
        if !secret_env.is_empty() {
            let vault = &self.setup.vault;
            spec.secret_env = vault.seal(id, &secret_env)?;
            if let Some(key) = &mut idempotency {
                key.request_hash = vault.request_hash(&key.request_hash, &secret_env)?;
            }
        }
        let spec = Arc::new(spec);
        let has_history = retry_of.is_some() || !tenant.is_default();
        // It would wait for a node that gives what it asks for, and its client knows no way to hear of that.
        let takes_anything = !judged && intake::some_node_fits(&spec, self.boards()).is_err();
        let needs = Needs { takes_anything, ..Needs::of(&spec) };
        self.live.insert(id, LiveJob::new(created_at_ms, has_history), needs);
        self.specs.remember(id, Arc::clone(&spec));
        let ticket = Rc::clone(ticket);
        let then = Then::Submitted { ticket, index, job: id, spec: Arc::clone(&spec), created_at_ms, tenant };
        self.push(StoreOp::Submit(NewJob { id, spec, created_at_ms, tenant, retry_of, idempotency }), then);
        Ok(id)
    }

    /// The view of a record from the store, brought up to what is known of the job in memory.
    pub(super) fn overlay(&self, mut record: JobRecord, reasons: &WaitReasons) -> JobView {
        let live = self.live.get(&record.id);
        if let Some(live) = live
            && !record.state.is_ended()
            && live.state.epoch() == record.state.epoch()
        {
            record.state = live.state.clone();
        }
        let is_queued = matches!(record.state, JobState::Queued(_));
        let waiting = is_queued.then(|| reasons.of(live.map(|live| live.class).unwrap_or_default()));
        let runner = self.runner_of(&record.state);
        JobView { record, waiting, runner }
    }

    /// What the node that has a job in this state, or had it, says of itself.
    pub(super) fn runner_of(&self, state: &JobState) -> Option<Arc<RunnerSpec>> {
        self.nodes.get(&state.node()?).map(|node| Arc::clone(&node.spec))
    }

    /// The reason shown for a job that was accepted just now, before the Scheduler was asked.
    pub(super) fn presumed_reason(&self, state: &JobState) -> Option<WaitReason> {
        matches!(state, JobState::Queued(_)).then_some(WaitReason::Resources)
    }

    /// Looks a job up in the store and brings it up to date.
    pub(super) fn look_up(&self, id: JobId) -> ResponseActFuture<Self, Result<JobView, LookupError>> {
        let found = self.setup.store.get(id);
        let asked = self.peers.explain.send(ExplainJobs);
        let both = async move {
            let found = found.await;
            let reasons = match &found {
                Ok(Some(record)) if !record.state.is_ended() => asked.await.ok(),
                _ => None,
            };
            (found, reasons.unwrap_or_default())
        };
        Box::pin(both.into_actor(self).map(|(found, reasons), coordinator, _| match found {
            Ok(Some(record)) => Ok(coordinator.overlay(record, &reasons)),
            Ok(None) => Err(LookupError::NotFound),
            Err(error) => Err(LookupError::Store(error.to_string())),
        }))
    }

    /// Waits for the end of a job, the time or the client, then looks at it.
    fn wait_for(&mut self, request: AwaitJob) -> ResponseActFuture<Self, Result<JobView, LookupError>> {
        let AwaitJob { id, wait_ms, client_gone } = request;
        if wait_ms == 0 || !self.live.contains_key(&id) {
            return self.look_up(id);
        }
        if self.waiting >= self.setup.limits.max_waiters {
            return Box::pin(async { Err(LookupError::TooManyWaiters) }.into_actor(self));
        }
        self.waiting += 1;
        let (sender, ended) = oneshot::channel();
        self.waiters.entry(id).or_default().push(sender);
        let waited = async move {
            tokio::select! {
                // A sender that was dropped says that the answer needs more than memory holds.
                ended = ended => ended.ok(),
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => None,
                _ = client_gone => None,
            }
        };
        Box::pin(waited.into_actor(self).then(move |ended, coordinator, _| {
            coordinator.forget_waiter(id);
            match ended {
                Some(view) => Box::pin(async { Ok(Rc::unwrap_or_clone(view)) }.into_actor(coordinator)),
                None => coordinator.look_up(id),
            }
        }))
    }

    /// One that waited for this job does so no more.
    fn forget_waiter(&mut self, id: JobId) {
        self.waiting -= 1;
        if let Entry::Occupied(mut waiters) = self.waiters.entry(id) {
            waiters.get_mut().retain(|waiter| !waiter.is_closed());
            if waiters.get().is_empty() {
                waiters.remove();
            }
        }
    }
}

/// Stands in a line of a submit's answer until the store has answered.
const PLACEHOLDER: SubmitError = SubmitError::Gone;

fn is_placeholder(line: &Result<Accepted, SubmitError>) -> bool {
    matches!(line, Err(error) if *error == PLACEHOLDER)
}

impl Handler<SubmitJobs> for Coordinator {
    type Result = ResponseFuture<SubmitResults>;

    fn handle(&mut self, message: SubmitJobs, ctx: &mut Context<Self>) -> Self::Result {
        let count = message.jobs.len();
        let jobs = message.jobs.into_iter().map(|job| (job, None)).collect();
        let answer = self.submit(jobs, message.all_or_nothing, ctx);
        let gone = move |_| vec![Err(SubmitError::Gone); count];
        Box::pin(async move { answer.await.unwrap_or_else(gone) })
    }
}

impl Handler<GetJob> for Coordinator {
    type Result = ResponseActFuture<Self, Result<JobView, LookupError>>;

    fn handle(&mut self, message: GetJob, _: &mut Context<Self>) -> Self::Result {
        self.look_up(message.id)
    }
}

impl Handler<AwaitJob> for Coordinator {
    type Result = ResponseActFuture<Self, Result<JobView, LookupError>>;

    fn handle(&mut self, message: AwaitJob, _: &mut Context<Self>) -> Self::Result {
        self.wait_for(message)
    }
}

impl Handler<FindJob> for Coordinator {
    type Result = ResponseActFuture<Self, Result<JobId, LookupError>>;

    fn handle(&mut self, message: FindJob, _: &mut Context<Self>) -> Self::Result {
        let found = self.setup.store.find(message.prefix, message.tenant, 50);
        Box::pin(found.into_actor(self).map(|found, _, _| match found.as_deref() {
            Ok([job]) => Ok(*job),
            Ok([]) => Err(LookupError::NotFound),
            Ok(several) => Err(LookupError::Ambiguous(several.len())),
            Err(error) => Err(LookupError::Store(error.to_string())),
        }))
    }
}

impl Handler<ListJobs> for Coordinator {
    type Result = ResponseActFuture<Self, Result<JobPage, LookupError>>;

    fn handle(&mut self, message: ListJobs, _: &mut Context<Self>) -> Self::Result {
        let listing = Listing {
            wanted: message.statuses.iter().copied().collect(),
            query: message,
            page: JobPage::default(),
            reads: 0,
        };
        let asked = self.peers.explain.send(ExplainJobs);
        let asked = async move { asked.await.unwrap_or_default() };
        Box::pin(
            asked.into_actor(self).then(|reasons, coordinator, _| list_on(coordinator, listing, reasons)),
        )
    }
}

/// A list request on its way through the store's pages.
struct Listing {
    query: ListJobs,
    wanted: HashSet<Status>,
    page: JobPage,
    reads: usize,
}

fn list_on(
    coordinator: &Coordinator,
    mut listing: Listing,
    reasons: WaitReasons,
) -> ResponseActFuture<Coordinator, Result<JobPage, LookupError>> {
    let limit = listing.query.limit.max(1);
    let found = coordinator.setup.store.list(ListQuery {
        before: listing.page.next.or(listing.query.before),
        statuses: listing.query.statuses.clone(),
        name: listing.query.name.clone(),
        tenant: listing.query.tenant,
        created_after_ms: listing.query.created_after_ms,
        created_before_ms: listing.query.created_before_ms,
        limit,
    });
    Box::pin(found.into_actor(coordinator).then(move |found, coordinator, _| {
        let done =
            |answer| Box::pin(async move { answer }.into_actor(coordinator)) as ResponseActFuture<_, _>;
        let records = match found {
            Ok(records) => records,
            Err(error) => return done(Err(LookupError::Store(error.to_string()))),
        };
        let exhausted = records.len() < limit;
        listing.reads += 1;
        listing.page.next = None;
        for record in records {
            let view = coordinator.overlay(record, &reasons);
            listing.page.next = Some(view.record.id);
            if listing.wanted.is_empty() || listing.wanted.contains(&view.status()) {
                listing.page.jobs.push(view);
                if listing.page.jobs.len() == limit {
                    break;
                }
            }
        }
        if listing.page.jobs.len() >= limit || exhausted || listing.reads >= MAX_LIST_READS {
            if exhausted && listing.page.jobs.len() < limit {
                listing.page.next = None;
            }
            return done(Ok(listing.page));
        }
        list_on(coordinator, listing, reasons)
    }))
}
