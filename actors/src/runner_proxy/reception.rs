//! Lets far nodes in: a [`RunnerProxy`] for each life of each, registered like any other node. It knows which life is the
//! present one, and passes on orders and answers of that life only. Who may come in is the door's business.

use std::collections::HashMap;
use std::sync::Arc;

use actix::{
    Actor, ActorFutureExt, Context, Handler, Recipient, ResponseActFuture, ResponseFuture, WrapFuture,
};

use super::{Retire, RunnerProxy, TakeAnswers};
use crate::clock;
use crate::model::{Incarnation, NodeId, Pulse, Pulses, RoomBoard, RunnerSpec};
use crate::protocol::gateway::{
    AdmitNode, AnswerOrders, LeaveNode, MAX_HOLD_MS, MAX_NODES, NodeRefusal, NoteRooms, TakeOrders,
};
use crate::protocol::metrics::Shutdown;
use crate::protocol::orders::Order;
use crate::protocol::runner::{RegisterError, RegisterRunner, Registration, RunnerGone};
use crate::protocol::{DeathGuard, RunnerHandle};
use crate::secret::Vault;

/// Silence after which a node makes room for others where there are too many, in milliseconds.
const FORGET_MS: u64 = 3_600_000;

/// What a Reception works with.
#[derive(Clone, Debug)]
pub struct ReceptionSetup {
    /// Registers nodes.
    pub register: Recipient<RegisterRunner>,
    /// Takes their goodbyes.
    pub gone: Recipient<RunnerGone>,
    /// Opens secret variables.
    pub vault: Arc<Vault>,
    /// Where doors note that a node was heard.
    pub pulses: Arc<Pulses>,
}

struct Life {
    incarnation: Incarnation,
    pulse: Arc<Pulse>,
    board: Arc<RoomBoard>,
    orders: Recipient<TakeOrders>,
    answers: Recipient<TakeAnswers>,
    retire: Recipient<Retire>,
}

/// The actor.
pub struct Reception {
    setup: ReceptionSetup,
    lives: HashMap<NodeId, Life>,
    stopping: bool,
    guard: DeathGuard,
}

impl std::fmt::Debug for Reception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reception").field("nodes", &self.lives.len()).finish_non_exhaustive()
    }
}

impl Reception {
    /// One that knows no node yet.
    pub fn new(setup: ReceptionSetup, guard: DeathGuard) -> Self {
        Self { setup, lives: HashMap::new(), stopping: false, guard }
    }

    fn life(&self, node: NodeId, incarnation: Incarnation) -> Result<&Life, NodeRefusal> {
        if self.stopping {
            return Err(NodeRefusal::Stopping);
        }
        let life = self.lives.get(&node).ok_or(NodeRefusal::NotRegistered)?;
        if life.incarnation == incarnation { Ok(life) } else { Err(NodeRefusal::Superseded) }
    }

    /// Those that were not heard for long make room; one that comes back registers again.
    fn forget_silent(&mut self) {
        let now_ms = clock::uptime_ms();
        let is_silent = |life: &Life| now_ms.saturating_sub(life.pulse.last_ms()) > FORGET_MS;
        for (node, life) in self.lives.extract_if(|_, life| is_silent(life)) {
            self.setup.pulses.forget(node);
            // Bounded: one per node.
            life.retire.do_send(Retire);
        }
    }

    fn replace(&mut self, node: NodeId, life: Life) {
        if let Some(former) = self.lives.insert(node, life) {
            // Bounded: one per registration.
            former.retire.do_send(Retire);
        }
    }
}

impl Actor for Reception {
    type Context = Context<Self>;
}

impl Handler<AdmitNode> for Reception {
    type Result = ResponseActFuture<Self, Result<Registration, RegisterError>>;

