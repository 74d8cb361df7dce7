//! What every part of the simulated world shares: virtual time, chance, the agenda of things to come, the net with its
//! faults, the records and the judge. It knows no part's inner life.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use callboard_actors::link::{Command, CommandRefusal, Report, ReportRefusal, ReportReply};
use callboard_actors::model::{AttemptId, ClusterId, Incarnation, JobId, NodeId, Term};

use super::oracle::Oracle;
use super::plan::Plan;
use super::rng::Rng;
use super::store::StoreModel;

/// A rule that is broken on purpose, to see whether the simulator notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    Nothing,
    /// Nodes forget at once what was judged.
    NoJudgedMemory,
    /// Nodes act on commands whose number they have seen, or that are older.
    OldCommandsObeyed,
    /// Nodes act on commands that are meant for an earlier life of theirs.
    OtherLivesObeyed,
    /// The coordinator records results of any epoch.
    EpochsIgnored,
    /// The coordinator speaks before its records are durable.
    EarlySpeech,
    /// The coordinator gives a lost job to another node though its owner said never.
    NeverIgnored,
    /// The coordinator believes absence from an inventory whatever the node has seen of its commands.
    AbsenceIsProof,
    /// A command without an answer is not looked after.
    NoDistrust,
    /// Nodes forget what they gave back as soon as they have told it.
    ReturnsForgotten,
    /// Nodes lose what their disks had kept.
    SpoolLost,
    /// Nodes say nothing of what has outlived them.
    AdoptedUnlisted,
    /// The coordinator judges each node alone, and its own delays as silence of them.
    NoBrake,
}

/// From a node to the coordinator.
#[allow(clippy::large_enum_variant, reason = "most of them are reports")]
#[derive(Clone, Debug)]
pub enum Up {
    Register { request: u64 },
    Report { request: u64, report: Report },
    Acted { exchange: u64, answer: Result<(), CommandRefusal> },
}

/// From the coordinator to a node.
#[derive(Clone, Debug)]
pub enum Down {
    Registered { request: u64, incarnation: Incarnation, term: Term },
    Answer { request: u64, answer: Result<ReportReply, ReportRefusal> },
    Command { exchange: u64, command: Command },
}

/// Something that will happen.
#[derive(Clone, Debug)]
pub enum Event {
    Arrives(usize, Up),
    ArrivesAt(usize, Down),
    NodeTick {
        node: usize,
        life: u64,
    },
    NodeDies(usize),
    NodeBoots(usize),
    SlotsChange(usize),
    /// The executor gets to an attempt that it shall start.
    Spawn {
        node: usize,
        life: u64,
        attempt: AttemptId,
    },
    /// A process ends, by itself or killed.
    Exit {
        node: usize,
        attempt: AttemptId,
        how: Exit,
    },
    /// A result is on a node's disk.
    Spooled {
        node: usize,
        life: u64,
        attempt: AttemptId,
    },
    CoordinatorTick(Term),
    CoordinatorDies,
    CoordinatorBoots,
    Synced(Term),
    Cut {
        node: usize,
        up: bool,
        cut: bool,
    },
    /// Everything is cut off at once, or connected again.
    Blackout(bool),
    /// A node, or the coordinator, stands still for so long, and goes on as if nothing had been.
    Pause {
        node: Option<usize>,
        for_ms: u64,
    },
    Submit,
    Cancel,
    /// Something that is not known to have started is asked back.
    Retract,
    /// An operator has a node drained, or lets it work again.
    Drain {
        node: usize,
        drain: bool,
    },
}

