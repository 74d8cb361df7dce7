//! What a user asks for. It refuses to know whether it is permitted: that is `admission`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::files::InputFile;
use super::isolation::Demands;
use super::mounts::Mount;
use super::requires::Requires;
use super::resources::ResourceLimits;
use super::secret::SealedEnv;

/// A job as its owner described it. Immutable from the moment it is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// What to execute.
    pub command: CommandLine,
    /// A name for people; not unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Variables added to the job's clean environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Secret variables, sealed for the job. Who submits gives them in clear, beside the spec.
    #[serde(default, skip_serializing_if = "SealedEnv::is_empty")]
    pub secret_env: SealedEnv,
    /// Folder to start in, absolute; the runner's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Where standard input comes from.
    #[serde(default, skip_serializing_if = "InputMode::is_null")]
    pub input: InputMode,
    /// Wall-clock limit of one attempt, in milliseconds; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Time between TERM and KILL, in milliseconds.
    pub grace_ms: u64,
    /// What to do when the node that runs the job is lost.
    #[serde(default, skip_serializing_if = "OnLost::is_requeue")]
    pub on_lost: OnLost,
    /// What its node does with it when it has lost its coordinator.
    #[serde(default, skip_serializing_if = "OnDisconnect::is_keep")]
    pub on_disconnect: OnDisconnect,
    /// On which nodes it may run.
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    pub requires: Requires,
    /// In what room to run it.
    #[serde(default, skip_serializing_if = "Isolation::is_auto")]
    pub isolation: Isolation,
    /// What it demands of that room.
    #[serde(default, skip_serializing_if = "Demands::is_empty")]
    pub demands: Demands,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "ResourceLimits::is_empty")]
    pub limits: ResourceLimits,
    /// What of the host it wants in its room.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// What lies in its room when it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<InputFile>,
    /// What below its folder is kept when it is over: files and folders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<String>,
}

impl JobSpec {
    /// A job that runs this command with the defaults of [`Limits`](super::Limits) and nothing else asked for.
    pub fn new(command: CommandLine) -> Self {
        Self {
            command,
            name: None,
            env: BTreeMap::new(),
            secret_env: SealedEnv::default(),
            cwd: None,
            input: InputMode::Null,
            timeout_ms: None,
            grace_ms: super::limits::DEFAULT_GRACE_MS,
            on_lost: OnLost::Requeue,
            on_disconnect: OnDisconnect::Keep,
            requires: Requires::default(),
            isolation: Isolation::Auto,
            demands: Demands::default(),
            limits: ResourceLimits::default(),
            mounts: Vec::new(),
            files: Vec::new(),
            artifacts: Vec::new(),
        }
    }

    /// A job that has `/bin/sh` run this line.
    pub fn shell(line: impl Into<String>) -> Self {
        Self::new(CommandLine::Shell(line.into()))
    }

    /// A job that runs a program with its arguments.
    pub fn argv<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Self {
        Self::new(CommandLine::Argv(words.into_iter().map(Into::into).collect()))
    }
}

/// A command: one shell line, or a program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandLine {
    /// Run by `/bin/sh -c`.
    Shell(String),
    /// Executed directly; the first element is looked up in the job's `PATH`.
    Argv(Vec<String>),
}

impl CommandLine {
    /// Bytes that the command occupies as arguments, terminators included.
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Shell(line) => line.len() + 1,
            Self::Argv(argv) => argv.iter().map(|argument| argument.len() + 1).sum(),
        }
    }

    /// One line for people: arguments that a shell would split are quoted.
    pub fn display(&self) -> String {
        match self {
            Self::Shell(line) => line.clone(),
            Self::Argv(argv) => argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
        }
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Where a job's standard input comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputMode {
    /// `/dev/null`.
    #[default]
    Null,
    /// These bytes, then end of file.
    Inline(Vec<u8>),
    /// Sent by the client while the job runs, until it says that no more will come.
    Streamed,
}

impl InputMode {
    /// Whether the job has no input at all.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// What becomes of a job whose attempt was lost together with its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLost {
    /// It waits again, under a new epoch: at-least-once start.
    #[default]
    Requeue,
    /// It ends as lost: at-most-once start.
    Never,
}

impl OnLost {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Never => "never",
        }
    }

    /// Whether a lost attempt is followed by another one.
    pub fn is_requeue(&self) -> bool {
        matches!(self, Self::Requeue)
    }
}

/// What a node does with a job's process when it has had no answer from its coordinator for too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDisconnect {
    /// It goes on: another node may be given the job meanwhile, so that two may run.
    #[default]
    Keep,
    /// It ends: what the coordinator gives to another node then runs once at a time.
    Kill,
}

impl OnDisconnect {
    /// Whether it goes on.
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Kill => "kill",
        }
    }
}

/// What a job asks of the room that it runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// What its node gives to jobs that ask for nothing.
    #[default]
    Auto,
    /// No room: a plain process.
    None,
    /// A room of its own, or no run at all.
    Sandbox,
}

impl Isolation {
    /// Every one, in the order of their strength.
    pub const ALL: [Self; 3] = [Self::Auto, Self::None, Self::Sandbox];

    /// The word that stands for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Sandbox => "sandbox",
        }
    }

    /// The one of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }

    /// Whether nothing was asked for.
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// A client's promise that two requests with one key are one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key, at most 255 bytes.
    pub key: String,
    /// SHA-256 (or another stable 32-byte digest) of the request.
    pub request_hash: [u8; 32],
}
