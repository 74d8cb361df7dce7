//! How an attempt ended and what the job's record says of it. Exit code and signal are never squeezed into one number.

use serde::{Deserialize, Serialize};

use super::artifacts::Artifacts;
use super::id::{AttemptId, Epoch, NodeId};
use super::isolation::Network;
use super::output::Captured;
use super::reason::EndReason;
use super::resources::{Enforcer, LimitReport};
use super::setup::SetupStage;
use super::state::CancelWish;

/// How a process left: by itself with a code, or by a signal. Exactly one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// Exit code, 0 to 255.
    Code(i32),
    /// Number of the signal that killed it.
    Signal {
        /// Signal number, 1 to 64.
        number: i32,
        /// Whether the kernel wrote a core file.
        core_dumped: bool,
    },
}

/// What ended an attempt, as seen by the node that ran it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// The process ended by itself or by a foreign signal.
    Exited(Exit),
    /// The wall-clock limit passed and the tree was killed.
    Timeout {
        /// The limit, in milliseconds.
        limit_ms: u64,
        /// How the process left after TERM or KILL.
        exit: Exit,
    },
    /// The coordinator asked for the end.
    Killed {
        /// How the process left; none when it had not been started.
        exit: Option<Exit>,
    },
    /// The hard limit on output passed and the tree was killed.
    OutputLimit {
        /// The limit, in bytes.
        limit_bytes: u64,
        /// How the process left.
        exit: Exit,
    },
    /// The program could not be executed.
    SpawnError {
        /// What failed and what to do about it, one line.
        message: String,
        /// What a shell would have exited with: 126 (cannot execute) or 127 (not found).
        shell_code: i32,
    },
    /// The whole tree used more memory than it may, or than there was, and the kernel killed some of it.
    OutOfMemory {
        /// The job's limit, in bytes; none when it was the machine's memory that ran out.
        limit_bytes: Option<u64>,
        /// The most that it had at once, in bytes, where that was counted.
        peak_bytes: Option<u64>,
        /// How many of its processes the kernel killed, or how often all of them at once.
        kills: u32,
        /// Whether it was all of them at once.
        #[serde(default)]
        whole: bool,
        /// Whether the job's own process was spared, and ended by its node.
        spared: bool,
        /// How the job's own process left.
        exit: Exit,
    },
    /// The job's room could not be made, so nothing was executed.
    SandboxError {
        /// What failed, one line.
        message: String,
        /// At which step. Nodes of before say nothing of it.
        #[serde(default = "SetupStage::untold")]
        stage: SetupStage,
    },
    /// The node cannot hold the job to what it asked for, so nothing was executed.
    Unavailable {
        /// What is missing and what to do about it, one line.
        message: String,
        /// The layers that are missing; none when it is something else.
        #[serde(default)]
        missing: Vec<String>,
    },
    /// The node lost its grip on the process, for example because the keeper died.
    Lost {
        /// What happened, one line.
        why: String,
        /// Whether it did so on purpose: the job was not to outlive its connection.
        #[serde(default)]
        fenced: bool,
    },
}

/// What a process tree used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Wall time from start to end of the job's process, in microseconds.
    pub wall_us: u64,
    /// CPU time in user mode of every reaped process of the tree, in microseconds.
    pub cpu_user_us: u64,
    /// CPU time in kernel mode of the same processes, in microseconds.
    pub cpu_system_us: u64,
    /// Largest resident size of any one process of the tree, in bytes (Linux counts it in KiB).
    pub peak_memory_bytes: u64,
    /// Processes that outlived the job's own process and were killed.
    pub orphans_killed: u32,
    /// The most memory that the whole tree had at once, in bytes, as its control group counted; none without one.
    #[serde(default)]
    pub memory_peak_bytes: Option<u64>,
    /// How often the kernel killed for want of memory: a process each time, or the whole job at once, which counts as one.
    #[serde(default)]
    pub oom_kills: u32,
    /// Processes that were not started because there were as many as the job may have.
    #[serde(default)]
    pub process_denials: u32,
}

