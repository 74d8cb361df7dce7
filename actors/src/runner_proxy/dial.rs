//! Dials a node and carries what is said between it and its proxy, as the node itself does when it dials. It decides
//! nothing: when anything goes wrong the conversation is begun anew, and the node's inventory tells what came of it.

use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;
use futures_util::future;

use super::original;
use crate::clock;
use crate::courier::{Courier, CourierError, Pauses, Peer, REFUSED_PAUSE};
use crate::link::{ReportRefusal, ReportReply};
use crate::model::{NodeId, Pulses, RunnerKind, RunnerSpec};
use crate::protocol::gateway::{
    AdmitNode, AnswerOrders, Introduction, LeaveNode, MAX_HOLD_MS, NodeRefusal, NoteRooms, TakeOrders,
};
use crate::protocol::orders::{Ask, Order};
use crate::protocol::runner::{FenceTimes, RegisterError, Registration, RunnerReport};
use crate::wire::{
    self, GiveAnswer, GiveBody, HelloBody, NoCommonProto, Protos, RegisteredBody, WatchAnswer, WatchBody,
};

/// What it takes to dial.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Where the node is, and what it wants to be shown.
    pub peer: Peer,
    /// The longest silence that the node may keep, in milliseconds.
    pub heartbeat_ms: u64,
    /// When the node ends jobs that must not outlive their connection.
    pub fence: Option<FenceTimes>,
    /// Lets the node in.
    pub admit: Recipient<AdmitNode>,
    /// Has orders for it.
    pub orders: Recipient<TakeOrders>,
    /// Writes down what its rooms are worth.
    pub rooms: Recipient<NoteRooms>,
    /// Takes what it answers.
    pub answers: Recipient<AnswerOrders>,
    /// Takes its goodbye.
    pub leave: Recipient<LeaveNode>,
    /// Takes what it reports.
    pub report: Recipient<RunnerReport>,
    /// Where it is noted that it was heard.
    pub pulses: Arc<Pulses>,
}

/// Least time after a goodbye before the node is dialled again: it may not have ended yet.
const AFTER_GOODBYE: Duration = Duration::from_secs(1);

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Courier(#[from] CourierError),
    #[error(transparent)]
    Proto(#[from] NoCommonProto),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Refused(#[from] NodeRefusal),
    #[error("the coordinator has stopped")]
    Gone,
    #[error("the runner said goodbye")]
    Bye,
}

/// How talking to a node comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The coordinator stops.
    Stopping,
    /// The original's runner answers there, which does not know this protocol.
    Original,
}

/// Talks to the node for as long as the coordinator lives, unless it turns out to be the original's.
pub async fn keep(dial: Dial) -> Finding {
    let mut pauses = Pauses::default();
    let mut told = String::new();
    loop {
        let begun = clock::moment();
        let Err(broken) = converse(&dial).await;
        if matches!(
            broken,
            Broken::Gone | Broken::Refused(NodeRefusal::Stopping) | Broken::Register(RegisterError::Stopping)
        ) {
            return Finding::Stopping;
        }
        if matches!(&broken, Broken::Courier(error) if error.is_status(404) || error.is_status(405))
            && original::is_original(&Courier::to(&dial.peer)).await
        {
            return Finding::Original;
        }
        if matches!(broken, Broken::Bye) {
            (pauses, told) = (Pauses::default(), String::new());
            log::info!(url = dial.peer.url.as_str(); "a runner said goodbye; it is dialled again, for when it is back");
            actix::clock::sleep(Duration::from_millis(dial.heartbeat_ms).max(AFTER_GOODBYE)).await;
            continue;
        }
        if begun.elapsed() > Duration::from_millis(dial.heartbeat_ms) {
            pauses.reset();
            told.clear();
        }
        let why = broken.to_string();
        if why != told {
            log::warn!(url = dial.peer.url.as_str(); "a runner cannot be talked to: {why}; it is tried again until it can");
            told = why;
        }
        let is_refused = match &broken {
            Broken::Courier(error) => error.is_not_let_in(),
            broken => matches!(broken, Broken::Register(RegisterError::Removed { .. })),
        };
        let pause = if is_refused { REFUSED_PAUSE } else { pauses.after_failure() };
        actix::clock::sleep(pause).await;
    }
}

