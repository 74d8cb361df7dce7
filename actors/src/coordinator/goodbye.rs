//! The goodbye of a node: it has told everything and holds nothing, so that nobody waits for it. What the records say that
//! it holds nevertheless is lost at once.

use actix::{Context, Handler};

use super::Coordinator;
use super::nodes::Ask;
use crate::clock;
use crate::model::{AttemptId, JobId};
use crate::protocol::runner::RunnerGone;
use crate::protocol::scheduling::NodeGone;

/// How long a node that said goodbye is shown, in milliseconds: an hour. What operators have said of it stays in the
/// records.
pub const GONE_NODE_KEPT_MS: u64 = 3_600_000;

impl Handler<RunnerGone> for Coordinator {
    type Result = ();

    fn handle(&mut self, message: RunnerGone, ctx: &mut Context<Self>) {
        let RunnerGone { node: id, incarnation } = message;
        let current =
            |node: &&mut super::Node| node.link.incarnation() == incarnation && node.left_ms.is_none();
        let Some(node) = self.nodes.get_mut(&id).filter(current) else { return };
        let attempts: Vec<AttemptId> = node.link.given().collect();
        node.link.give_up();
        (node.announced, node.left_ms) = (false, Some(clock::uptime_ms()));
        log::info!(node:% = id, name = node.spec.name.as_str(); "a runner said goodbye");
        let why = "its runner said goodbye and does not hold it";
        let jobs: Vec<JobId> =
            attempts.into_iter().filter_map(|attempt| self.lose(attempt, why.into())).collect();
        // Bounded: one per life of a node.
        self.peers.gone.do_send(NodeGone { node: id, incarnation });
        if !jobs.is_empty() {
            self.ask_scheduler(vec![Ask::Requeue { jobs }], ctx);
        }
        self.flush(ctx);
    }
}
