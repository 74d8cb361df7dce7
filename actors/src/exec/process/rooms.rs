//! Which jobs get a room: what the node's rooms are worth, what its configuration says, and what the job demands.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::plans::setup_of;
use crate::clock::{Moment, moment};
use crate::exec::cgroup::Layout;
use crate::exec::sealed::KeeperProgram;
use crate::exec::{ProcessConfig, canary};
use crate::model::{Isolation, IsolationReport, JobSpec, Network, RoomBoard, RoomFacts, Tier};

/// Shortest time between two looks, in milliseconds, whatever happens.
const LOOK_PAUSE_MS: u64 = 10_000;

/// What a job gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) roomed: bool,
    pub(super) host_network: bool,
}

/// The rooms of one node.
pub(super) struct Rooms {
    board: Arc<RoomBoard>,
    config: ProcessConfig,
    keeper: Option<KeeperProgram>,
    groups: Layout,
    why_no_groups: Vec<String>,
    /// What a job in a room has, as far as it is the same for all.
    report: RefCell<IsolationReport>,
    looked: RefCell<Option<Moment>>,
    failed: Notify,
}

impl Rooms {
    pub(super) fn new(
        config: &ProcessConfig,
        keeper: Option<KeeperProgram>,
        groups: &Layout,
        why_no_groups: Vec<String>,
    ) -> Rc<Self> {
        Rc::new(Self {
            board: Arc::default(),
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

    fn take(&self, facts: RoomFacts) {
        let facts = RoomFacts { is_too_little: facts.tier < self.config.min_isolation, ..facts };
        let before = self.board.read();
        if before.tier != facts.tier && before.verified_at_ms.is_some() {
            log::warn!(
                before = before.tier.as_str(), now = facts.tier.as_str();
                "the isolation of rooms has changed: {}", facts.degraded_because.join("; ")
            );
        }
        *self.report.borrow_mut() = IsolationReport {
            tier: facts.tier.as_str().into(),
            kill: "pid_namespace".into(),
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

    /// What a job that had a room has had.
    pub(super) fn report(&self, network: Network) -> IsolationReport {
        let mut report = IsolationReport { network, ..self.report.borrow().clone() };
        if network == Network::Host {
            report.missing.push("netns".into());
            report.tier = self.board.tier().min(Tier::Partial).as_str().into();
        }
        report
    }

    /// What the job gets, or why it is not run.
    pub(super) fn decide(&self, spec: &JobSpec) -> Result<Decision, String> {
        let facts = self.board.read();
        let (has_rooms, demands) = (facts.tier >= Tier::Partial, &spec.demands);
        let wants = match (spec.isolation, self.config.default_isolation) {
            (Isolation::None, _) | (Isolation::Auto, Isolation::None) => false,
            (Isolation::Auto, Isolation::Auto) => has_rooms,
            (Isolation::Sandbox, _) | (Isolation::Auto, Isolation::Sandbox) => true,
        };
        if wants && !has_rooms && !demands.is_optional {
            return Err(no_rooms(&facts));
        }
        let roomed = wants && has_rooms;
        let tier = if roomed { facts.tier } else { Tier::None };
        let host_network = demands.network == Network::Host;
        let (tier, mut missing) =
            (if host_network { tier.min(Tier::Partial) } else { tier }, facts.missing());
        missing.extend(host_network.then(|| "netns".to_owned()));
        let lacking = demands.lacking(tier, &missing);
        if !lacking.is_empty() {
            return Err(format!(
                "this node lacks {} for a job that demands it: `callboard doctor` on it says why, and what would help",
                lacking.join(", ")
            ));
        }
        let least = self.config.min_isolation;
        if tier < least {
            return Err(format!(
                "this node runs nothing below tier {} (setting runner.min_isolation), and this job would have {}",
                least.as_str(),
                tier.as_str()
            ));
        }
        if roomed && host_network && !self.config.allow_host_network {
            return Err("this node gives no job its network (setting runner.allow_host_network)".into());
        }
        Ok(Decision { roomed, host_network })
    }
}

fn no_rooms(facts: &RoomFacts) -> String {
    let why = facts.degraded_because.join("; ");
    let fix = facts.fixes.first().map(|fix| format!("; try `{fix}`")).unwrap_or_default();
    format!(
        "no room can be made on this node: {why}{fix}; `callboard doctor` says more, isolation `none` does without"
    )
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
    why_no_groups: &[String],
) -> RoomFacts {
    let setup = canary::prepare(setup_of(config.slots, config, groups), &config.slots_dir);
    canary::look(keeper, setup, why_no_groups)
}
