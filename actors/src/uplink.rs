//! The node's side of its coordinators. An [`Uplink`] dials one and carries reports to it and orders from it; a [`Port`]
//! does the same for coordinators that dial the node. Both hand orders to the Runner as the messages that they stand for,
//! so the Runner cannot tell a far coordinator from one beside it.

pub mod loopback;
mod perform;
mod port;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Recipient, ResponseFuture, WrapFuture};
use tokio::sync::Notify;

use crate::clock;
use crate::courier::{Courier, CourierError, Pauses, Peer, REFUSED_PAUSE};
use crate::link::ReportRefusal;
use crate::model::RoomFacts;
use crate::protocol::gateway::{MAX_HOLD_MS, Portrait};
use crate::protocol::metrics::Shutdown;
use crate::protocol::orders::{Answer, Ask, Order};
use crate::protocol::runner::{
    BeginReporting, FenceTimes, Occupied, Registration, RunnerReport, SayGoodbye, Tie,
};
use crate::protocol::{DeathGuard, RunnerHandle};
use crate::secret::Vault;
use crate::wire::{self, AnswersBody, ByeBody, HelloBody, OrdersAnswer, OrdersBody, RegisteredBody};

pub use port::Port;

/// Shortest pause between two signs of life, whatever a coordinator wishes, in milliseconds.
const MIN_HEARTBEAT_MS: u64 = 50;
/// How long a node waits whose id somebody else has registered: two that took turns would end each other's jobs.
const SUPERSEDED_PAUSE: Duration = Duration::from_secs(600);
/// How long a registration must have held before the next is made without a pause that grows.
const STEADY: Duration = Duration::from_secs(5);
/// How long a node that still works for another coordinator waits before it tries to join again.
const OCCUPIED_PAUSE: Duration = Duration::from_secs(10);

/// What a node does for its coordinators with.
#[derive(Clone, Debug)]
pub struct NodeSide {
    /// What it says of itself.
    pub portrait: Portrait,
    /// Its Runner.
    pub runner: RunnerHandle,
    /// Tells the Runner who it is to a coordinator.
    pub begin: Recipient<BeginReporting>,
    /// Seals secret variables that came over.
    pub vault: Arc<Vault>,
}

/// A registration and the way to whom it was made with.
#[derive(Clone, Debug)]
struct Session {
    courier: Courier,
    registration: Registration,
    heartbeat_ms: u64,
    fence: Option<FenceTimes>,
    /// Told when a report of it was refused because the coordinator does not know the node any more.
    forgotten: Rc<Notify>,
}

/// The session that holds now, shared by the actor and its task on one thread.
type Shared = Rc<RefCell<Option<Session>>>;
/// Whether the node goes: then it registers no more.
type Leaving = Rc<Cell<bool>>;
/// The actor: the way to one coordinator that the node dials.
pub struct Uplink {
    side: NodeSide,
    target: Peer,
    session: Shared,
    leaving: Leaving,
    guard: DeathGuard,
}

impl std::fmt::Debug for Uplink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uplink").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Uplink {
    /// One that begins to dial when it is started.
    pub fn new(side: NodeSide, target: Peer, guard: DeathGuard) -> Self {
        Self { side, target, session: Shared::default(), leaving: Leaving::default(), guard }
    }
}

impl Actor for Uplink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let join = Join {
            side: self.side.clone(),
            target: self.target.clone(),
            session: Rc::clone(&self.session),
            leaving: Rc::clone(&self.leaving),
            report: ctx.address().recipient(),
        };
        ctx.spawn(join.keep().into_actor(self));
    }
}

impl Handler<RunnerReport> for Uplink {
    type Result = ResponseFuture<Result<crate::link::ReportReply, ReportRefusal>>;

    fn handle(&mut self, message: RunnerReport, _: &mut Context<Self>) -> Self::Result {
        let session = self.session.borrow().clone();
        let life = message.report.incarnation;
        let Some(session) = session.filter(|session| session.registration.incarnation == life) else {
            return Box::pin(async { Err(ReportRefusal::NotRegistered) });
        };
        Box::pin(async move {
            let sent = session.courier.post(wire::REPORT, &message.report, Duration::ZERO).await;
            sent.map_err(|error| {
                log::debug!("a report did not come over: {error}");
                let refusal = refusal_of(&error);
                if refusal == ReportRefusal::NotRegistered {
                    session.forgotten.notify_one();
                }
                refusal
            })
        })
    }
}

