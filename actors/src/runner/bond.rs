//! What ties a Runner to one coordinator: its half of the link, and where reports go. A node may work for several; they
//! share its slots. It starts nothing and knows no process.

use actix::Recipient;

use crate::link::{NodeEffect, NodeLink, ReportRefusal};
use crate::model::{AttemptId, ClusterId, Incarnation};
use crate::protocol::runner::{FenceTimes, Occupied, RunnerReport, Tie};

/// One coordinator's share of a node.
pub(super) struct Bond {
    pub cluster: ClusterId,
    pub link: NodeLink,
    pub report: Recipient<RunnerReport>,
    pub heartbeat_ms: u64,
    pub tie: Tie,
    /// When its coordinator counts as out of reach.
    pub fence: Option<FenceTimes>,
    /// Reports without an answer.
    pub in_flight: u32,
    pub retry: Retry,
}

/// How it goes with reports that were refused or had no answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    /// Whether the next try has its time: nothing is reported before.
    waits: bool,
    failures: u32,
    /// The refusal that was last told of in the log.
    told: Option<ReportRefusal>,
}

/// First and longest pause before a report is tried again, in milliseconds.
const RETRY_MS: (u64, u64) = (100, 5_000);

impl Retry {
    /// It went well.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// It failed: how long to wait, in milliseconds; none while a try has its time already.
    pub fn wait(&mut self) -> Option<u64> {
        if std::mem::replace(&mut self.waits, true) {
            return None;
        }
        let pause = RETRY_MS.0.saturating_mul(1 << self.failures.min(10)).min(RETRY_MS.1);
        self.failures = self.failures.saturating_add(1);
        Some(pause)
    }

    /// The time has come.
    pub fn wake(&mut self) {
        self.waits = false;
    }

    /// Whether this refusal is news.
    pub fn is_news(&mut self, refusal: ReportRefusal) -> bool {
        self.told.replace(refusal) != Some(refusal)
    }
}

impl Bond {
    /// Whether an answer to a report of this life is still of interest.
    pub fn is_life(&self, incarnation: Incarnation) -> bool {
        self.link.incarnation() == incarnation
    }

    /// Whether one more report may go out before those on their way are answered.
    pub fn may_report(&self) -> bool {
        !self.retry.waits && self.in_flight < self.tie.max_reports()
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
    ///
    /// A coordinator that the node itself has chosen, at an address where another database was before, need not wait for
    /// results that only that one could take: they are set aside on the disk.
    pub fn make_way(&mut self, cluster: ClusterId, tie: Tie) -> Result<(), Occupied> {
        let other = |bond: &Bond| bond.tie.is_far() && bond.cluster != cluster;
        let holds = |bond: &Bond| match tie {
            Tie::Joined => bond.link.live_count() > 0,
            Tie::Beside | Tie::Dialled => !bond.link.is_empty(),
        };
        if let Some(busy) = self.0.iter().find(|bond| other(bond) && holds(bond)) {
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
