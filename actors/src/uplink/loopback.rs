//! The way to a Runner beside its Coordinator as if it were the way to another machine: everything that the two say to
//! each other is written down as it would cross HTTP, and read again. What cannot be written down, or is another thing
//! when it is read, ends the node, so that every test finds it. For development: it costs time and brings nothing else.

use std::sync::Arc;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Recipient, WrapFuture};
use actix::{ResponseActFuture, fut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{NodeSide, perform};
use crate::clock;
use crate::link::{ReportRefusal, ReportReply};
use crate::model::RoomFacts;
use crate::protocol::DeathGuard;
use crate::protocol::gateway::{
    AdmitNode, AnswerOrders, MAX_HOLD_MS, NodeGateway, NodeRefusal, NoteRooms, TakeOrders,
};
use crate::protocol::metrics::Shutdown;
use crate::protocol::orders::{Ask, Order};
use crate::protocol::runner::{
    BeginReporting, Occupied, RegisterError, Registration, RunnerHandle, RunnerReport, Tie,
};
use crate::secret::Vault;
use crate::wire::{
    AnswersBody, HelloBody, OrdersAnswer, OrdersBody, PROTO_MAX, RegisteredBody, WatchAnswer, WatchBody,
};

/// A message that is not the same on the other side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} does not come over as it is: {why}")]
pub struct Altered {
    what: &'static str,
    why: String,
}

/// Why a Runner cannot be tied so.
#[derive(Debug, thiserror::Error)]
pub enum LoopbackError {
    /// A message is another one when it is read.
    #[error(transparent)]
    Altered(#[from] Altered),
    /// The coordinator does not let the node in.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The node works for another one.
    #[error(transparent)]
    Occupied(#[from] Occupied),
}

/// Writes a message down and reads it again. What it says goes into no error: there may be a secret in it.
fn over<T: Serialize + DeserializeOwned>(what: &'static str, message: &T) -> Result<T, Altered> {
    let failed = |why: String| Altered { what, why };
    let written = serde_json::to_vec(message).map(Zeroizing::new);
    let written =
        written.map_err(|error| failed(format!("it cannot be written ({:?})", error.classify())))?;
    let read: T = serde_json::from_slice(&written).map_err(|error| {
        failed(format!("it cannot be read ({:?}, column {})", error.classify(), error.column()))
    })?;
    match serde_json::to_vec(&read).map(Zeroizing::new) {
        Ok(again) if again == written => Ok(read),
        Ok(_) | Err(_) => Err(failed("it is written otherwise once it was read".into())),
    }
}

/// The same for what can be compared: also what is never written must be there again.
fn over_equal<T>(what: &'static str, message: &T) -> Result<T, Altered>
where
    T: Serialize + DeserializeOwned + PartialEq,
{
    let read = over(what, message)?;
    if read == *message { Ok(read) } else { Err(Altered { what, why: "something of it is lost".into() }) }
}

/// Registers the node and starts what carries its messages, until it is told to stop.
///
/// # Errors
/// [`LoopbackError`].
pub async fn begin(
    side: NodeSide,
    gateway: NodeGateway,
    guard: DeathGuard,
) -> Result<Recipient<Shutdown>, LoopbackError> {
    let hello = over_equal("an introduction", &HelloBody::from(side.portrait.introduction()))?;
    let admitted = gateway.admit.send(AdmitNode { introduction: hello.into_introduction() }).await;
    let registration = admitted.unwrap_or(Err(RegisterError::Stopping))?;
    let heartbeat_ms = gateway.heartbeat_ms;
    let registered =
        RegisteredBody { proto: PROTO_MAX, registration, token: None, heartbeat_ms, fence: gateway.fence };
    let registration = over_equal("a registration", &registered)?.registration;
    let begin = side.begin.clone();
    let loopback = Loopback { side, gateway, registration, guard }.start();
    let report = loopback.clone().recipient();
    let begun = begin
        .send(BeginReporting { registration, report, heartbeat_ms, tie: Tie::Beside, fence: None })
        .await;
    // A Runner that is gone has said so itself.
    begun.unwrap_or(Ok(()))?;
    Ok(loopback.recipient())
}

/// The actor.
#[derive(Debug)]
pub struct Loopback {
    side: NodeSide,
    gateway: NodeGateway,
    registration: Registration,
    guard: DeathGuard,
}

impl Actor for Loopback {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let carrier = Carrier {
            runner: self.side.runner.clone(),
            vault: Arc::clone(&self.side.vault),
            gateway: self.gateway.clone(),
            registration: self.registration,
        };
        ctx.spawn(carrier.carry().into_actor(self).map(|ended, _, ctx| {
            match ended {
                Ended::Stopping => return,
                Ended::Refused(refusal) => log::error!("the local runner gets no orders: {refusal}"),
                Ended::Altered(altered) => log::error!("{altered}"),
            }
            // Whoever holds the guard's other end ends the node.
            ctx.stop();
        }));
    }
}

impl Handler<RunnerReport> for Loopback {
    type Result = ResponseActFuture<Self, Result<ReportReply, ReportRefusal>>;

    fn handle(&mut self, message: RunnerReport, ctx: &mut Context<Self>) -> Self::Result {
        self.gateway.pulses.beat(self.side.runner.id, clock::uptime_ms());
        let watched = WatchAnswer { report: Some(message.report.clone()), rooms: None, bye: false };
        let report = over("a report", &watched).map(|watched| watched.report);
        let report = match report {
            Ok(Some(report)) if report == message.report => report,
            altered => {
                log::error!("a report does not come over as it is: {:?}", altered.err());
                ctx.stop();
                return Box::pin(fut::err(ReportRefusal::NotNow));
            }
        };
        let registration = self.registration;
        // Sent here, so that reports arrive in their order.
        let answered = self.gateway.report.send(RunnerReport { report });
        Box::pin(answered.into_actor(self).map(move |answer, _, ctx: &mut Context<Self>| {
            let answer = answer.unwrap_or(Err(ReportRefusal::NotNow));
            let body = WatchBody { registration, answer: Some(answer.clone()), hold_ms: 0 };
            match over("the answer to a report", &body).map(|body| body.answer) {
                Ok(Some(read)) if read == answer => read,
                altered => {
                    log::error!("the answer to a report does not come over as it is: {:?}", altered.err());
                    ctx.stop();
                    Err(ReportRefusal::NotNow)
                }
            }
        }))
    }
}

impl Handler<Shutdown> for Loopback {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Context<Self>) {
        self.guard.disarm();
    }
}

/// Why orders are carried no more.
enum Ended {
    Stopping,
    Refused(NodeRefusal),
    Altered(Altered),
}

impl From<Altered> for Ended {
    fn from(altered: Altered) -> Self {
        Self::Altered(altered)
    }
}

/// Carries orders, as an `Uplink` does.
struct Carrier {
    runner: RunnerHandle,
    vault: Arc<Vault>,
    gateway: NodeGateway,
    registration: Registration,
}

impl Carrier {
    async fn carry(self) -> Ended {
        let mut told: Option<RoomFacts> = None;
        let (mut seen, node) = (0, self.runner.id);
        loop {
            self.gateway.pulses.beat(node, clock::uptime_ms());
            match self.exchange(&mut seen, &mut told).await {
                Ok(()) => {}
                Err(ended) => return ended,
            }
        }
    }

    async fn exchange(&self, seen: &mut u64, told: &mut Option<RoomFacts>) -> Result<(), Ended> {
        let (node, incarnation) = (self.runner.id, self.registration.incarnation);
        let rooms = self.runner.rooms.read();
        let news = (told.as_ref() != Some(&rooms)).then(|| rooms.clone().into());
        let body =
            OrdersBody { node, incarnation, seen: *seen, hold_ms: MAX_HOLD_MS, rooms: news, answers: vec![] };
        let OrdersBody { seen: had, hold_ms, rooms: news, .. } = over("a request for orders", &body)?;
        if let Some(news) = news {
            let note = NoteRooms { node, incarnation, rooms: news.into() };
            answered(self.gateway.rooms.send(note).await)?;
            *told = Some(rooms);
        }
        let taken = self.gateway.orders.send(TakeOrders { node, incarnation, seen: had, hold_ms }).await;
        let taken = OrdersAnswer { orders: answered(taken)? };
        let read = over("orders", &taken)?;
        if commands(&taken.orders).ne(commands(&read.orders)) {
            return Err(Altered { what: "a command", why: "something of it is lost".into() }.into());
        }
        for order in read.orders {
            *seen = order.no;
            self.perform(order).await?;
        }
        Ok(())
    }

    /// Commands are carried out in order; whatever may be slow is done beside.
    async fn perform(&self, order: Order) -> Result<(), Ended> {
        if matches!(order.ask, Ask::Command { .. }) {
            let answer = perform::perform(&self.runner, &self.vault, order).await;
            return self.answer(answer).await;
        }
        let this = Self {
            runner: self.runner.clone(),
            vault: Arc::clone(&self.vault),
            gateway: self.gateway.clone(),
            registration: self.registration,
        };
        actix::spawn(async move {
            let answer = perform::perform(&this.runner, &this.vault, order).await;
            // What is not answered is failed by its proxy in the end.
            if let Err(Ended::Altered(altered)) = this.answer(answer).await {
                log::error!("{altered}");
            }
        });
        Ok(())
    }

    async fn answer(&self, answer: crate::protocol::orders::Answer) -> Result<(), Ended> {
        let (node, incarnation) = (self.runner.id, self.registration.incarnation);
        let body = over("an answer", &AnswersBody { node, incarnation, answers: vec![answer] })?;
        let sent = self.gateway.answers.send(AnswerOrders { node, incarnation, answers: body.answers }).await;
        answered(sent)
    }
}

/// The commands among orders.
fn commands(orders: &[Order]) -> impl Iterator<Item = &crate::link::Command> {
    orders.iter().filter_map(|order| match &order.ask {
        Ask::Command { command, .. } => Some(command),
        _ => None,
    })
}

fn answered<T>(sent: Result<Result<T, NodeRefusal>, actix::MailboxError>) -> Result<T, Ended> {
    match sent {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(NodeRefusal::Stopping)) | Err(_) => Err(Ended::Stopping),
        Ok(Err(refusal)) => Err(Ended::Refused(refusal)),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Leaky {
        kept: u32,
        #[serde(skip)]
        lost: u32,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Drifting(#[serde(serialize_with = "one_more")] u32);

    fn one_more<S: serde::Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(number + 1)
    }

    #[test]
    fn what_is_lost_or_altered_on_the_way_is_noticed() {
        assert!(over_equal("it", &Leaky { kept: 1, lost: 0 }).is_ok());
        assert!(over_equal("it", &Leaky { kept: 1, lost: 2 }).is_err());
        assert!(over("it", &Drifting(1)).is_err());
        assert!(over("it", &f64::NAN).is_err(), "null is no number");
    }

    #[test]
    fn an_error_shows_nothing_of_the_message() {
        #[derive(Serialize)]
        struct Secret(&'static str);
        impl<'de> Deserialize<'de> for Secret {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                u32::deserialize(deserializer).map(|_| Self(""))
            }
        }
        let Err(shown) = over("it", &Secret("hunter2")).map(|_| ()) else { panic!("a text is no number") };
        assert!(!shown.to_string().contains("hunter2"), "{shown}");
    }
}