fn refusal_of(error: &CourierError) -> ReportRefusal {
    let named = [
        ("other-cluster", ReportRefusal::OtherCluster),
        ("node-superseded", ReportRefusal::Superseded),
        ("node-not-registered", ReportRefusal::NotRegistered),
    ];
    named.into_iter().find(|(kind, _)| error.is_kind(kind)).map_or(ReportRefusal::NotNow, |(_, it)| it)
}

impl Handler<SayGoodbye> for Uplink {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: SayGoodbye, _: &mut Context<Self>) -> Self::Result {
        self.leaving.set(true);
        let Some(Session { courier, registration, .. }) = self.session.borrow_mut().take() else {
            return Box::pin(async {});
        };
        let body = ByeBody { node: self.side.runner.id, incarnation: registration.incarnation };
        Box::pin(async move {
            if let Err(error) = courier.post::<_, ()>(wire::BYE, &body, Duration::ZERO).await {
                log::info!("a goodbye did not come over: {error}");
            }
        })
    }
}

impl Handler<Shutdown> for Uplink {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Context<Self>) {
        self.leaving.set(true);
        *self.session.borrow_mut() = None;
        self.guard.disarm();
    }
}

/// Registers, and carries orders for as long as the registration holds.
struct Join {
    side: NodeSide,
    target: Peer,
    session: Shared,
    leaving: Leaving,
    report: Recipient<RunnerReport>,
}

/// Why orders come no more.
enum Ended {
    /// The registration does not hold any more: make another.
    Unregistered(String),
    /// Somebody else has registered with the node's id.
    Superseded(String),
    /// The node works for another coordinator.
    Occupied(Occupied),
}

/// Says once why the node cannot join.
fn complain(error: &CourierError, told: &mut String) {
    let why = error.to_string();
    if why == *told {
        return;
    }
    if error.is_not_let_in() {
        let seconds = REFUSED_PAUSE.as_secs();
        log::error!(
            "this runner is not let in: {why}; mend that, and start it again: it asks again every {seconds} s only"
        );
    } else {
        log::warn!("cannot join: {why}; it is tried again until it can");
    }
    *told = why;
}

impl Join {
    async fn keep(self) {
        let mut pauses = Pauses::default();
        let mut told = String::new();
        let url = self.target.url.as_str();
        while !self.leaving.get() {
            match self.register().await {
                Ok(session) => {
                    told = String::new();
                    let begun = clock::moment();
                    let Some(ended) = self.work(session).await else { return };
                    *self.session.borrow_mut() = None;
                    // One that holds for a moment only is no better than none.
                    if begun.elapsed() > STEADY {
                        pauses.reset();
                    }
                    if self.leaving.get() {
                        return;
                    }
                    match ended {
                        Ended::Unregistered(why) => {
                            log::warn!(url; "the coordinator wants this runner to register again: {why}");
                        }
                        Ended::Superseded(why) => {
                            log::error!(url; "this runner takes no work for ten minutes: {why}");
                            actix::clock::sleep(SUPERSEDED_PAUSE).await;
                        }
                        Ended::Occupied(occupied) => {
                            log::error!(url; "{occupied}");
                            actix::clock::sleep(OCCUPIED_PAUSE).await;
                            continue;
                        }
                    }
                }
                Err(error) => {
                    complain(&error, &mut told);
                    if error.is_not_let_in() {
                        actix::clock::sleep(REFUSED_PAUSE).await;
                        continue;
                    }
                }
            }
            actix::clock::sleep(pauses.after_failure()).await;
        }
    }

