//! Events: numbers what happened, as it listens to the notices, and keeps the last of it for readers. It knows neither
//! who reads nor how.

use std::sync::Arc;

use actix::{Actor, Context, Handler};

use crate::clock;
use crate::protocol::DeathGuard;
use crate::protocol::feed::EventFeed;
use crate::protocol::metrics::Shutdown;
use crate::protocol::notices::{JobChangeKind, JobChanged, RunnerChanged};

/// The actor.
#[derive(Debug)]
pub struct Events {
    feed: Arc<EventFeed>,
    guard: DeathGuard,
}

impl Events {
    /// One that writes into this feed.
    pub fn new(feed: Arc<EventFeed>, guard: DeathGuard) -> Self {
        Self { feed, guard }
    }
}

impl Actor for Events {
    type Context = Context<Self>;
}

impl Handler<JobChanged> for Events {
    type Result = ();

    fn handle(&mut self, message: JobChanged, _: &mut Context<Self>) {
        // Jobs that were restored come in batches of their own, and nothing has happened to them.
        let restored = message.changes.first().map(|change| &change.what);
        if !matches!(restored, Some(JobChangeKind::Restored { .. })) {
            self.feed.publish_jobs(message.changes, clock::now_ms());
        }
    }
}

impl Handler<RunnerChanged> for Events {
    type Result = ();

    fn handle(&mut self, message: RunnerChanged, _: &mut Context<Self>) {
        self.feed.publish_runner(message, clock::now_ms());
    }
}

impl Handler<Shutdown> for Events {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Context<Self>) {
        self.guard.disarm();
    }
}