/// What isolation a job really had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolationReport {
    /// `none` until the sandbox exists.
    pub tier: String,
    /// How the process tree is killed: `subreaper` or `process_group`; `no_process` when nothing was executed.
    pub kill: String,
    /// Layers that this run did not have.
    pub missing: Vec<String>,
    /// What network it had: `none` or `host`; none when it never ran.
    #[serde(default, skip_serializing_if = "Network::is_none")]
    pub network: Network,
    /// What it was held to, and by whom.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitReport>,
}

impl Default for IsolationReport {
    fn default() -> Self {
        Self {
            tier: "none".into(),
            kill: "subreaper".into(),
            missing: ["namespaces", "seccomp", "landlock", "cgroups", "network"].map(String::from).into(),
            network: Network::Host,
            limits: Vec::new(),
        }
    }
}

impl IsolationReport {
    /// The same of a plain process that was held to these. What its control group held it to was not missing.
    pub fn held_to(mut self, limits: Vec<LimitReport>) -> Self {
        let by_group =
            |it: &LimitReport| matches!(it.enforced_by, Some(Enforcer::CgroupV1 | Enforcer::CgroupV2));
        if limits.iter().any(by_group) {
            self.missing.retain(|layer| layer != "cgroups");
        }
        Self { limits, ..self }
    }
}

/// The report of one finished attempt, from the node to the coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptResult {
    /// Which attempt.
    pub attempt: AttemptId,
    /// How it ended.
    pub end: AttemptEnd,
    /// What it used.
    pub usage: Usage,
    /// Standard output.
    pub stdout: Captured,
    /// Standard error.
    pub stderr: Captured,
    /// Milliseconds since the process started, at the time of the report; none when it never started.
    pub started_ms_ago: Option<u64>,
    /// The isolation that it had.
    pub isolation: IsolationReport,
    /// What was kept of its artifacts. Nodes of before keep none.
    #[serde(default)]
    pub artifacts: Artifacts,
}

/// The terminal record of a job. Written once, never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The attempt that it rests on; 0 when the job was never leased.
    pub epoch: Epoch,
    /// The node that ran that attempt and keeps its spooled output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Why the job ended.
    pub reason: EndReason,
    /// How its process left, when it had one.
    pub exit: Option<Exit>,
    /// One line for people, when there is more to say than the reason.
    pub message: Option<String>,
    /// What a shell would have exited with, when the program could not be executed: 126 or 127.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spawn_error_code: Option<i32>,
    /// When the last attempt started, Unix milliseconds.
    pub started_at_ms: Option<i64>,
    /// When the job ended, Unix milliseconds.
    pub finished_at_ms: i64,
    /// What the last attempt used.
    pub usage: Usage,
    /// Standard output of the last attempt.
    pub stdout: Captured,
    /// Standard error of the last attempt.
    pub stderr: Captured,
    /// The isolation of the last attempt; none when the job never ran.
    pub isolation: Option<IsolationReport>,
    /// The artifacts of the last attempt.
    #[serde(default, skip_serializing_if = "Artifacts::is_empty")]
    pub artifacts: Artifacts,
}

impl Outcome {
    /// The record of a job that ended without a process of its own to report.
    pub fn without_process(epoch: Epoch, reason: EndReason, message: Option<String>, now_ms: i64) -> Self {
        Self {
            epoch,
            node: None,
            reason,
            exit: None,
            message,
            spawn_error_code: None,
            started_at_ms: None,
            finished_at_ms: now_ms,
            usage: Usage::default(),
            stdout: Captured::default(),
            stderr: Captured::default(),
            isolation: None,
            artifacts: Artifacts::default(),
        }
    }

