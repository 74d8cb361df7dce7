//! The node's half of conversations that coordinators begin: it keeps reports until they are asked for, and hands orders
//! to the Runner. It dials nobody.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, ResponseFuture, WrapFuture, fut,
};
use tokio::sync::oneshot;

use super::{MIN_HEARTBEAT_MS, NodeSide, perform};
use crate::link::{Report, ReportRefusal, ReportReply};
use crate::model::{ClusterId, RoomFacts};
use crate::protocol::DeathGuard;
use crate::protocol::gateway::{BeginLife, GiveOrders, MAX_HOLD_MS, NodeRefusal, WatchReports, Watched};
use crate::protocol::metrics::Shutdown;
use crate::protocol::orders::Answer;
use crate::protocol::runner::{BeginReporting, Occupied, Registration, RunnerReport, SayGoodbye, Tie};

type ReportAnswer = Result<ReportReply, ReportRefusal>;

/// What one coordinator is told.
struct Told {
    registration: Registration,
    waiting: VecDeque<(Report, oneshot::Sender<ReportAnswer>)>,
    /// Whom the answer to the report that was handed out is for.
    out: Option<oneshot::Sender<ReportAnswer>>,
    held: Option<(u64, oneshot::Sender<Option<Report>>)>,
    /// What it was last told that rooms are worth. An answer that is lost on its way ends the life that it was told in.
    rooms: Option<RoomFacts>,
    /// Whether it was told that the node goes.
    parted: bool,
}

impl Told {
    fn of(registration: Registration) -> Self {
        Self { registration, waiting: VecDeque::new(), out: None, held: None, rooms: None, parted: false }
    }

    fn take(&mut self) -> Option<Report> {
        let (report, sender) = self.waiting.pop_front()?;
        self.out = Some(sender);
        Some(report)
    }
}

/// The actor.
pub struct Port {
    side: NodeSide,
    told: HashMap<ClusterId, Told>,
    holds: u64,
    /// Whether the node says goodbye to whoever asks for its next report.
    leaving: bool,
    /// Whoever waits until all were told.
    left: Vec<oneshot::Sender<()>>,
    stopping: bool,
    guard: DeathGuard,
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port").field("coordinators", &self.told.len()).finish_non_exhaustive()
    }
}

impl Port {
    /// One that no coordinator has dialled yet.
    pub fn new(side: NodeSide, guard: DeathGuard) -> Self {
        Self {
            side,
            told: HashMap::new(),
            holds: 0,
            leaving: false,
            left: Vec::new(),
            stopping: false,
            guard,
        }
    }

    /// What a coordinator was not told yet of the rooms; from now on it was.
    fn room_news(&mut self, registration: Registration) -> Option<RoomFacts> {
        let rooms = self.side.portrait.rooms.read();
        let told = self.told(registration).ok()?;
        (told.rooms.as_ref() != Some(&rooms)).then(|| told.rooms.insert(rooms).clone())
    }

    /// What a watch brings that has no report: the goodbye, once it is time for that.
    fn nothing_new(&mut self, registration: Registration) -> Watched {
        if self.leaving
            && let Ok(told) = self.told(registration)
        {
            told.parted = true;
        }
        self.note_parted();
        Watched { report: None, rooms: self.room_news(registration), bye: self.leaving }
    }

    fn note_parted(&mut self) {
        if self.leaving && self.told.values().all(|told| told.parted) {
            // Whoever waited may have given up.
            self.left.drain(..).for_each(|waiter| _ = waiter.send(()));
        }
    }

    fn told(&mut self, registration: Registration) -> Result<&mut Told, NodeRefusal> {
        if self.stopping && self.told.is_empty() {
            return Err(NodeRefusal::Stopping);
        }
        let told = self.told.get_mut(&registration.cluster).ok_or(NodeRefusal::NotRegistered)?;
        if told.registration == registration { Ok(told) } else { Err(NodeRefusal::Superseded) }
    }
}

impl Actor for Port {
    type Context = Context<Self>;
}

impl Handler<BeginLife> for Port {
    type Result = ResponseActFuture<Self, Result<(), Occupied>>;

    fn handle(&mut self, message: BeginLife, ctx: &mut Context<Self>) -> Self::Result {
        let BeginLife { registration, heartbeat_ms, fence } = message;
        let heartbeat_ms = heartbeat_ms.max(MIN_HEARTBEAT_MS);
        // What was under way in the life before has no answer, and is told again in this one.
        self.told.insert(registration.cluster, Told::of(registration));
        let report = ctx.address().recipient();
        let begin = BeginReporting { registration, report, heartbeat_ms, tie: Tie::Dialled, fence };
        let begun = self.side.begin.send(begin);
        Box::pin(begun.into_actor(self).map(move |begun, port, _| {
            // A Runner that is gone has no life to begin; the next request finds that out.
            let begun = begun.unwrap_or(Ok(()));
            match begun {
                Ok(()) => port.told.retain(|cluster, _| *cluster == registration.cluster),
                Err(_) => _ = port.told.remove(&registration.cluster),
            }
            begun
        }))
    }
}

