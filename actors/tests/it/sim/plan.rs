//! What a seed decides before anything happens: how many nodes, which faults, how often, until when. Each kind of fault
//! is left out in many seeds, so that the others are seen alone too.

use callboard_actors::link::LivenessTimers;

use super::rng::Rng;

/// How long a report or a command is waited for.
pub const ANSWER_MS: u64 = 900;
/// Losses after which a job is given up.
pub const MAX_LOST: u16 = 3;

#[derive(Clone, Debug)]
pub struct NodePlan {
    pub slots: u32,
    /// Whether results outlive the node's process.
    pub spooled: bool,
    /// Whether its jobs may outlive it: keepers hold them for its next life.
    pub held: bool,
    /// Attempts that it holds beyond its slots.
    pub prefetch: u32,
    /// How fast its clock runs.
    pub clock_percent: u64,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub nodes: Vec<NodePlan>,
    pub jobs: u64,
    pub faults_end: u64,
    pub timers: LivenessTimers,
    pub drop_percent: u64,
    pub duplicate_percent: u64,
    pub slow_percent: u64,
    pub node_crashes: u64,
    pub coordinator_crashes: u64,
    pub partitions: u64,
    pub blackouts: u64,
    pub node_pauses: u64,
    pub coordinator_pauses: u64,
    pub drains: u64,
    pub retracts: u64,
    pub cancels: u64,
    pub slot_changes: u64,
    pub never_percent: u64,
    pub longest_job_ms: u64,
    pub sync_most_ms: u64,
    pub overbook_percent: u64,
    /// Chance of an executor to misbehave: to give back, to fail to spawn, to lose its process.
    pub mishap_percent: u64,
}

impl Plan {
    pub fn draw(rng: &mut Rng) -> Self {
        let nodes = rng.pick(&[1, 2, 2, 3, 3, 4]);
        let (prefetches, clocks): (&[u32], &[u64]) =
            rng.pick(&[(&[0], &[100]), (&[0, 1, 3], &[100]), (&[0], &[95, 105]), (&[2], &[95, 100, 105])]);
        let node = |_| NodePlan {
            slots: rng.within(1, 3) as u32,
            spooled: rng.percent(50),
            held: rng.percent(50),
            prefetch: rng.pick(prefetches),
            clock_percent: rng.pick(clocks),
        };
        Self {
            nodes: (0..nodes).map(node).collect(),
            jobs: rng.within(5, 30),
            faults_end: rng.within(4_000, 30_000),
            timers: LivenessTimers {
                heartbeat_ms: 400,
                suspect_ms: 1_200,
                unreachable_ms: 2_500,
                lost_ms: rng.pick(&[2_500, 6_000]),
                recovery_ms: rng.pick(&[1, 6_000]),
                ..LivenessTimers::test()
            },
            drop_percent: rng.pick(&[0, 0, 2, 10, 35]),
            duplicate_percent: rng.pick(&[0, 0, 10, 40]),
            slow_percent: rng.pick(&[0, 5, 25, 50]),
            node_crashes: rng.pick(&[0, 0, 1, 3, 6]),
            coordinator_crashes: rng.pick(&[0, 0, 1, 3, 6]),
            partitions: rng.pick(&[0, 0, 3, 12]),
            blackouts: rng.pick(&[0, 0, 1, 2]),
            node_pauses: rng.pick(&[0, 0, 2, 6]),
            coordinator_pauses: rng.pick(&[0, 0, 2]),
            drains: rng.pick(&[0, 0, 2]),
            retracts: rng.pick(&[0, 0, 4, 12]),
            cancels: rng.pick(&[0, 0, 3, 12]),
            slot_changes: rng.pick(&[0, 0, 3]),
            never_percent: rng.pick(&[0, 50, 100]),
            longest_job_ms: rng.pick(&[40, 300, 2_000, 9_000]),
            sync_most_ms: rng.pick(&[3, 30, 300]),
            overbook_percent: rng.pick(&[0, 0, 20]),
            mishap_percent: rng.pick(&[0, 0, 5, 20]),
        }
    }

    /// How long after the faults everything must be over: a last loss, then every job once or twice, one by one.
    pub fn recovery_ms(&self) -> u64 {
        20_000 + self.jobs * 2 * (self.longest_job_ms + 2_000)
    }
}
