//! Records that are older than what nodes have seen of them: a backup was restored. Where nobody else can have them open, the
//! term and every epoch are raised above whatever was minted in the time that is missing.

use actix::Context;

use super::Coordinator;
use super::commit::Then;
use super::nodes::Ask;
use crate::model::{AttemptId, Epoch, JobId, NodeId, Term};
use crate::store::StoreOp;

/// Attempts at one job for which each term has room before its epochs could meet those of the next raised term.
pub const EPOCHS_OF_A_TERM: u64 = 4096;

/// The least epoch of a live job in a term that was raised: no attempt of an earlier term has it.
fn floor_of(term: Term) -> Epoch {
    Epoch(u32::try_from(term.0.saturating_mul(EPOCHS_OF_A_TERM)).unwrap_or(u32::MAX / 2))
}

impl Coordinator {
    /// A node has obeyed a later term of these records than this one.
    pub(super) fn outranked(&mut self, seen: Term, ctx: &mut Context<Self>) {
        if seen < self.identity.term || !self.setup.store.is_exclusive() {
            return;
        }
        let term = seen.next();
        log::error!(
            ours = self.identity.term.0, seen = seen.0, raised = term.0;
            "a runner knows a later term of these records: they were restored from a backup. What was accepted after              that is gone; attempts that were under way are given up, and their jobs wait again"
        );
        self.identity.term = term;
        let held = |(id, live): (&JobId, &super::live::LiveJob)| {
            let lease = live.state.lease().filter(|_| !live.ending)?;
            Some(AttemptId::new(*id, lease.tally.epoch))
        };
        let attempts: Vec<AttemptId> = self.live.iter().filter_map(held).collect();
        let why = "its records were restored from a backup";
        let jobs: Vec<JobId> =
            attempts.into_iter().filter_map(|attempt| self.lose(attempt, why.into())).collect();
        // In this order: what was pushed before names the epochs of before.
        let floor = floor_of(term);
        self.push(StoreOp::RaiseTerm { to: term, floor }, Then::Tell(None));
        self.live.raise_epochs(floor);
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in nodes {
            self.doubt(id);
            if let Some(node) = self.nodes.get_mut(&id) {
                node.link.raise(term);
                // What it holds is counted anew, when its next whole inventory has been read.
                node.announced = false;
            }
        }
        if !jobs.is_empty() {
            self.ask_scheduler(vec![Ask::Requeue { jobs }], ctx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_term_has_higher_epochs_with_room_between() {
        assert_eq!(floor_of(Term(3)), Epoch(12_288));
        assert!(floor_of(Term(4)).0 - floor_of(Term(3)).0 >= 4096);
        assert!(floor_of(Term(u64::MAX)).next() > floor_of(Term(u64::MAX)), "there is room above");
    }
}
