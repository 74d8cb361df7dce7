//! The node's side of its coordinators. An [`Uplink`] dials one and carries reports to it and orders from it; a [`Port`]
//! does the same for coordinators that dial the node. Both hand orders to the Runner as the messages that they stand for,
//! so the Runner cannot tell a far coordinator from one beside it.

pub mod loopback;
mod perform;
mod port;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Recipient, ResponseFuture, WrapFuture};

use crate::clock;
use crate::courier::{Courier, CourierError, Pauses};
use crate::link::ReportRefusal;
use crate::model::RoomFacts;
use crate::protocol::gateway::{MAX_HOLD_MS, Portrait};
use crate::protocol::metrics::Shutdown;
use crate::protocol::orders::{Answer, Ask, Order};
use crate::protocol::runner::{BeginReporting, Registration, RunnerReport, Tie};
use crate::protocol::{DeathGuard, RunnerHandle};
use crate::secret::Vault;
use crate::wire::{self, AnswersBody, HelloBody, OrdersAnswer, OrdersBody, RegisteredBody};

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

/// Whom a node dials.
#[derive(Clone)]
pub struct JoinTarget {
    /// Where the coordinator is.
    pub url: String,
    /// What lets the node register.
    pub token: Option<String>,
}

impl std::fmt::Debug for JoinTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinTarget").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A registration and the way to whom it was made with.
#[derive(Clone, Debug)]
struct Session {
    courier: Courier,
    registration: Registration,
    heartbeat_ms: u64,
}

/// The session that holds now, shared by the actor and its task on one thread.
type Shared = Rc<RefCell<Option<Session>>>;

/// The actor: the way to one coordinator that the node dials.
pub struct Uplink {
    side: NodeSide,
    target: JoinTarget,
    session: Shared,
    guard: DeathGuard,
}

impl std::fmt::Debug for Uplink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uplink").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Uplink {
    /// One that begins to dial when it is started.
    pub fn new(side: NodeSide, target: JoinTarget, guard: DeathGuard) -> Self {
        Self { side, target, session: Shared::default(), guard }
    }
}

impl Actor for Uplink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let join = Join {
            side: self.side.clone(),
            target: self.target.clone(),
            session: Rc::clone(&self.session),
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
                refusal_of(&error)
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

impl Handler<Shutdown> for Uplink {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Context<Self>) {
        *self.session.borrow_mut() = None;
        self.guard.disarm();
    }
}

/// Registers, and carries orders for as long as the registration holds.
struct Join {
    side: NodeSide,
    target: JoinTarget,
    session: Shared,
    report: Recipient<RunnerReport>,
}

/// Why orders come no more.
enum Ended {
    /// The registration does not hold any more: make another.
    Unregistered(String),
    /// Somebody else has registered with the node's id.
    Superseded(String),
}

impl Join {
    async fn keep(self) {
        let mut pauses = Pauses::default();
        let mut told = String::new();
        loop {
            match self.register().await {
                Ok(session) => {
                    let url = self.target.url.as_str();
                    let registration = session.registration;
                    log::info!(url, incarnation = registration.incarnation.0; "joined a coordinator");
                    told = String::new();
                    let begun = clock::moment();
                    *self.session.borrow_mut() = Some(session.clone());
                    let begin = BeginReporting {
                        registration,
                        report: self.report.clone(),
                        heartbeat_ms: session.heartbeat_ms,
                        tie: Tie::Joined,
                    };
                    match self.side.begin.send(begin).await {
                        Ok(Ok(())) => {}
                        Ok(Err(occupied)) => {
                            log::error!(url; "{occupied}");
                            *self.session.borrow_mut() = None;
                            actix::clock::sleep(OCCUPIED_PAUSE).await;
                            continue;
                        }
                        Err(_) => return,
                    }
                    let ended = self.carry(session).await;
                    // One that holds for a moment only is no better than none.
                    if begun.elapsed() > STEADY {
                        pauses.reset();
                    }
                    match ended {
                        Ended::Unregistered(why) => {
                            log::warn!(url; "the coordinator wants this runner to register again: {why}")
                        }
                        Ended::Superseded(why) => {
                            log::error!(url; "this runner takes no work for ten minutes: {why}");
                            *self.session.borrow_mut() = None;
                            actix::clock::sleep(SUPERSEDED_PAUSE).await;
                        }
                    }
                }
                Err(error) => {
                    let why = error.to_string();
                    if why != told {
                        log::warn!("cannot join: {why}; it is tried again until it can");
                        told = why;
                    }
                }
            }
            *self.session.borrow_mut() = None;
            actix::clock::sleep(pauses.after_failure()).await;
        }
    }

    async fn register(&self) -> Result<Session, CourierError> {
        let courier = Courier::new(&self.target.url, self.target.token.clone());
        let body = HelloBody::from(self.side.portrait.introduction());
        let registered: RegisteredBody = courier.post(wire::REGISTER, &body, Duration::ZERO).await?;
        let courier = match registered.token {
            Some(token) => courier.showing(Some(token)),
            None => courier,
        };
        let heartbeat_ms = registered.heartbeat_ms.max(MIN_HEARTBEAT_MS);
        Ok(Session { courier, registration: registered.registration, heartbeat_ms })
    }

    /// Carries orders. A coordinator that does not answer may be the same one soon: nothing is given up for that.
    async fn carry(&self, session: Session) -> Ended {
        let Session { courier, registration, .. } = session;
        let (node, incarnation) = (self.side.runner.id, registration.incarnation);
        let (mut seen, mut answers, mut pauses) = (0, Vec::new(), Pauses::default());
        let mut told: Option<RoomFacts> = None;
        let mut is_away = false;
        loop {
            let rooms = self.side.runner.rooms.read();
            let news = (told.as_ref() != Some(&rooms)).then(|| rooms.clone().into());
            let body = OrdersBody { node, incarnation, seen, hold_ms: MAX_HOLD_MS, rooms: news, answers };
            let hold = Duration::from_millis(MAX_HOLD_MS);
            let taken: Result<OrdersAnswer, CourierError> = courier.post(wire::ORDERS, &body, hold).await;
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