    /// Works for the coordinator until the registration does not hold any more; none when the Runner is gone.
    async fn work(&self, session: Session) -> Option<Ended> {
        let Session { registration, heartbeat_ms, fence, .. } = session;
        let url = self.target.url.as_str();
        log::info!(url, incarnation = registration.incarnation.0; "joined a coordinator");
        *self.session.borrow_mut() = Some(session.clone());
        let begin = BeginReporting {
            registration,
            report: self.report.clone(),
            heartbeat_ms,
            tie: Tie::Joined,
            fence,
        };
        match self.side.begin.send(begin).await.ok()? {
            Ok(()) => Some(self.carry(session).await),
            Err(occupied) => Some(Ended::Occupied(occupied)),
        }
    }

    async fn register(&self) -> Result<Session, CourierError> {
        let courier = Courier::to(&self.target);
        let body = HelloBody::from(self.side.portrait.introduction());
        let registered: RegisteredBody = courier.post(wire::REGISTER, &body, Duration::ZERO).await?;
        let courier = match registered.token {
            Some(token) => courier.showing(Some(token)),
            None => courier,
        };
        let heartbeat_ms = registered.heartbeat_ms.max(MIN_HEARTBEAT_MS);
        Ok(Session {
            courier,
            registration: registered.registration,
            heartbeat_ms,
            fence: registered.fence,
            forgotten: Rc::default(),
        })
    }

    /// Carries orders. A coordinator that does not answer may be the same one soon: nothing is given up for that.
    async fn carry(&self, session: Session) -> Ended {
        let Session { courier, registration, forgotten, .. } = session;
        let (node, incarnation) = (self.side.runner.id, registration.incarnation);
        let (mut seen, mut answers, mut pauses) = (0, Vec::new(), Pauses::default());
        let mut told: Option<RoomFacts> = None;
        let mut is_away = false;
        loop {
            let rooms = self.side.runner.rooms.read();
            let news = (told.as_ref() != Some(&rooms)).then(|| rooms.clone().into());
            let body = OrdersBody { node, incarnation, seen, hold_ms: MAX_HOLD_MS, rooms: news, answers };
            let hold = Duration::from_millis(MAX_HOLD_MS);
            let taken: Result<OrdersAnswer, CourierError> = tokio::select! {
                taken = courier.post(wire::ORDERS, &body, hold) => taken,
                () = forgotten.notified() => {
                    return Ended::Unregistered("it does not know it any more".into());
                }
            };
            answers = Vec::new();
            match taken {
                Ok(taken) => {
                    pauses.reset();
                    is_away = false;
                    told = Some(rooms);
                    for order in taken.orders.into_iter().filter(|order| order.no > seen).collect::<Vec<_>>()
                    {
                        seen = order.no;
                        answers.extend(self.perform(order, &courier, registration).await);
                    }
                }
                Err(error) if error.is_kind("node-superseded") => {
                    return Ended::Superseded(error.to_string());
                }
                Err(error) if error.is_kind("node-not-registered") || error.is_status(401) => {
                    return Ended::Unregistered(error.to_string());
                }
                Err(error) => {
                    if !matches!(error, CourierError::Unreachable { .. }) || !is_away {
                        log::warn!("no orders came: {error}");
                    }
                    is_away = true;
                    answers = body.answers;
                    actix::clock::sleep(pauses.after_failure()).await;
                }
            }
        }
    }

    /// Commands are carried out in order, and their answers go with the next question. Whatever may be slow is done and
    /// answered beside.
    async fn perform(&self, order: Order, courier: &Courier, registration: Registration) -> Option<Answer> {
        if matches!(order.ask, Ask::Command { .. }) {
            return Some(perform::perform(&self.side.runner, &self.side.vault, order).await);
        }
        let (side, courier) = (self.side.clone(), courier.clone());
        actix::spawn(async move {
            let answer = perform::perform(&side.runner, &side.vault, order).await;
            let (node, incarnation) = (side.runner.id, registration.incarnation);
            let body = AnswersBody { node, incarnation, answers: vec![answer] };
            // What does not come over is asked for again.
            if let Err(error) = courier.post::<_, ()>(wire::ANSWERS, &body, Duration::ZERO).await {
                log::debug!("an answer did not come over: {error}");
            }
        });
        None
    }
}
