//! Which jobs get a room: what the node's rooms are worth, what its configuration says, and what the job demands.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::plans::setup_of;
use crate::clock::{Moment, moment};
use crate::exec::cgroup::{Layout, Obstacle};
use crate::exec::sealed::KeeperProgram;
use crate::exec::{ProcessConfig, canary};
use crate::model::grant::Grant;
use crate::model::{
    Confinement, IsolationRefusal, IsolationReport, JobSpec, Network, RoomBoard, RoomFacts, RoomPolicy, Tier,
};

/// Shortest time between two looks, in milliseconds, whatever happens.
const LOOK_PAUSE_MS: u64 = 10_000;

/// The rooms of one node.
pub(super) struct Rooms {
    board: Arc<RoomBoard>,
    config: ProcessConfig,
    keeper: Option<KeeperProgram>,
    groups: Layout,
    why_no_groups: Vec<Obstacle>,
    /// What a confined job has, as far as it is the same for all.
    report: RefCell<IsolationReport>,
    looked: RefCell<Option<Moment>>,
    failed: Notify,
}

impl Rooms {
    pub(super) fn new(
        config: &ProcessConfig,
        keeper: Option<KeeperProgram>,
        groups: &Layout,
        why_no_groups: Vec<Obstacle>,
    ) -> Rc<Self> {
        Rc::new(Self {
            board: Arc::new(RoomBoard::new(RoomPolicy {
                default_isolation: config.default_isolation,
                min_isolation: config.min_isolation,
                allow_host_network: config.allow_host_network,
                allow_mounts: config.allow_mounts.clone(),
            })),
            config: config.clone(),
            keeper,
            groups: groups.clone(),
            why_no_groups,
            report: RefCell::default(),
            looked: RefCell::default(),
            failed: Notify::new(),
        })
    }

    pub(super) fn board(&self) -> Arc<RoomBoard> {
        Arc::clone(&self.board)
    }

    /// Finds out what rooms are worth, beside everything else.
    pub(super) fn look(self: &Rc<Self>) -> impl Future<Output = ()> + use<> {
        let (config, groups, why) = (self.config.clone(), self.groups.clone(), self.why_no_groups.clone());
        let keeper = self.keeper.clone();
        let (answer, found) = oneshot::channel();
        let looking = move || drop(answer.send(inspect(&config, keeper.as_ref(), &groups, &why)));
        // A thread of the runtime's would stay.
        let begun = std::thread::Builder::new().name("callboard-canary".into()).spawn(looking);
        if let Err(error) = begun {
            log::warn!("no thread can be started to try rooms: {error}");
        }
        let rooms = Rc::clone(self);
        async move {
            // Without an answer nothing is claimed.
            rooms.take(found.await.unwrap_or_default());
        }
    }

    fn take(&self, found: RoomFacts) {
        let before = self.board.read();
        if is_weaker(&before, &found) {
            log::error!(
                had = before.tier.as_str(), found = found.tier.as_str();
                "jobs cannot be confined as they were, so they fail where that is so, and none runs with less: {}",
                found.degraded_because.join("; ")
            );
            // Soon again: a full disk or a busy machine may have passed by then.
            self.failed.notify_one();
        }
        let facts = after(&before, found);
        let facts = RoomFacts { is_too_little: facts.tier < self.config.min_isolation, ..facts };
        if before.tier != facts.tier && before.verified_at_ms.is_some() {
            log::warn!(
                before = before.tier.as_str(), now = facts.tier.as_str();
                "the isolation of rooms has changed: {}", facts.degraded_because.join("; ")
            );
        }
        *self.report.borrow_mut() = IsolationReport {
            tier: facts.tier.as_str().into(),
            kill: if facts.tier == Tier::Lite { "subreaper" } else { "pid_namespace" }.into(),
            missing: facts.missing(),
            ..IsolationReport::default()
        };
        *self.looked.borrow_mut() = Some(moment());
        self.board.write(facts);
    }

    /// A room could not be made though they can be: something has changed.
    pub(super) fn note_failure(&self) {
        self.failed.notify_one();
    }

    /// What a confined job has had.
    pub(super) fn report(&self, network: Network) -> IsolationReport {
        let mut report = IsolationReport { network, ..self.report.borrow().clone() };
        if network == Network::Host {
            if !report.missing.iter().any(|name| name == "netns") {
                report.missing.push("netns".into());
            }
            report.tier = self.board.tier().min(Tier::Partial).as_str().into();
        }
        report
    }

    /// What the job gets, or why it is not run.
    pub(super) fn decide(&self, spec: &JobSpec) -> Result<Grant, IsolationRefusal> {
        self.board.grant(spec)
    }
}

/// Whether jobs were confined in a better way than they can be now.
fn is_weaker(before: &RoomFacts, found: &RoomFacts) -> bool {
    before.verified_at_ms.is_some() && Confinement::of_tier(found.tier) < Confinement::of_tier(before.tier)
}

/// What is known after another look. Where jobs were confined none runs with less unasked: the node stays with what it had,
/// and says what is wrong now.
fn after(before: &RoomFacts, found: RoomFacts) -> RoomFacts {
    match is_weaker(before, &found) {
        false => found,
        true => {
            let because =
                found.degraded_because.into_iter().map(|why| format!("the last look failed: {why}"));
            RoomFacts { degraded_because: because.collect(), fixes: found.fixes, ..before.clone() }
        }
    }
}

/// Looks again from time to time, and soon when a room could not be made.
pub(super) async fn keep_looking(rooms: Weak<Rooms>) {
    loop {
        let Some(now) = rooms.upgrade() else { return };
        let every = now.config.isolation_check_ms;
        let since = now.looked.borrow().map_or(u64::MAX, Moment::elapsed_ms);
        let pause = Duration::from_millis(LOOK_PAUSE_MS.saturating_sub(since));
        let period = async {
            match every {
                0 => std::future::pending().await,
                ms => tokio::time::sleep(Duration::from_millis(ms)).await,
            }
        };
        tokio::select! {
            () = now.failed.notified() => tokio::time::sleep(pause).await,
            () = period => {}
        }
        now.look().await;
    }
}

/// What rooms are worth here. It blocks.
pub(super) fn inspect(
    config: &ProcessConfig,
    keeper: Option<&KeeperProgram>,
    groups: &Layout,
    why_no_groups: &[Obstacle],
) -> RoomFacts {
    let setup = canary::prepare(setup_of(config.slots, config, groups), &config.slots_dir);
    canary::look(keeper, setup, why_no_groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_had_rooms_gives_nothing_less_and_says_what_is_wrong() {
        let facts = |tier, why: &str| RoomFacts {
            tier,
            verified_at_ms: Some(1),
            degraded_because: vec![why.to_owned()],
            ..RoomFacts::default()
        };
        for (had, found, has) in [
            (Tier::Full, Tier::None, Tier::Full),
            (Tier::Partial, Tier::Lite, Tier::Partial),
            (Tier::Lite, Tier::None, Tier::Lite),
            (Tier::Full, Tier::Partial, Tier::Partial),
            (Tier::None, Tier::Full, Tier::Full),
            (Tier::Lite, Tier::Partial, Tier::Partial),
        ] {
            let now = after(&facts(had, "before"), facts(found, "now"));
            assert_eq!(now.tier, has, "{had:?} {found:?}");
            let [why] = &now.degraded_because[..] else { panic!("{now:?}") };
            assert!(why.ends_with("now"), "{why}");
        }
        assert_eq!(after(&RoomFacts::default(), facts(Tier::None, "")).tier, Tier::None, "the first look");
    }
}
