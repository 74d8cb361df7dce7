//! Flags of `bench`.

use std::path::PathBuf;

use clap::Args;

use super::duration;
use crate::config::JobUser;

/// Most nodes that are simulated: as many as a coordinator lets register.
const MAX_SIMULATED: i64 = callboard_actors::protocol::gateway::MAX_NODES as i64;

/// Flags of `bench`. It starts a node of its own, as `run` does.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Length of one measurement.
    #[arg(long, value_parser = duration, value_name = "DURATION", default_value = "2s")]
    pub span: u64,
    /// How often each pair of measurements is repeated.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Jobs that run at once; twelve for each core unless said, so that none is idle while others wait for the disk.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub slots: Option<u32>,
    /// Requests that are under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub connections: u32,
    /// Jobs that wait in the measurement of memory and restart.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(0..=1_500_000))]
    pub queued: u32,
    /// Folder whose disk is measured; the temporary folder unless said.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Who jobs run as; the caller unless said.
    #[arg(long, value_name = "USER")]
    pub user: Option<JobUser>,
    /// `sandbox` measures what rooms cost, and nothing else: beside plain jobs, beside bare namespaces, step by step.
    #[arg(long, default_value = "none", value_parser = ["none", "sandbox"])]
    pub isolation: String,
    /// Measure what a runner in a process of its own costs, and nothing else.
    #[arg(long, conflicts_with = "isolation")]
    pub remote: bool,
    /// Measure a coordinator with so many simulated nodes that end every job at once, and nothing else.
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["isolation", "remote"], default_value_t = 0,
          hide_default_value = true, value_parser = clap::value_parser!(u32).range(0..=MAX_SIMULATED))]
    pub nodes: u32,
    /// Measure a coordinator with so many simulated nodes that have nothing to do, and nothing else.
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["isolation", "remote"], default_value_t = 0,
          hide_default_value = true, value_parser = clap::value_parser!(u32).range(0..=MAX_SIMULATED))]
    pub idle_nodes: u32,
}
