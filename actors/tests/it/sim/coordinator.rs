//! A simulated coordinator: the real `CoordinatorLink`s and the real `transition` around a queue, a command lane for
//! each node and the rule that nothing is said before what it rests on is durable.

mod lane;
mod placing;
mod reports;
mod speech;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use callboard_actors::link::{CoordinatorLink, JobFact, NodeHealth};
use callboard_actors::model::state::Tally;
use callboard_actors::model::{
    AttemptId, CancelWish, EndReason, Incarnation, JobEvent, JobId, JobSpec, JobState, Lease, Moved, OnLost,
    Term, transition,
};

use super::env::{Env, Event};
use super::store::Write;
use lane::Lane;
use speech::Speech;

struct Job {
    spec: Arc<JobSpec>,
    state: JobState,
    /// Its end is on its way to the disk.
    ending: bool,
}

#[derive(Default)]
struct NodeSide {
    link: Option<CoordinatorLink>,
    last_heard: u64,
    health: Option<NodeHealth>,
    usable_slots: u32,
    lane: Lane,
}

pub struct Coordinator {
    term: Term,
    jobs: BTreeMap<JobId, Job>,
    queue: VecDeque<JobId>,
    /// Leased, but the lease is not durable, so that no node can know of it.
    unsent: BTreeSet<AttemptId>,
    nodes: Vec<NodeSide>,
    /// The last incarnation minted, durable or not.
    minted: BTreeMap<usize, Incarnation>,
    speeches: VecDeque<(u64, Speech)>,
    /// Whole inventories asked for since the faults ended.
    asked_in_peace: u64,
}

impl Coordinator {
    /// Opens the records after a crash, or for the first time.
    pub fn boot(env: &mut Env) -> Self {
        let term = env.store.open();
        let job = |(id, state): (&JobId, &JobState)| {
            let spec = Arc::clone(&env.store.specs[id]);
            (*id, Job { spec, state: state.clone(), ending: false })
        };
        let jobs: BTreeMap<_, _> = env.store.durable.iter().map(job).collect();
        let waits = |(id, job): (&JobId, &Job)| matches!(job.state, JobState::Queued(_)).then_some(*id);
        let queue = jobs.iter().filter_map(waits).collect();
        let side = || NodeSide { last_heard: env.now, ..NodeSide::default() };
        let nodes = env.plan.nodes.iter().map(|_| side()).collect();
        env.after(1, Event::CoordinatorTick(term));
        Self {
            term,
            jobs,
            queue,
            unsent: BTreeSet::new(),
            nodes,
            minted: BTreeMap::new(),
            speeches: VecDeque::new(),
            asked_in_peace: 0,
        }
    }

    pub fn term(&self) -> Term {
        self.term
    }

    pub fn all_ended(&self) -> bool {
        self.jobs.values().all(|job| job.state.is_ended())
    }

    /// The jobs that are not over, for the log of a failed run.
    pub fn live(&self) -> impl Iterator<Item = String> {
        let live = self.jobs.iter().filter(|(_, job)| !job.state.is_ended());
        live.map(|(id, job)| format!("{id} ending: {} {:?}", job.ending, job.state))
    }

    /// Whether no link thinks that its node holds something.
    pub fn is_idle(&self) -> bool {
        self.nodes.iter().all(|side| side.link.as_ref().is_some_and(|link| link.given().next().is_none()))
    }

    pub fn submit(&mut self, env: &mut Env) {
        let id = env.job_id();
        let on_lost = if env.rng.percent(env.plan.never_percent) { OnLost::Never } else { OnLost::Requeue };
        let spec = Arc::new(JobSpec { grace_ms: 500, on_lost, ..JobSpec::shell("true") });
        env.oracle.submitted.insert(id, on_lost);
        let state = JobState::new();
        env.store.write(Write::Job { job: id, state: state.clone(), spec: Arc::clone(&spec) });
        self.jobs.insert(id, Job { spec, state, ending: false });
        self.queue.push_back(id);
        self.say(env, Speech::Accepted(id));
    }

    pub fn cancel_one(&mut self, env: &mut Env) {
        let live: Vec<JobId> =
            self.jobs.iter().filter(|(_, job)| !job.state.is_ended()).map(|(id, _)| *id).collect();
        if live.is_empty() {
            return;
        }
        let job = env.rng.pick(&live);
        let wish = CancelWish { reason: EndReason::User, note: None, grace_ms: 300 };
        self.apply(env, job, JobEvent::CancelRequested(wish));
        self.tell_wish(env, job);
    }

