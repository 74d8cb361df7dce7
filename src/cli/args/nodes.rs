//! Flags of `nodes`.

use clap::{Args, Subcommand};

use super::{duration, patience};

/// What is done with the nodes of a server.
#[derive(Debug, Subcommand)]
pub enum Nodes {
    /// List nodes by their names, lost ones included.
    List,
    /// Show nodes in full.
    Show(NodeNames),
    /// Give a node no more jobs; those that it still has at the deadline are ended and wait again.
    Drain(DrainArgs),
    /// Give a node no more jobs; those that it has go on.
    Cordon(CordonArgs),
    /// Give nodes jobs again, or let removed ones (by their ids) register again.
    Resume(NodeNames),
    /// Forget nodes that have no jobs, or are lost, and let them register no more until they are resumed.
    Remove(NodeNames),
    /// Wait until so many nodes can be given jobs.
    Wait(WaitNodesArgs),
}

/// Nodes.
#[derive(Debug, Args)]
pub struct NodeNames {
    /// Names of nodes, their ids, or beginnings of these.
    #[arg(required = true, value_name = "NODE")]
    pub nodes: Vec<String>,
}

/// Flags of `nodes drain`.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// How long its jobs may go on; as long as they like, unless said.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub deadline: Option<u64>,
    /// Why, for whoever looks at it later.
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    #[command(flatten)]
    pub names: NodeNames,
}

/// Flags of `nodes cordon`.
#[derive(Debug, Args)]
pub struct CordonArgs {
    /// Why, for whoever looks at it later.
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    #[command(flatten)]
    pub names: NodeNames,
}

/// Flags of `nodes wait`.
#[derive(Debug, Args)]
pub struct WaitNodesArgs {
    /// How many.
    #[arg(value_name = "COUNT")]
    pub count: usize,
    /// Longest wait.
    #[arg(long, value_parser = patience, value_name = "DURATION")]
    pub timeout: Option<u64>,
}
