//! A simulated coordinator: the real `CoordinatorLink`s and the real `transition` around a queue, a command lane for
//! each node and the rule that nothing is said before what it rests on is durable.

mod asked;
mod lane;
mod placing;
mod reports;
mod speech;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use callboard_actors::link::{CoordinatorLink, JobFact, LivenessWatch, NodeHealth};
use callboard_actors::model::state::Tally;
use callboard_actors::model::{
    AttemptId, Incarnation, JobEvent, JobId, JobSpec, JobState, Lease, Moved, Term, transition,
};

use super::env::{Env, Event};
use super::store::Write;
use lane::Lane;
use speech::Speech;

/// Longest time between two looks at the nodes.
const LONGEST_TICK_MS: u64 = 50;

struct Job {
    spec: Arc<JobSpec>,
    state: JobState,
    /// Its end is on its way to the disk.
    ending: bool,
}

struct NodeSide {
    link: Option<CoordinatorLink>,
    last_heard: u64,
    health: NodeHealth,
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
    watch: LivenessWatch,
    /// Nodes that were heard just before everything was cut off, while nobody has been heard since.
    in_blackout: Vec<usize>,
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
        let (last_heard, health) = (env.now, NodeHealth::Ready);
        let side = || NodeSide { link: None, last_heard, health, usable_slots: 0, lane: Lane::default() };
        let nodes = env.plan.nodes.iter().map(|_| side()).collect();
        env.after(1, Event::CoordinatorTick(term));
        Self {
            term,
            jobs,
            queue,
            unsent: BTreeSet::new(),
            nodes,
            watch: LivenessWatch::new(env.plan.timers, env.now),
            in_blackout: Vec::new(),
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
        let delay = env.rng.within(10, LONGEST_TICK_MS);
        env.after(delay, Event::CoordinatorTick(self.term));
        self.sweep(env);
        (0..self.nodes.len()).for_each(|node| self.pump(env, node));
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
        if env.now <= env.plan.faults_end + 11_000 {
            return;
        }
        // What waits at its node for a slot is unknown until it starts: the states have no way back to leased.
        let waits = |lease: &Lease| env.plan.nodes[env.node_index(lease.node)].prefetch > 0;
        let lost_sight_of = |job: &Job| matches!(&job.state, JobState::Unknown(lease) if !waits(lease));
        if let Some((id, _)) = self.jobs.iter().find(|(_, job)| lost_sight_of(job)) {
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