    /// Sees to it that the node hears of a standing wish to cancel.
    fn tell_wish(&mut self, env: &mut Env, job: JobId) {
        let Some(Job { state, ending: false, .. }) = self.jobs.get(&job) else {
            return;
        };
        let attempt = AttemptId::new(job, state.epoch());
        if let Some(Lease { cancel: Some(wish), node, .. }) = state.lease()
            && !self.unsent.contains(&attempt)
        {
            let (node, grace_ms) = (env.node_index(*node), wish.grace_ms);
            self.say(env, Speech::Kill { node, attempt, grace_ms });
        }
    }

    /// Applies an event; whether something changed.
    fn apply(&mut self, env: &mut Env, id: JobId, event: JobEvent) -> bool {
        let Some(job) = self.jobs.get(&id).filter(|job| !job.ending) else {
            return false;
        };
        let moved = match transition(&job.state, event, env.now as i64) {
            Ok(Moved::To(state)) => state,
            Ok(Moved::Unchanged) => return false,
            Err(illegal) => {
                env.oracle.broken(format!("{id}: {illegal}"));
                return false;
            }
        };
        self.write(env, id, moved);
        true
    }

    fn write(&mut self, env: &mut Env, id: JobId, state: JobState) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        env.oracle.wrote(id, &job.state, &state);
        let spec = Arc::clone(&job.spec);
        env.store.write(Write::Job { job: id, state: state.clone(), spec });
        self.queue.retain(|waiting| *waiting != id);
        if state.is_ended() {
            job.ending = true;
            return self.say(env, Speech::Ended { job: id, state: Box::new(state) });
        }
        if matches!(state, JobState::Queued(_)) {
            self.queue.push_front(id);
        }
        job.state = state;
    }

    /// Whether the attempt is the job's current one and not known to have started.
    fn awaits_start(&self, attempt: AttemptId) -> bool {
        let job = self.jobs.get(&attempt.job);
        job.is_some_and(|job| {
            let waits = matches!(job.state, JobState::Leased(_) | JobState::Unknown(_));
            waits && !job.ending && job.state.epoch() == attempt.epoch
        })
    }

    pub fn tick(&mut self, env: &mut Env) {
        let delay = env.rng.within(10, 50);
        env.after(delay, Event::CoordinatorTick(self.term));
        for node in 0..self.nodes.len() {
            self.sweep(env, node);
            self.pump(env, node);
        }
        self.dispatch(env);
        self.check(env);
        // Answers that rest on no write of their own wait for no commit when none is under way.
        if !env.store.busy() {
            self.speak_upto(env, env.store.last_write());
        }
    }

    /// A job that waits is in the queue, once, and no other is; once all is well, nothing stays unknown.
    pub fn check(&self, env: &mut Env) {
        let mut queued: Vec<JobId> = self.queue.iter().copied().collect();
        queued.sort();
        let waits = |(id, job): (&JobId, &Job)| {
            let waiting = matches!(job.state, JobState::Queued(Tally { .. })) && !job.ending;
            waiting.then_some(*id)
        };
        if queued != self.jobs.iter().filter_map(waits).collect::<Vec<_>>() {
            env.oracle.broken("I9: the queue does not hold exactly the jobs that wait");
        }
        if self.asked_in_peace > 60 {
            env.oracle.broken("whole inventories are asked for again and again");
        }
        if env.now > env.plan.faults_end + 11_000
            && let Some((id, _)) = self.jobs.iter().find(|(_, job)| matches!(job.state, JobState::Unknown(_)))
        {
            env.oracle.broken(format!("{id} stays unknown though its node is heard"));
        }
    }

    fn fact(jobs: &BTreeMap<JobId, Job>, id: JobId) -> JobFact {
        match jobs.get(&id).map(|job| &job.state) {
            Some(JobState::Queued(tally)) => JobFact::Waiting(tally.epoch),
            Some(JobState::Leased(lease) | JobState::Running(lease) | JobState::Unknown(lease)) => {
                JobFact::Leased {
                    epoch: lease.tally.epoch,
                    node: lease.node,
                    incarnation: lease.incarnation,
                    started: lease.started_at_ms.is_some(),
                }
            }
            Some(JobState::Ended(_)) | None => JobFact::NotLive,
        }
    }
}
