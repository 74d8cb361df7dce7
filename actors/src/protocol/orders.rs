//! What a coordinator asks of a far node, one numbered order at a time, and what the node answers. The commands of the
//! link travel in them, beside requests that are no part of it: output, input, forgetting. Order and answer are the same
//! whoever dials.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::errors::NodeError;
use super::jobs::InputAck;
use super::runner::{SpoolChunk, SpoolReadError};
use crate::link::Command;
use crate::model::{AttemptId, JobId, Kept};

/// Most orders that wait for one node; beyond them it is treated as one that does not answer.
pub const MAX_ORDERS_WAITING: usize = 4096;
/// Most orders in one exchange.
pub const MAX_ORDERS_AT_ONCE: usize = 64;

/// One order. A node carries out each number once and in rising order; one that comes again is not carried out again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Its number within the node's life, from 1.
    pub no: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// A command of the link, with the secret variables of the attempts that it assigns.
    Command {
        /// The command. The sealed variables in it mean nothing to the node.
        command: Command,
        /// The variables in clear.
        #[serde(default)]
        secrets: Vec<Secrets>,
    },
    /// Spooled output or an artifact.
    ReadOutput {
        /// Which attempt.
        attempt: AttemptId,
        /// Which stream or artifact.
        kept: Kept,
        /// First kept byte wanted.
        offset: u64,
        /// Most bytes.
        max_bytes: usize,
    },
    /// Streamed input.
    WriteInput {
        /// Which attempt.
        attempt: AttemptId,
        /// Where the bytes start in the whole input.
        offset: u64,
        /// The bytes.
        bytes: Blob,
        /// Whether nothing follows them.
        end: bool,
    },
    /// The output of these jobs may go.
    Forget {
        /// Which jobs.
        jobs: Vec<JobId>,
    },
}

/// The secret variables of one attempt, in clear on their way to the node that runs it. `Debug` shows none.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// Whose.
    pub attempt: AttemptId,
    /// Names and values.
    pub values: Vec<(String, String)>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        self.values.iter_mut().for_each(|(_, value)| zeroize::Zeroize::zeroize(value));
    }
}

/// Bytes that travel as base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob(pub bytes::Bytes);

impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine;
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine;
        let text = String::deserialize(deserializer)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        bytes.map(|bytes| Self(bytes.into())).map_err(|_| serde::de::Error::custom("bytes are not base64"))
    }
}

/// What a node answers to one order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The order's number.
    pub no: u64,
    /// What it says.
    pub said: Said,
}

/// What a node says to an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// To a command.
    Command(Result<(), NodeError>),
    /// To a request for output.
    Output(Result<FarChunk, SpoolReadError>),
    /// To input.
    Input(InputAck),
    /// What was to be forgotten will be.
    Forgetting,
}

/// A piece of output on its way.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FarChunk {
    /// The bytes.
    pub bytes: Blob,
    /// Kept bytes there are now.
    pub kept_bytes: u64,
}

impl From<SpoolChunk> for FarChunk {
    fn from(chunk: SpoolChunk) -> Self {
        Self { bytes: Blob(chunk.bytes), kept_bytes: chunk.kept_bytes }
    }
}

impl From<FarChunk> for SpoolChunk {
    fn from(chunk: FarChunk) -> Self {
        Self { bytes: chunk.bytes.0, kept_bytes: chunk.kept_bytes }
    }
}