impl Event {
    /// Who does not notice this while it stands still: a node, or the coordinator; none for what nobody does.
    pub fn done_by(&self) -> Option<Option<usize>> {
        match self {
            Self::ArrivesAt(node, _)
            | Self::NodeTick { node, .. }
            | Self::SlotsChange(node)
            | Self::Spawn { node, .. }
            | Self::Exit { node, .. }
            | Self::Spooled { node, .. } => Some(Some(*node)),
            Self::Arrives(..)
            | Self::CoordinatorTick(_)
            | Self::Synced(_)
            | Self::Submit
            | Self::Cancel
            | Self::Retract
            | Self::Drain { .. } => Some(None),
            Self::NodeDies(_)
            | Self::NodeBoots(_)
            | Self::CoordinatorDies
            | Self::CoordinatorBoots
            | Self::Cut { .. }
            | Self::Blackout(_)
            | Self::Pause { .. } => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Killed,
    Lost,
}

pub struct Env {
    pub now: u64,
    pub rng: Rng,
    pub plan: Plan,
    pub sabotage: Sabotage,
    pub cluster: ClusterId,
    pub node_ids: Vec<NodeId>,
    pub store: StoreModel,
    pub oracle: Oracle,
    /// Links that are cut now: node and whether upwards.
    pub cuts: BTreeMap<(usize, bool), bool>,
    pub blackout: bool,
    /// Who stands still, and until when.
    pub paused: BTreeMap<Option<usize>, u64>,
    agenda: std::collections::BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    made: u64,
    numbers: u64,
}

impl Env {
    pub fn new(seed: u64, sabotage: Sabotage) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::draw(&mut rng);
        let node_ids = (0..plan.nodes.len()).map(|_| NodeId::from_bytes(rng.uuid())).collect();
        Self {
            now: 0,
            cluster: ClusterId::from_bytes(rng.uuid()),
            rng,
            plan,
            sabotage,
            node_ids,
            store: StoreModel::default(),
            oracle: Oracle::default(),
            cuts: BTreeMap::new(),
            blackout: false,
            paused: BTreeMap::new(),
            agenda: std::collections::BinaryHeap::new(),
            events: BTreeMap::new(),
            made: 0,
            numbers: 0,
        }
    }

    /// A number that was never used before.
    pub fn fresh(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub fn job_id(&mut self) -> JobId {
        JobId::from_bytes(self.rng.uuid())
    }

    pub fn node_index(&self, id: NodeId) -> usize {
        self.node_ids.iter().position(|node| *node == id).expect("a node of this world")
    }

    /// Whether things still go wrong.
    pub fn faulty(&self) -> bool {
        self.now < self.plan.faults_end
    }

    pub fn after(&mut self, delay: u64, event: Event) {
        self.made += 1;
        self.agenda.push(Reverse((self.now + delay, self.made)));
        self.events.insert(self.made, event);
    }

    /// The next thing that happens; time passes up to it. What concerns someone who stands still waits, in order.
    pub fn next(&mut self) -> Option<Event> {
        loop {
            let Reverse((at, number)) = self.agenda.pop()?;
            self.now = at;
            let event = self.events.remove(&number)?;
            let until = event.done_by().and_then(|who| self.paused.get(&who)).copied();
            match until.filter(|until| *until > at) {
                Some(until) => self.after(until - at, event),
                None => return Some(event),
            }
        }
    }

    pub fn send_up(&mut self, node: usize, message: Up) {
        for delay in self.fates(node, true) {
            self.after(delay, Event::Arrives(node, message.clone()));
        }
    }

    pub fn send_down(&mut self, node: usize, message: Down) {
        for delay in self.fates(node, false) {
            self.after(delay, Event::ArrivesAt(node, message.clone()));
        }
    }

    /// The delays after which copies of a message arrive: none when it is lost.
    fn fates(&mut self, node: usize, up: bool) -> Vec<u64> {
        if !self.faulty() {
            return vec![self.rng.within(1, 10)];
        }
        let cut = self.cuts.get(&(node, up)).copied().unwrap_or(false);
        if cut || self.blackout || self.rng.percent(self.plan.drop_percent) {
            return Vec::new();
        }
        let copies = if self.rng.percent(self.plan.duplicate_percent) { 2 } else { 1 };
        (0..copies).map(|_| self.delay()).collect()
    }

    fn delay(&mut self) -> u64 {
        if self.rng.percent(self.plan.slow_percent) {
            let most = self.rng.pick(&[100, 600, 3_000, 12_000]);
            self.rng.within(5, most)
        } else {
            self.rng.within(1, 8)
        }
    }
}
