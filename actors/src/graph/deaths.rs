//! For tests: how to make an actor die that nothing from outside can make panic. Only the feature `testing` has it.

use actix::{Addr, Context, Handler, Message, Recipient};

use super::ties::Hearers;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::scheduler::Scheduler;

/// Makes the actor panic.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Die;

/// The actors that can be told to.
#[derive(Clone, Debug)]
pub struct Mortals {
    /// The Scheduler.
    pub scheduler: Recipient<Die>,
    /// Metrics.
    pub metrics: Recipient<Die>,
    /// Events.
    pub events: Recipient<Die>,
}

impl Mortals {
    pub(super) fn of(scheduler: &Addr<Scheduler>, hearers: &Hearers) -> Self {
        Self {
            scheduler: scheduler.clone().recipient(),
            metrics: hearers.metrics.clone().recipient(),
            events: hearers.events.clone().recipient(),
        }
    }
}

macro_rules! mortal {
    ($($actor:ty),+) => {$(
        impl Handler<Die> for $actor {
            type Result = ();

            fn handle(&mut self, _: Die, _: &mut Context<Self>) {
                panic!("a test told this actor to die");
            }
        }
    )+};
}

mortal!(Scheduler, Metrics, Events);