impl Handler<GiveOrders> for Port {
    type Result = ResponseFuture<Result<Vec<Answer>, NodeRefusal>>;

    fn handle(&mut self, message: GiveOrders, _: &mut Context<Self>) -> Self::Result {
        let GiveOrders { registration, orders } = message;
        if let Err(refusal) = self.told(registration) {
            return Box::pin(async move { Err(refusal) });
        }
        let (runner, vault) = (self.side.runner.clone(), self.side.vault.clone());
        Box::pin(async move {
            let mut answers = Vec::with_capacity(orders.len());
            for order in orders {
                answers.push(perform::perform(&runner, &vault, order).await);
            }
            Ok(answers)
        })
    }
}

impl Handler<RunnerReport> for Port {
    type Result = ResponseFuture<ReportAnswer>;

    fn handle(&mut self, message: RunnerReport, _: &mut Context<Self>) -> Self::Result {
        let report = message.report;
        let told = self.told.get_mut(&report.cluster);
        let Some(told) = told.filter(|told| told.registration.incarnation == report.incarnation) else {
            return Box::pin(async { Err(ReportRefusal::NotRegistered) });
        };
        let (sender, answer) = oneshot::channel();
        told.waiting.push_back((report, sender));
        if let Some((_, held)) = told.held.take()
            && let Some(report) = told.take()
            && held.send(Some(report)).is_err()
        {
            // Whoever waited is gone: this report is lost, which is told like a lost answer.
            told.out = None;
        }
        Box::pin(async { answer.await.unwrap_or(Err(ReportRefusal::NotNow)) })
    }
}

impl Handler<WatchReports> for Port {
    type Result = ResponseActFuture<Self, Result<Watched, NodeRefusal>>;

    fn handle(&mut self, message: WatchReports, ctx: &mut Context<Self>) -> Self::Result {
        let WatchReports { registration, answer, hold_ms } = message;
        self.holds += 1;
        let (number, leaving) = (self.holds, self.leaving);
        let told = match self.told(registration) {
            Ok(told) => told,
            Err(refusal) => return Box::pin(fut::err(refusal)),
        };
        if let Some(sender) = told.out.take() {
            // Without an answer the last report, or its answer, was lost on its way.
            let _ = sender.send(answer.unwrap_or(Err(ReportRefusal::NotNow)));
        }
        if let Some(report) = told.take() {
            let rooms = self.room_news(registration);
            return Box::pin(fut::ok(Watched { report: Some(report), rooms, bye: false }));
        }
        if leaving {
            return Box::pin(fut::ok(self.nothing_new(registration)));
        }
        let (sender, report) = oneshot::channel();
        // An earlier watch is dropped with it: nobody waits for that any more.
        told.held = Some((number, sender));
        let hold = Duration::from_millis(hold_ms.min(MAX_HOLD_MS));
        ctx.run_later(hold, move |port, _| {
            for told in port.told.values_mut() {
                if let Some((_, held)) = told.held.take_if(|(held, _)| *held == number) {
                    let _ = held.send(None);
                }
            }
        });
        Box::pin(report.into_actor(self).map(move |report, port, _| {
            let report = report.map_err(|_| NodeRefusal::Superseded)?;
            match report {
                Some(report) => {
                    Ok(Watched { report: Some(report), rooms: port.room_news(registration), bye: false })
                }
                None => Ok(port.nothing_new(registration)),
            }
        }))
    }
}

impl Handler<SayGoodbye> for Port {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: SayGoodbye, _: &mut Context<Self>) -> Self::Result {
        self.leaving = true;
        let (sender, left) = oneshot::channel();
        self.left.push(sender);
        for told in self.told.values_mut() {
            if let Some((_, held)) = told.held.take() {
                // Whoever waited is gone: the next one is told.
                let _ = held.send(None);
            }
        }
        self.note_parted();
        Box::pin(async { _ = left.await })
    }
}

impl Handler<Shutdown> for Port {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Context<Self>) {
        self.stopping = true;
        for (_, told) in self.told.drain() {
            if let Some((_, held)) = told.held {
                // Whoever waited may be gone.
                let _ = held.send(None);
            }
        }
        self.guard.disarm();
    }
}
