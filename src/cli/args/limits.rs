//! Flags that say what a job may use.

use clap::Args;

use crate::config::ByteCount;
use crate::http::api::LimitsBody;

/// What a job may use at most; what is left out is the node's default.
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// Memory of all its processes together, for example 512M.
    #[arg(long, value_parser = bytes, value_name = "SIZE")]
    pub memory: Option<u64>,
    /// CPUs, for example 1.5.
    #[arg(long, value_name = "NUMBER")]
    pub cpus: Option<f64>,
    /// Processes and threads at one time.
    #[arg(long, value_name = "NUMBER")]
    pub processes: Option<u64>,
    /// Room in each of the folders that it may write to, for example 1G; only in a room of its own.
    #[arg(long, value_parser = bytes, value_name = "SIZE")]
    pub disk: Option<u64>,
    /// Files that each process may have open; only in a room of its own.
    #[arg(long, value_name = "NUMBER")]
    pub open_files: Option<u64>,
}

impl LimitArgs {
    /// As it is sent; none when nothing was said.
    pub fn body(&self) -> Option<LimitsBody> {
        let body = LimitsBody {
            memory_bytes: self.memory,
            cpus: self.cpus,
            processes: self.processes,
            disk_bytes: self.disk,
            open_files: self.open_files,
        };
        (!body.is_empty()).then_some(body)
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    text.parse::<ByteCount>().map(|bytes| bytes.0)
}
