//! A job's output: which stream, how much of it was kept, and what the keeping left out.

use serde::{Deserialize, Serialize};

/// One of a job's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Both streams, output first.
    pub const BOTH: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// The stream's name, also the name of its spool file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The name of the spool file that holds the stream's last bytes, when its head was not all.
    pub fn tail_as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout.tail",
            Self::Stderr => "stderr.tail",
        }
    }
}

/// How much of a stream there was and how much of it was kept, in bytes.
///
/// What is kept is the head (the first bytes, up to a cap) and, when that was not all, the tail (the last ones).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSummary {
    /// Bytes that the job wrote.
    pub total_bytes: u64,
    /// Bytes kept from the beginning.
    pub head_bytes: u64,
    /// Bytes kept from the end, not counting what the head holds already.
    pub tail_bytes: u64,
}

impl OutputSummary {
    /// Bytes that can be read back.
    pub fn kept_bytes(&self) -> u64 {
        self.head_bytes + self.tail_bytes
    }

    /// Whether something between head and tail was dropped.
    pub fn is_truncated(&self) -> bool {
        self.kept_bytes() < self.total_bytes
    }
}

/// One stream as it was captured: its sizes and, when it is small, its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// The sizes.
    pub summary: OutputSummary,
    /// The kept bytes, when they are few enough for the record; otherwise they are in the runner's spool.
    pub inline: Option<Vec<u8>>,
}
