//! What tests of this library and of applications that embed it need again and again: an executor from a closure, a
//! probe that stands where an actor would, and the beginnings of messages. Only the feature `testing` has it; it knows no actor and no store.

use std::sync::{Arc, Mutex, PoisonError};

use actix::{Actor, Addr, Context, Handler, Message, Recipient};

use crate::exec::{ExecEvents, ExecJob, Executor, NoopExecutor};
use crate::model::{AttemptEnd, ClassId, Exit, JobId, Needs, Pulse, RunnerSpec};
use crate::protocol::scheduling::{NodeLife, WaitingJob};

/// How an executor is made on the actors' own thread.
pub type Make = Box<dyn FnOnce(ExecEvents) -> Box<dyn Executor> + Send>;

/// An executor that runs nothing: each job ends at once with exit code 0.
pub fn idle_executor(slots: u32) -> Make {
    scripted_executor(slots, |_| Some(AttemptEnd::Exited(Exit::Code(0))))
}

/// An executor that runs nothing: each job ends as the script says, or goes on until it is killed.
pub fn scripted_executor(
    slots: u32,
    script: impl FnMut(&ExecJob) -> Option<AttemptEnd> + Send + 'static,
) -> Make {
    Box::new(move |events| Box::new(NoopExecutor::scripted(slots, events, Box::new(script))))
}

/// Jobs that wait and ask for nothing.
pub fn waiting(jobs: &[JobId]) -> Vec<WaitingJob> {
    in_class(ClassId::default(), &Needs::default(), jobs)
}

/// Jobs that wait and have these needs.
pub fn in_class(class: ClassId, needs: &Needs, jobs: &[JobId]) -> Vec<WaitingJob> {
    let needs = Arc::new(needs.clone());
    jobs.iter().map(|job| WaitingJob { job: *job, class, needs: Arc::clone(&needs) }).collect()
}

/// What is learnt of a node that was heard at `heard_ms` of the monotonic clock, holds nothing and takes every job that
/// requires no more than `spec` says.
pub fn node_life(spec: RunnerSpec, heard_ms: u64) -> NodeLife {
    let pulse = Pulse::default();
    pulse.beat(heard_ms);
    NodeLife {
        spec: Arc::new(spec),
        rooms: Arc::default(),
        pulse: Arc::new(pulse),
        taken: 0,
        eligibility: Default::default(),
    }
}

/// Hears messages of one type that want no answer, and remembers them in order.
#[derive(Debug)]
pub struct Probe<M: Unpin + 'static> {
    heard: Arc<Mutex<Vec<M>>>,
    ear: Addr<Ear<M>>,
}

impl<M: Message<Result = ()> + Send + Unpin + 'static> Probe<M> {
    /// A probe on the thread that calls.
    pub fn start() -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Ear(Arc::clone(&heard)).start();
        Self { heard, ear }
    }

    /// Where messages for it go.
    pub fn recipient(&self) -> Recipient<M> {
        self.ear.clone().recipient()
    }

    /// Takes what was heard so far.
    pub fn take(&self) -> Vec<M> {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug)]
struct Ear<M>(Arc<Mutex<Vec<M>>>);

impl<M: Unpin + 'static> Actor for Ear<M> {
    type Context = Context<Self>;
}

impl<M: Message<Result = ()> + Unpin + 'static> Handler<M> for Ear<M> {
    type Result = ();

    fn handle(&mut self, message: M, _: &mut Context<Self>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }
}
