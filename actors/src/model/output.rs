//! A job's output: which stream or artifact, how much of it was kept, and what the keeping left out.

use std::borrow::Cow;

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

/// Something that a node keeps of a job and that can be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// One of its output streams.
    Stream(Stream),
    /// One of its artifacts, by its place among those that were kept.
    Artifact(u32),
}

impl Kept {
    /// The name of the file that holds it, or its first bytes.
    pub fn file_name(self) -> Cow<'static, str> {
        match self {
            Self::Stream(stream) => stream.as_str().into(),
            Self::Artifact(number) => format!("artifact.{number}").into(),
        }
    }

    /// The name of the file that holds its last bytes, where there may be one.
    pub fn tail_name(self) -> Option<&'static str> {
        match self {
            Self::Stream(stream) => Some(stream.tail_as_str()),
            Self::Artifact(_) => None,
        }
    }
}

impl From<Stream> for Kept {
    fn from(stream: Stream) -> Self {
        Self::Stream(stream)
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
