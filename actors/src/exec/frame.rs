//! What a node and a keeper say to each other over the keeper's lifeline: length-prefixed postcard frames.
//! It knows neither sockets nor processes.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use zeroize::Zeroizing;

use super::HoldOrder;
use super::cgroup::Layout;
use super::sandbox::{Room, Stamp};
use crate::model::{
    AllowedMount, Artifacts, AttemptEnd, AttemptId, Captured, CommandLine, Confinement, InputFile, InputMode,
    LimitReport, Mount, ResourceLimits, SecretEnv, Usage,
};

/// Longest frame, in bytes: a job's largest command, environment and inline input together stay far below it.
pub(crate) const MAX_FRAME_BYTES: usize = 4 << 20;
const PREFIX: usize = 4;

/// A path as bytes: Linux paths need not be text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RawPath(Vec<u8>);

impl From<&Path> for RawPath {
    fn from(path: &Path) -> Self {
        Self(path.as_os_str().as_bytes().to_vec())
    }
}

impl RawPath {
    pub(crate) fn to_path(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.0.clone()))
    }
}

/// The first frame: everything that stays the same for all jobs of a slot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) lock_path: RawPath,
    pub(crate) lock_wait_ms: u64,
    /// The soft limit on open files that the keeper takes for itself and so hands to its jobs.
    pub(crate) open_files: Option<u64>,
    pub(crate) spool_dir: RawPath,
    pub(crate) default_cwd: RawPath,
    pub(crate) run_as: Option<(u32, u32)>,
    /// Where jobs that are confined without a room have their folders.
    pub(crate) homes_dir: RawPath,
    /// The room of those jobs that have one.
    pub(crate) room: Room,
    /// What of the host jobs may have in their rooms.
    pub(crate) allow_mounts: Vec<AllowedMount>,
    /// What a job may use that asks for nothing.
    pub(crate) default_limits: ResourceLimits,
    /// Where it may make control groups.
    pub(crate) groups: Layout,
    /// What they are called.
    pub(crate) group_name: String,
    pub(crate) caps: Caps,
    /// Where the node writes until when its coordinator counts as there.
    pub(crate) fence_path: RawPath,
    /// Where it waits for the next life of its node, when its job may go on without one.
    pub(crate) door_path: RawPath,
}

impl Setup {
    /// The room of this attempt.
    pub(crate) fn room_of(&self, plan: &Plan) -> Room {
        let limits = plan.limits.or(self.default_limits);
        let room = self.room.of_job(&limits, self.groups.controls());
        // Outside of a room all processes of the user are counted, the node's own among them.
        let is_counted = plan.confinement == Confinement::Room || limits.processes.is_some();
        let processes = room.processes.filter(|_| is_counted);
        Room { host_network: plan.host_network, processes, ..room }
    }

    /// The user that jobs without a room become, where that is not who we are.
    pub(crate) fn other_user(&self) -> Option<(u32, u32)> {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        self.run_as.filter(|ids| user.is_root() || *ids != (user.as_raw(), group.as_raw()))
    }
}

/// How much output of each stream is kept, and where, and how much beside it; all in bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Caps {
    pub(crate) head: u64,
    pub(crate) tail: u64,
    pub(crate) hard: u64,
    pub(crate) inline: u64,
    /// Of all artifacts of a job.
    pub(crate) artifacts: u64,
}

/// One attempt to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) attempt: AttemptId,
    pub(crate) command: CommandLine,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) secret_env: SecretPairs,
    pub(crate) cwd: Option<String>,
    /// How it is confined.
    pub(crate) confinement: Confinement,
    /// What it may use at most.
    pub(crate) limits: ResourceLimits,
    /// What of the host it wants in its room.
    pub(crate) mounts: Vec<Mount>,
    /// What lies in its room when it starts.
    pub(crate) files: Vec<InputFile>,
    /// What of its folder is kept when it is over.
    pub(crate) artifacts: Vec<String>,
    /// Whether it has the host's network.
    pub(crate) host_network: bool,
    pub(crate) input: InputMode,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) grace_ms: u64,
    /// Whether it ends when the time in [`Setup::fence_path`] is over, and the time between TERM and KILL then.
    pub(crate) fence_grace_ms: Option<u64>,
    /// Whether it may go on without its node; it is killed with it otherwise.
    pub(crate) hold: Option<HoldOrder>,
}

impl Plan {
    /// Its variables. A later one of two of the same name would win, so the secret ones come last.
    pub(crate) fn environment(&self) -> Vec<(&str, &str)> {
        let open = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let open = open.filter(|(name, _)| !self.secret_env.iter().any(|(secret, _)| secret == *name));
        open.chain(self.secret_env.iter()).collect()
    }
}

/// Secret variables in clear, on their way to the one process that may have them. Wiped when dropped, never shown.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SecretPairs(Vec<(String, Zeroizing<String>)>);

impl SecretPairs {
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn of(values: &SecretEnv) -> Self {
        Self(
            values
                .expose()
                .map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned())))
                .collect(),
        )
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl std::fmt::Debug for SecretPairs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, _)| (name, "***"))).finish()
    }
}

/// From the node to a keeper. The end of the stream is the last word: the node is gone, or needs the slot no more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ToKeeper {
    Setup(Box<Setup>),
    Run(Box<Plan>),
    Kill {
        attempt: AttemptId,
        grace_ms: u64,
    },
    Input {
        attempt: AttemptId,
        bytes: Vec<u8>,
        end: bool,
    },
    /// The report of the attempt is where it survives us: the keeper need not repeat it.
    Recorded {
        attempt: AttemptId,
    },
    /// The node is about to end on purpose: no job goes on without it.
    HoldNoMore,
}

