//! What ties a Runner to one coordinator: its half of the link, and where reports go. A node may work for several; they
//! share its slots. It starts nothing and knows no process.

use actix::Recipient;

use crate::link::{NodeEffect, NodeLink};
use crate::model::{AttemptId, ClusterId, Incarnation};
use crate::protocol::runner::{Occupied, RunnerReport};

/// One coordinator's share of a node.
pub(super) struct Bond {
    pub cluster: ClusterId,
    pub link: NodeLink,
    pub report: Recipient<RunnerReport>,
    pub max_reports: u32,
    /// Whether it is on another machine, so that results for it are kept here until it has them.
    pub is_far: bool,
    /// Reports without an answer.
    pub in_flight: u32,
}

impl Bond {
    /// Whether an answer to a report of this life is still of interest.
    pub fn is_life(&self, incarnation: Incarnation) -> bool {
        self.link.incarnation() == incarnation
    }

    /// Whether one more report may go out before those on their way are answered.
    pub fn may_report(&self) -> bool {
        self.in_flight < self.max_reports.max(1)
    }
}

/// Every coordinator that the node works for: few, so they are looked through.
#[derive(Default)]
pub(super) struct Bonds(Vec<Bond>);

impl Bonds {
    pub fn add(&mut self, bond: Bond) {
        self.0.push(bond);
    }

    /// Lets go of another coordinator elsewhere when it has been told everything: a node works for one of those at a
    /// time.
    pub fn make_way(&mut self, cluster: ClusterId) -> Result<(), Occupied> {
        let other = |bond: &Bond| bond.is_far && bond.cluster != cluster;
        if let Some(busy) = self.0.iter().find(|bond| other(bond) && !bond.link.is_empty()) {
            return Err(Occupied(busy.cluster));
        }
        self.0.retain(|bond| !other(bond));
        Ok(())
    }

    pub fn of(&mut self, cluster: ClusterId) -> Option<&mut Bond> {
        self.0.iter_mut().find(|bond| bond.cluster == cluster)
    }

    /// The one that gave this attempt.
    pub fn holder(&mut self, attempt: AttemptId) -> Option<&mut Bond> {
        self.0.iter_mut().find(|bond| bond.link.is_live(attempt))
    }

    pub fn clusters(&self) -> Vec<ClusterId> {
        self.0.iter().map(|bond| bond.cluster).collect()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Bond> {
        self.0.iter_mut()
    }

    pub fn live(&self) -> Vec<AttemptId> {
        self.0.iter().flat_map(|bond| bond.link.live()).collect()
    }

    /// Whether nothing runs and every result has its verdict.
    pub fn are_empty(&self) -> bool {
        self.0.iter().all(|bond| bond.link.is_empty())
    }

    /// Shares out so many slots: each coordinator may use those that the others do not.
    pub fn share_slots(&mut self, usable: u32) -> Vec<NodeEffect> {
        if let [only] = self.0.as_mut_slice() {
            return only.link.set_usable_slots(usable);
        }
        let taken: u32 = self.0.iter().map(|bond| bond.link.live_count() as u32).sum();
        let share = |bond: &mut Bond| {
            let of_others = taken - bond.link.live_count() as u32;
            bond.link.set_usable_slots(usable.saturating_sub(of_others))
        };
        self.0.iter_mut().flat_map(share).collect()
    }
}