    fn handle(&mut self, message: AdmitNode, _: &mut Context<Self>) -> Self::Result {
        let said = message.introduction;
        let node = said.node;
        if self.lives.len() >= MAX_NODES {
            self.forget_silent();
        }
        let refused = if self.stopping {
            Some(RegisterError::Stopping)
        } else if self.lives.len() >= MAX_NODES && !self.lives.contains_key(&node) {
            Some(RegisterError::TooMany(MAX_NODES))
        } else {
            None
        };
        if let Some(refused) = refused {
            return Box::pin(async { Err(refused) }.into_actor(self));
        }
        let board = Arc::new(RoomBoard::new(said.policy));
        board.write(said.rooms);
        let proxy = RunnerProxy::new(Arc::clone(&self.setup.vault)).start();
        let pulse = self.setup.pulses.of(node);
        pulse.beat(clock::uptime_ms());
        let handle = RunnerHandle {
            id: node,
            rooms: Arc::clone(&board),
            pulse: Arc::clone(&pulse),
            assign: proxy.clone().recipient(),
            cancel: proxy.clone().recipient(),
            read_output: proxy.clone().recipient(),
            write_input: proxy.clone().recipient(),
            forget: proxy.clone().recipient(),
        };
        let RunnerSpec { name, slots, .. } = &said.spec;
        log::info!(node:% = node, name = name.as_str(), slots = *slots; "a runner asks to be let in");
        let registered = self.setup.register.send(RegisterRunner { handle, spec: Arc::new(said.spec) });
        Box::pin(registered.into_actor(self).map(move |registered, reception, _| {
            let registration = registered.unwrap_or(Err(RegisterError::Stopping))?;
            let life = Life {
                incarnation: registration.incarnation,
                pulse,
                board,
                orders: proxy.clone().recipient(),
                answers: proxy.clone().recipient(),
                retire: proxy.recipient(),
            };
            reception.replace(node, life);
            Ok(registration)
        }))
    }
}

impl Handler<TakeOrders> for Reception {
    type Result = ResponseFuture<Result<Vec<Order>, NodeRefusal>>;

    fn handle(&mut self, mut message: TakeOrders, _: &mut Context<Self>) -> Self::Result {
        let life = match self.life(message.node, message.incarnation) {
            Ok(life) => life,
            Err(refusal) => return Box::pin(async move { Err(refusal) }),
        };
        message.hold_ms = message.hold_ms.min(MAX_HOLD_MS);
        let orders = life.orders.send(message);
        Box::pin(async { orders.await.unwrap_or(Err(NodeRefusal::Superseded)) })
    }
}

impl Handler<NoteRooms> for Reception {
    type Result = Result<(), NodeRefusal>;

    fn handle(&mut self, message: NoteRooms, _: &mut Context<Self>) -> Self::Result {
        self.life(message.node, message.incarnation)?.board.write(message.rooms);
        Ok(())
    }
}

impl Handler<AnswerOrders> for Reception {
    type Result = Result<(), NodeRefusal>;

    fn handle(&mut self, message: AnswerOrders, _: &mut Context<Self>) -> Self::Result {
        let life = self.life(message.node, message.incarnation)?;
        // Bounded: answers come to orders, and those are bounded.
        life.answers.do_send(TakeAnswers(message.answers));
        Ok(())
    }
}

impl Handler<LeaveNode> for Reception {
    type Result = ResponseFuture<Result<(), NodeRefusal>>;

    fn handle(&mut self, message: LeaveNode, _: &mut Context<Self>) -> Self::Result {
        let LeaveNode { node, incarnation } = message;
        if let Err(refusal) = self.life(node, incarnation) {
            return Box::pin(async move { Err(refusal) });
        }
        if let Some(life) = self.lives.remove(&node) {
            self.setup.pulses.forget(node);
            // Bounded: one per life.
            life.retire.do_send(Retire);
        }
        let gone = self.setup.gone.send(RunnerGone { node, incarnation });
        Box::pin(async { gone.await.map_err(|_| NodeRefusal::Stopping) })
    }
}

impl Handler<Shutdown> for Reception {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Context<Self>) {
        self.stopping = true;
        // Bounded: one per node. What is held is answered with it.
        self.lives.drain().for_each(|(_, life)| life.retire.do_send(Retire));
        self.guard.disarm();
    }
}