/// From a keeper to the node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FromKeeper {
    /// The slot's lock is held; a `Run` is welcome.
    Ready,
    /// The job's process runs. Left out when the job ends within a few milliseconds: `Finished` implies it.
    Started { attempt: AttemptId, pid: i32 },
    /// The job took `taken` bytes of its input so far; `open` is false when it closed its end.
    InputRoom { attempt: AttemptId, taken: u64, open: bool },
    /// The attempt is over and its tree is gone, unless `slot_failed` says that the slot cannot be used any more.
    Finished { report: Box<Report>, slot_failed: Option<String> },
    /// The slot cannot be used.
    Failed { why: String },
    /// To the next life of the node: the job that went on without one, or whose report nobody has.
    Held { attempt: AttemptId, order: HoldOrder, pid: i32, started_ms_ago: u64 },
}

/// How an attempt ended, as its keeper saw it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) attempt: AttemptId,
    pub(crate) end: AttemptEnd,
    pub(crate) usage: Usage,
    /// Periods in which its group held it back because it had used up its CPU time.
    pub(crate) throttles: u32,
    pub(crate) stdout: Captured,
    pub(crate) stderr: Captured,
    pub(crate) started_ms_ago: Option<u64>,
    /// How it was confined.
    pub(crate) confinement: Confinement,
    /// Whether it had the host's network there.
    pub(crate) host_network: bool,
    /// What it was held to.
    pub(crate) limits: Vec<LimitReport>,
    /// When each step of making its room was done, where that was asked for.
    pub(crate) steps: Vec<Stamp>,
    /// What was kept of its folder.
    pub(crate) artifacts: Artifacts,
}

impl Report {
    /// Of an attempt whose program was never executed.
    pub(crate) fn not_started(attempt: AttemptId, end: AttemptEnd) -> Self {
        let nothing = Captured { inline: Some(Vec::new()), ..Captured::default() };
        Self {
            attempt,
            end,
            usage: Usage::default(),
            throttles: 0,
            stdout: nothing.clone(),
            stderr: nothing,
            started_ms_ago: None,
            confinement: Confinement::Plain,
            host_network: false,
            limits: Vec::new(),
            steps: Vec::new(),
            artifacts: Artifacts::default(),
        }
    }
}

/// Why bytes are not a frame.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {0} bytes is too long")]
    TooLong(usize),
    #[error("a frame cannot be encoded or decoded: {0}")]
    Malformed(#[from] postcard::Error),
}

/// Appends a frame to `out`.
pub(crate) fn encode<T: Serialize>(frame: &T, mut out: Vec<u8>) -> Result<Vec<u8>, FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    let mut out = postcard::to_extend(frame, out)?;
    let len = out.len() - start - PREFIX;
    if len > MAX_FRAME_BYTES {
        return Err(FrameError::TooLong(len));
    }
    out[start..start + PREFIX].copy_from_slice(&(len as u32).to_le_bytes());
    Ok(out)
}

/// How many whole frames a keeper, and a node, would read from the beginning of these bytes.
#[cfg(feature = "testing")]
pub fn count_frames(bytes: &[u8]) -> (usize, usize) {
    fn count<T: DeserializeOwned>(bytes: &[u8]) -> usize {
        let mut inbox = Inbox::default();
        inbox.push(bytes);
        std::iter::from_fn(|| inbox.next::<T>().ok().flatten()).count()
    }
    (count::<ToKeeper>(bytes), count::<FromKeeper>(bytes))
}

/// Bytes that arrived and are not yet taken as frames.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    taken: usize,
}

impl Inbox {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.compact();
        self.bytes.extend_from_slice(bytes);
    }

    /// The buffer to append to, for readers that fill it themselves.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        self.compact();
        &mut self.bytes
    }

    /// The next whole frame.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let waiting = &self.bytes[self.taken..];
        let Some((prefix, rest)) = waiting.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*prefix) as usize;
        if len > MAX_FRAME_BYTES {
            return Err(FrameError::TooLong(len));
        }
        let Some(body) = rest.get(..len) else {
            return Ok(None);
        };
        let frame = postcard::from_bytes(body)?;
        self.taken += PREFIX + len;
        Ok(Some(frame))
    }

    fn compact(&mut self) {
        const KEEP_BYTES: usize = 128 * 1024;
        self.bytes.drain(..self.taken);
        self.taken = 0;
        if self.bytes.is_empty() && self.bytes.capacity() > KEEP_BYTES {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cutting_of_the_stream() {
        let sent = [FromKeeper::Ready, FromKeeper::Failed { why: "x".repeat(300) }, FromKeeper::Ready];
        let mut stream = Vec::new();
        for frame in &sent {
            stream = encode(frame, stream).unwrap();
        }
        for step in [1, 2, 3, 7, stream.len()] {
            let mut inbox = Inbox::default();
            let mut got = Vec::new();
            for piece in stream.chunks(step) {
                inbox.push(piece);
                while let Some(frame) = inbox.next::<FromKeeper>().unwrap() {
                    got.push(format!("{frame:?}"));
                }
            }
            let wanted: Vec<_> = sent.iter().map(|frame| format!("{frame:?}")).collect();
            assert_eq!(got, wanted, "step {step}");
        }
    }

    #[test]
    fn a_frame_that_claims_to_be_huge_is_refused_before_it_is_awaited() {
        let mut inbox = Inbox::default();
        inbox.push(&u32::MAX.to_le_bytes());
        assert_eq!(inbox.next::<FromKeeper>().unwrap_err(), FrameError::TooLong(u32::MAX as usize));
    }
}
