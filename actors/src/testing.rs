//! What tests of this library and of applications that embed it need again and again: an executor from a closure, and a
//! probe that stands where an actor would. Only the feature `testing` has it; it knows no actor and no store.

use std::sync::{Arc, Mutex, PoisonError};

use actix::{Actor, Addr, Context, Handler, Message, Recipient};

use crate::exec::{ExecEvents, ExecJob, Executor, NoopExecutor};
use crate::link::ReportRefusal;
use crate::model::{AttemptEnd, Exit, NodeId};
use crate::protocol::NodeGateway;
use crate::protocol::gateway::{AdmitNode, AnswerOrders, NodeDoors, NodeRefusal, NodeTokens, TakeOrders};
use crate::protocol::runner::{RegisterError, RunnerReport};

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

/// Doors to other machines behind which nobody is: every node is told that it is not registered. On the thread that calls.
pub fn closed_doors() -> NodeDoors {
    let nobody = Nobody.start();
    let gateway = NodeGateway {
        admit: nobody.clone().recipient(),
        orders: nobody.clone().recipient(),
        answers: nobody.clone().recipient(),
        report: nobody.recipient(),
        pulses: Arc::default(),
        heartbeat_ms: 5_000,
        tokens: Arc::new(NoTokens),
    };
    NodeDoors { gateway, port: None }
}

#[derive(Debug)]
struct Nobody;

impl Actor for Nobody {
    type Context = Context<Self>;
}

macro_rules! refuses {
    ($($message:ty => $refusal:expr),+ $(,)?) => {$(
        impl Handler<$message> for Nobody {
            type Result = actix::MessageResult<$message>;

            fn handle(&mut self, _: $message, _: &mut Context<Self>) -> Self::Result {
                actix::MessageResult(Err($refusal))
            }
        }
    )+};
}

refuses!(
    AdmitNode => RegisterError::Stopping,
    TakeOrders => NodeRefusal::NotRegistered,
    AnswerOrders => NodeRefusal::NotRegistered,
    RunnerReport => ReportRefusal::NotRegistered,
);

#[derive(Debug)]
struct NoTokens;

impl NodeTokens for NoTokens {
    fn token_of(&self, _: NodeId) -> Option<String> {
        None
    }

    fn node_of(&self, _: &str) -> Option<NodeId> {
        None
    }
}
