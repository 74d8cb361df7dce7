//! Live jobs in memory, compactly: a million waiting ones are a million small entries, and their specs are only kept
//! while they are few. Nothing here decides anything.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::classes::ClassTable;
use crate::link::JobFact;
use crate::model::{ClassId, Epoch, InputMode, JobId, JobSpec, JobState, Needs};
use crate::protocol::scheduling::WaitingJob;

/// One live job.
#[derive(Clone, Debug)]
pub struct LiveJob {
    /// When it was accepted, Unix milliseconds.
    pub created_at_ms: i64,
    /// Where it stands. `Ended` never appears here: a job ends when its record is durable, and then it is not live.
    pub state: JobState,
    /// What it needs of a node.
    pub class: ClassId,
    /// Its end is on its way to the disk; nothing else may happen to it.
    pub ending: bool,
    /// The store knows more of it than this entry: earlier attempts, the job that it repeats, or whose it is.
    pub has_history: bool,
    /// Its start is on disk.
    pub start_stored: bool,
}

const _: () = assert!(size_of::<LiveJob>() <= 32, "a million of them must stay small");

impl LiveJob {
    /// A job that has just been submitted.
    pub fn new(created_at_ms: i64, has_history: bool) -> Self {
        let (state, class) = (JobState::new(), ClassId::default());
        Self { created_at_ms, state, class, ending: false, has_history, start_stored: false }
    }

    /// What the link needs to know of it.
    pub fn fact(&self) -> JobFact {
        match &self.state {
            JobState::Queued(tally) => JobFact::Waiting(tally.epoch),
            JobState::Leased(lease) | JobState::Running(lease) | JobState::Unknown(lease) => {
                JobFact::Leased {
                    epoch: lease.tally.epoch,
                    node: lease.node,
                    incarnation: lease.incarnation,
                    started: lease.started_at_ms.is_some(),
                }
            }
            JobState::Ended(_) => JobFact::NotLive,
        }
    }
}

/// Every live job by its id, and the needs that they have.
#[derive(Clone, Debug, Default)]
pub struct LiveTable {
    jobs: HashMap<JobId, LiveJob>,
    classes: ClassTable,
}

impl LiveTable {
    /// An empty table with room for so many.
    pub fn with_capacity(jobs: usize) -> Self {
        Self { jobs: HashMap::with_capacity(jobs), classes: ClassTable::default() }
    }

    /// Adds a job with these needs.
    pub fn insert(&mut self, id: JobId, job: LiveJob, needs: Needs) {
        let class = self.classes.enter(needs);
        if let Some(former) = self.jobs.insert(id, LiveJob { class, ..job }) {
            self.classes.leave(former.class);
        }
    }

    /// Removes a job.
    pub fn remove(&mut self, id: &JobId) -> Option<LiveJob> {
        let job = self.jobs.remove(id)?;
        self.classes.leave(job.class);
        Some(job)
    }

    /// One job.
    pub fn get(&self, id: &JobId) -> Option<&LiveJob> {
        self.jobs.get(id)
    }

    /// One job, to be changed.
    pub fn get_mut(&mut self, id: &JobId) -> Option<&mut LiveJob> {
        self.jobs.get_mut(id)
    }

    /// Whether the job lives.
    pub fn contains_key(&self, id: &JobId) -> bool {
        self.jobs.contains_key(id)
    }

    /// Every job, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&JobId, &LiveJob)> {
        self.jobs.iter()
    }

    /// The records were restored from a backup: every live job's epoch grows, at least to `floor`. One that is ending keeps
    /// the epoch of its end, which is on its way to the disk.
    pub fn raise_epochs(&mut self, floor: Epoch) {
        let lives = |live: &&mut LiveJob| !live.ending;
        self.jobs.values_mut().filter(lives).for_each(|live| live.state.raise_epoch(floor));
    }

    /// How many live.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether none lives.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether a job with these needs can be taken in.
    pub fn has_room_for(&self, needs: &Needs) -> bool {
        self.classes.has_room(needs)
    }

    /// The job as one that waits, with what it needs.
    pub fn waiting(&self, id: JobId) -> Option<WaitingJob> {
        let class = self.jobs.get(&id)?.class;
        Some(WaitingJob { job: id, class, needs: Arc::clone(self.classes.needs(class)) })
    }
}

/// Most bytes of specs of waiting jobs that are kept in memory; the store has the others.
const MAX_CACHED_SPEC_BYTES: usize = 16 << 20;

/// Specs by job: of every leased job, and of the waiting ones that came last, within a bound.
#[derive(Debug, Default)]
pub struct SpecCache {
    held: HashMap<JobId, Arc<JobSpec>>,
    waiting: HashMap<JobId, Arc<JobSpec>>,
    order: VecDeque<(JobId, usize)>,
    bytes: usize,
}

impl SpecCache {
    /// Remembers the spec of a waiting job, if there is room: those that came first start first.
    pub fn remember(&mut self, job: JobId, spec: Arc<JobSpec>) {
        let bytes = weight(&spec);
        if self.bytes + bytes <= MAX_CACHED_SPEC_BYTES {
            self.bytes += bytes;
            self.order.push_back((job, bytes));
            self.waiting.insert(job, spec);
        }
        self.trim();
    }

    /// Whether the spec is here.
    pub fn has(&self, job: JobId) -> bool {
        self.held.contains_key(&job) || self.waiting.contains_key(&job)
    }

    /// The spec, if it is here.
    pub fn get(&self, job: JobId) -> Option<&Arc<JobSpec>> {
        self.held.get(&job).or_else(|| self.waiting.get(&job))
    }

    /// The job is leased: its spec stays until it is let go.
    pub fn hold(&mut self, job: JobId, from_store: Option<Arc<JobSpec>>) {
        if let Some(spec) = from_store.or_else(|| self.waiting.remove(&job)) {
            self.held.insert(job, spec);
        }
        self.trim();
    }

    /// The job waits again: its spec moves back among the waiting.
    pub fn unhold(&mut self, job: JobId) {
        if let Some(spec) = self.held.remove(&job) {
            self.remember(job, spec);
        }
    }

    /// The job is over.
    pub fn forget(&mut self, job: JobId) {
        self.held.remove(&job);
        self.waiting.remove(&job);
        self.trim();
    }

    /// Drops the bookkeeping of specs that left.
    fn trim(&mut self) {
        while let Some((job, bytes)) = self.order.front()
            && !self.waiting.contains_key(job)
        {
            self.bytes -= bytes;
            self.order.pop_front();
        }
    }
}

/// Roughly the bytes that a spec occupies.
fn weight(spec: &JobSpec) -> usize {
    let env: usize = spec.env.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
    let input = if let InputMode::Inline(bytes) = &spec.input { bytes.len() } else { 0 };
    let files = crate::model::files::weight(&spec.files);
    let artifacts: usize = spec.artifacts.iter().map(String::len).sum();
    let own = spec.command.byte_len() + spec.secret_env.byte_len() + spec.requires.byte_len();
    256 + own + env + input + files + artifacts
}