async fn converse(dial: &Dial) -> Result<std::convert::Infallible, Broken> {
    let courier = Courier::to(&dial.peer);
    let hello: HelloBody = courier.post(wire::HELLO, &Protos::OWN, Duration::ZERO).await?;
    let proto = hello.protos.common()?;
    let said = hello.into_introduction();
    let node = said.node;
    let spec = RunnerSpec { kind: RunnerKind::Dialled, address: Some(dial.peer.url.clone()), ..said.spec };
    let admit = AdmitNode { introduction: Introduction { spec, ..said } };
    let registration = dial.admit.send(admit).await.map_err(|_| Broken::Gone)??;
    let (heartbeat_ms, fence) = (dial.heartbeat_ms, dial.fence);
    let begin = RegisteredBody { proto, registration, token: None, heartbeat_ms, fence };
    courier.post::<_, ()>(wire::BEGIN, &begin, Duration::ZERO).await?;
    log::info!(url = dial.peer.url.as_str(), node:% = node; "a runner was dialled");
    let talk = Talk { dial, courier, node, registration };
    let (orders, reports) = (std::pin::pin!(talk.carry_orders()), std::pin::pin!(talk.carry_reports()));
    future::select(orders, reports).await.factor_first().0
}

/// One conversation.
struct Talk<'a> {
    dial: &'a Dial,
    courier: Courier,
    node: NodeId,
    registration: Registration,
}

impl Talk<'_> {
    /// Commands are given one exchange at a time, so that none overtakes another; the rest goes beside them.
    async fn carry_orders(&self) -> Result<std::convert::Infallible, Broken> {
        let (node, incarnation) = (self.node, self.registration.incarnation);
        let mut seen = 0;
        loop {
            let take = TakeOrders { node, incarnation, seen, hold_ms: MAX_HOLD_MS };
            let orders = self.dial.orders.send(take).await.map_err(|_| Broken::Gone)??;
            seen = orders.last().map_or(seen, |order| order.no);
            let is_command = |order: &Order| matches!(order.ask, Ask::Command { .. });
            let (commands, rest): (Vec<Order>, Vec<Order>) = orders.into_iter().partition(is_command);
            for order in rest {
                actix::spawn(self.give(vec![order]));
            }
            if !commands.is_empty() {
                self.give(commands).await?;
            }
        }
    }

    fn give(&self, orders: Vec<Order>) -> impl Future<Output = Result<(), Broken>> + use<> {
        let (courier, answers) = (self.courier.clone(), self.dial.answers.clone());
        let (node, registration) = (self.node, self.registration);
        async move {
            let body = GiveBody { registration, orders };
            let given: GiveAnswer = courier.post(wire::GIVE, &body, Duration::ZERO).await?;
            let incarnation = registration.incarnation;
            let answered = AnswerOrders { node, incarnation, answers: given.answers };
            Ok(answers.send(answered).await.map_err(|_| Broken::Gone)??)
        }
    }

    async fn carry_reports(&self) -> Result<std::convert::Infallible, Broken> {
        let (registration, hold_ms) = (self.registration, MAX_HOLD_MS.min(self.dial.heartbeat_ms * 2));
        let mut answer: Option<Result<ReportReply, ReportRefusal>> = None;
        loop {
            let body = WatchBody { registration, answer: answer.take(), hold_ms };
            let hold = Duration::from_millis(hold_ms);
            let watched: WatchAnswer = self.courier.post(wire::WATCH, &body, hold).await?;
            self.dial.pulses.beat(self.node, clock::uptime_ms());
            if let Some(rooms) = watched.rooms {
                let (node, incarnation) = (self.node, registration.incarnation);
                let note = NoteRooms { node, incarnation, rooms: rooms.into() };
                self.dial.rooms.send(note).await.map_err(|_| Broken::Gone)??;
            }
            if watched.bye {
                let leave = LeaveNode { node: self.node, incarnation: registration.incarnation };
                self.dial.leave.send(leave).await.map_err(|_| Broken::Gone)??;
                return Err(Broken::Bye);
            }
            if let Some(report) = watched.report {
                // A node speaks for itself only.
                let report = crate::link::Report { node: self.node, ..report };
                answer =
                    Some(self.dial.report.send(RunnerReport { report }).await.map_err(|_| Broken::Gone)?);
                if matches!(answer, Some(Err(ReportRefusal::NotRegistered))) {
                    return Err(NodeRefusal::NotRegistered.into());
                }
            }
        }
    }
}