    /// Builds the record from a node's report. A standing wish to cancel turns a kill into a cancellation with the
    /// wish's reason and note; a job that finished by itself first keeps its own end.
    pub fn from_result(
        result: AttemptResult,
        node: Option<NodeId>,
        wish: Option<&CancelWish>,
        now_ms: i64,
    ) -> Self {
        let (reason, exit, message) = judge(&result.end, wish);
        let spawn_error_code = match result.end {
            AttemptEnd::SpawnError { shell_code, .. } => Some(shell_code),
            _ => None,
        };
        Self {
            epoch: result.attempt.epoch,
            node,
            reason,
            exit,
            message,
            spawn_error_code,
            started_at_ms: result.started_ms_ago.map(|ago| now_ms.saturating_sub_unsigned(ago)),
            finished_at_ms: now_ms,
            usage: result.usage,
            stdout: result.stdout,
            stderr: result.stderr,
            isolation: Some(result.isolation),
            artifacts: result.artifacts,
        }
    }
}

fn judge(end: &AttemptEnd, wish: Option<&CancelWish>) -> (EndReason, Option<Exit>, Option<String>) {
    let reason_or = |other| wish.map_or(other, |wish| wish.reason);
    let note = wish.and_then(|wish| wish.note.clone());
    match end {
        AttemptEnd::Exited(exit @ Exit::Code(0)) => (EndReason::Exited, Some(*exit), None),
        AttemptEnd::Exited(exit @ Exit::Code(_)) => (EndReason::ExitCode, Some(*exit), None),
        AttemptEnd::Exited(exit @ Exit::Signal { .. }) => (EndReason::Signal, Some(*exit), None),
        AttemptEnd::Timeout { limit_ms, exit } => {
            (EndReason::Timeout, Some(*exit), Some(format!("ran longer than its limit of {limit_ms} ms")))
        }
        AttemptEnd::Killed { exit } => (reason_or(EndReason::Shutdown), *exit, note),
        AttemptEnd::OutputLimit { limit_bytes, exit } => (
            EndReason::OutputLimit,
            Some(*exit),
            Some(format!("wrote more than the hard limit of {limit_bytes} bytes to one stream")),
        ),
        AttemptEnd::OutOfMemory { limit_bytes, peak_bytes, kills, whole, spared, exit } => {
            let was_job = !spared && matches!(exit, Exit::Signal { .. });
            let who = if *whole { "the whole job".into() } else { killed(*kills, was_job) };
            let message = out_of_memory(&who, *limit_bytes, *peak_bytes);
            (EndReason::Oom, Some(*exit), Some(message))
        }
        AttemptEnd::SpawnError { message, .. } => (EndReason::SpawnError, None, Some(message.clone())),
        AttemptEnd::SandboxError { message, .. } => (EndReason::SandboxError, None, Some(message.clone())),
        AttemptEnd::Unavailable { message, .. } => {
            (EndReason::IsolationUnavailable, None, Some(message.clone()))
        }
        AttemptEnd::Lost { why, .. } => {
            (reason_or(EndReason::RunnerLost), None, note.or_else(|| Some(why.clone())))
        }
    }
}

/// Which processes of a job were killed one by one.
fn killed(kills: u32, was_job: bool) -> String {
    match (was_job, kills) {
        (true, 0 | 1) => "the job's own process".to_owned(),
        (true, more) => format!("{more} processes of the job, its own among them,"),
        (false, 0 | 1) => "a process that the job had started".to_owned(),
        (false, more) => format!("{more} processes that the job had started"),
    }
}

/// Who was killed and why, one line.
fn out_of_memory(who: &str, limit: Option<u64>, peak: Option<u64>) -> String {
    let at = peak.map(|bytes| format!(" at {bytes} bytes")).unwrap_or_default();
    match limit {
        Some(limit) => {
            format!("the kernel killed {who}{at}: the limit is {limit} bytes (limits.memory_bytes)")
        }
        None => format!("the kernel killed {who}{at}: the machine, or a group above, ran out of memory"),
    }
}
