//! What a coordinator and a node say to each other, as plain data: the same structs locally and over a wire.
//! Durations only, never points in time: the two sides do not share a clock.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{AttemptId, AttemptResult, ClusterId, Incarnation, JobSpec, NodeId, Term};

/// Version of these structs.
pub const PROTO: u16 = 1;

/// One attempt, given to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Its name.
    pub attempt: AttemptId,
    /// What to run.
    pub spec: Arc<JobSpec>,
    /// How many attempts at the job came before it and are known to have started.
    pub started_before: u16,
}

/// An order to end an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelOrder {
    /// Which one.
    pub attempt: AttemptId,
    /// Time between TERM and KILL, in milliseconds.
    pub grace_ms: u64,
}

/// An order to take no more work and to give back what has not been started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainOrder {
    /// When the coordinator will cancel what still runs, in milliseconds from now; none: never. It is the coordinator
    /// who cancels, so that it knows why the attempts ended; the node may show it.
    #[serde(default)]
    pub deadline_ms: Option<u64>,
}

fn nobodys() -> ClusterId {
    ClusterId::from_bytes([0; 16])
}

/// From the coordinator to a node. Numbered; a node acts on each number once and only in rising order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Version of the structs.
    pub proto: u16,
    /// The database that the coordinator keeps. A command that names none is nobody's, and refused.
    #[serde(default = "nobodys")]
    pub cluster: ClusterId,
    /// The coordinator's term; a node refuses one lower than it has seen.
    pub term: Term,
    /// The life of the node that is spoken to.
    pub incarnation: Incarnation,
    /// Number of this command within the incarnation, from 1.
    pub cmd_no: u64,
    /// Attempts to run.
    pub assign: Vec<Assignment>,
    /// Attempts to end.
    pub cancel: Vec<CancelOrder>,
    /// Attempts to give back if they have not been started. What runs goes on.
    #[serde(default)]
    pub retract: Vec<AttemptId>,
    /// Whether the node shall drain. Every command says it, and the last one counts: none means to take work again.
    #[serde(default)]
    pub draining: Option<DrainOrder>,
    /// The last report that had been answered when the command was made. The node may then forget the attempts that
    /// this answer and earlier ones judged: no command made later gives them again.
    pub answered_n: u64,
}

/// How far a node is with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldPhase {
    /// Taken, not started.
    Taken,
    /// Its process runs.
    Running {
        /// Since when, in milliseconds.
        started_ms_ago: u64,
    },
    /// It ended; the result waits for its verdict.
    Done,
}

/// One line of an inventory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which attempt.
    pub attempt: AttemptId,
    /// How far it is.
    pub phase: HeldPhase,
}

/// A set of attempts, folded: equal count and xor mean equal sets for every practical purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// How many.
    pub count: u32,
    /// XOR of a 64-bit mix of each.
    pub xor: u64,
}

impl Digest {
    /// Folds attempts into a digest; order does not matter.
    pub fn of(attempts: impl Iterator<Item = AttemptId>) -> Self {
        attempts.fold(Self::default(), |digest, attempt| Self {
            count: digest.count + 1,
            xor: digest.xor ^ mix(attempt),
        })
    }
}

/// SplitMix64's finaliser over the parts of an attempt's name.
fn mix(attempt: AttemptId) -> u64 {
    let (high, low) = attempt.job.0.as_u64_pair();
    let finalise = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    finalise(finalise(high).wrapping_add(low)).wrapping_add(finalise(u64::from(attempt.epoch.0)))
}

/// What a node holds: a digest as a rule, the whole list when it was asked for or has just registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inventory {
    /// Folded, finished attempts left out.
    Digest(Digest),
    /// Everything, finished attempts that wait for a verdict included.
    Full(Vec<Held>),
}

/// A process was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedNote {
    /// Which attempt.
    pub attempt: AttemptId,
    /// How long ago, in milliseconds.
    pub started_ms_ago: u64,
}

/// An attempt was not taken, or given back before it started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnedNote {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Why, one line.
    pub why: String,
}

/// Whether a node takes no more work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Draining {
    /// It takes work.
    #[default]
    No,
    /// The last command said so.
    Ordered,
    /// It is stopping by itself; no command changes that.
    Itself,
}

/// From a node to the coordinator. Numbered; an old number is believed only about what it says has finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Version of the structs.
    pub proto: u16,
    /// The database that the node believes it belongs to.
    pub cluster: ClusterId,
    /// Who reports.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// Number of this report within the incarnation, from 1.
    pub n: u64,
    /// Highest command that the node has acted on.
    pub cmd_seen: u64,
    /// With a whole inventory: the last commands of lower numbers that it has not acted on and never will, because
    /// others overtook them.
    #[serde(default)]
    pub skipped: Vec<u64>,
    /// Highest term of a coordinator that the node has seen.
    #[serde(default)]
    pub term_seen: Term,
    /// The first of its lives that the node's process has lived through since: what was leased to that one or a later one,
    /// and is not listed, never came to it or was given back. None when that is not told.
    #[serde(default)]
    pub born: Option<Incarnation>,
    /// Slots that can be used, taken ones included.
    pub usable_slots: u32,
    /// Attempts that the node takes beyond its slots; they wait there.
    #[serde(default)]
    pub prefetch: u32,
    /// Whether it takes no more work.
    #[serde(default)]
    pub draining: Draining,
    /// What the node holds.
    pub inventory: Inventory,
    /// Processes started.
    pub started: Vec<StartedNote>,
    /// Attempts that ended and have no verdict yet.
    pub finished: Vec<AttemptResult>,
    /// Attempts given back.
    pub returned: Vec<ReturnedNote>,
}

/// What the coordinator made of a finished attempt. Each of them lets the node forget it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is the job's terminal record, or the loss that it reports is on record, durably.
    Recorded,
    /// The same result was recorded before.
    AlreadyRecorded,
    /// Another attempt has taken its place; it is kept in the history at most.
    Stale,
    /// Nobody here knows the job.
    Unknown,
}

/// The answer to a report, given when what it rests on is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportReply {
    /// Which report is answered. Reports are answered in order.
    pub n: u64,
    /// One for each finished attempt of the report that could be judged.
    pub verdicts: Vec<(AttemptId, Verdict)>,
    /// Whether the next report must bring the whole inventory.
    pub want_full_inventory: bool,
}

/// Why a report was refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ReportRefusal {
    /// The node belongs to another database: it must touch nothing.
    #[error("the node belongs to another cluster")]
    OtherCluster,
    /// The node has registered again since: this life of it must take no more work.
    #[error("a later life of this node has registered")]
    Superseded,
    /// The node never registered here.
    #[error("the node is not registered")]
    NotRegistered,
    /// The coordinator could not make it durable now; the same report is welcome again.
    #[error("the coordinator cannot record results at the moment")]
    NotNow,
}

/// Why a node did not act on a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum CommandRefusal {
    /// It has seen a higher term.
    #[error("the command's term is older than one the node has seen")]
    OldTerm,
    /// It was meant for another life of the node.
    #[error("the command is meant for another life of the node")]
    OtherIncarnation,
    /// The coordinator keeps another database.
    #[error("the command comes from another cluster, and the node obeys one only")]
    OtherCluster,
    /// It was made before answers that the node has forgotten: it could start again what is over.
    #[error("the command is older than what the node remembers; make it anew after the next report")]
    TooOld,
    /// Too much was given back and has no answer yet.
    #[error("the node has given back more attempts than it can remember; answer its reports first")]
    NotNow,
}
