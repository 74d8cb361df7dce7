//! Flags of `demo`.

use std::path::PathBuf;

use clap::Args;

use crate::config::Bind;

/// Flags of `demo`. It starts a node of its own, whose data goes with it unless a folder is named.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End when the jobs are over; otherwise it goes on serving until Ctrl-C.
    #[arg(long)]
    pub exit: bool,
    /// Jobs that run at once.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub slots: u32,
    /// Loopback address to listen on; 127.0.0.1:8000, or a free port when that is taken, unless said.
    #[arg(long, value_name = "ADDR")]
    pub bind: Option<Bind>,
    /// Folder of the database, the output and the slots; a temporary one unless said.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}
