//! What the silence of a node means for the attempts that it was given. When it means something is judged elsewhere.

use actix::{Context, Handler};

use super::Coordinator;
use super::nodes::Ask;
use crate::model::{AttemptId, JobEvent, JobId};
use crate::protocol::scheduling::{RunnerLost, Silence};

/// Why an attempt that must not outlive its connection is given up.
const FENCED_WHY: &str =
    "nothing was heard of its runner for so long that this has ended it (on_disconnect kill)";

impl Coordinator {
    /// Whether its node ends the job when it has lost its connection.
    fn is_fenced(&self, job: JobId) -> bool {
        self.specs.get(job).is_some_and(|spec| !spec.on_disconnect.is_keep())
    }
}

impl Handler<RunnerLost> for Coordinator {
    type Result = ();

    fn handle(&mut self, message: RunnerLost, ctx: &mut Context<Self>) {
        let Some(node) = self.nodes.get_mut(&message.node) else {
            return;
        };
        if node.link.incarnation() != message.incarnation {
            return;
        }
        let attempts: Vec<AttemptId> = node.link.given().collect();
        match message.meaning {
            Silence::GivenUp => {
                node.link.give_up();
                node.announced = false;
            }
            Silence::Unknown | Silence::Fenced => node.link.distrust(),
        }
        let mut requeued = Vec::new();
        for attempt in attempts {
            let why = match message.meaning {
                Silence::GivenUp => "nothing was heard of its runner for too long",
                Silence::Fenced if self.is_fenced(attempt.job) => FENCED_WHY,
                Silence::Unknown | Silence::Fenced => {
                    self.apply(attempt.job, JobEvent::Silent { epoch: attempt.epoch });
                    continue;
                }
            };
            if let Some(node) = self.nodes.get_mut(&message.node) {
                node.link.settle(attempt);
            }
            requeued.extend(self.lose(attempt, why.into()));
        }
        self.ask_scheduler(vec![Ask::Requeue { jobs: requeued }], ctx);
        self.flush(ctx);
    }
}
