//! The jobs of a demo and how each is to end. It knows neither how they are run nor how they are shown.

use crate::cli::is_over;
use crate::http::api::{CommandBody, JobBody, SubmitBody};

/// One job, and its end.
#[derive(Debug)]
pub struct Planned {
    /// Its name.
    pub name: &'static str,
    /// What it runs.
    pub line: &'static str,
    /// Its time limit in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Whether it is cancelled once it runs.
    pub is_cancelled: bool,
    /// The status that it is to end with.
    pub status: &'static str,
    /// The reason.
    pub reason: &'static str,
    /// The exit code, when it is to exit by itself.
    pub exit_code: Option<i32>,
    /// What it is to write to standard output, in bytes.
    pub stdout_bytes: u64,
}

/// One that simply works.
const QUICK: Planned = Planned {
    name: "quick",
    line: "echo done",
    timeout_ms: None,
    is_cancelled: false,
    status: "completed",
    reason: "exited",
    exit_code: Some(0),
    stdout_bytes: 5,
};
const SLOW: Planned = Planned { name: "slow", line: "sleep 3; echo done", ..QUICK };

/// Every kind of job, in the order in which they are submitted.
pub const WORKLOAD: &[Planned] = &[
    QUICK,
    SLOW,
    Planned {
        name: "failing",
        line: "echo 'no such luck' >&2; exit 3",
        status: "failed",
        reason: "exit_code",
        exit_code: Some(3),
        stdout_bytes: 0,
        ..QUICK
    },
    Planned {
        name: "timed-out",
        line: "sleep 60",
        timeout_ms: Some(1500),
        status: "failed",
        reason: "timeout",
        exit_code: None,
        stdout_bytes: 0,
        ..QUICK
    },
    QUICK,
    Planned {
        name: "cancelled",
        line: "sleep 60",
        is_cancelled: true,
        status: "cancelled",
        reason: "user",
        exit_code: None,
        stdout_bytes: 0,
        ..QUICK
    },
    Planned { name: "chatty", line: "yes callboard | head -n 200000", stdout_bytes: 2_000_000, ..QUICK },
    SLOW,
    Planned {
        name: "killed",
        line: "kill -9 $$",
        status: "failed",
        reason: "signal",
        exit_code: None,
        stdout_bytes: 0,
        ..QUICK
    },
    QUICK,
];

impl Planned {
    /// The submit.
    pub fn body(&self) -> SubmitBody {
        SubmitBody {
            command: CommandBody::Shell(self.line.into()),
            name: Some(self.name.into()),
            secret_env: Default::default(),
            env: Default::default(),
            cwd: None,
            stdin: None,
            timeout_ms: self.timeout_ms,
            grace_ms: None,
            on_lost: None,
            on_disconnect: None,
            requires: None,
            isolation: None,
            limits: None,
            mounts: Vec::new(),
            files: Vec::new(),
            artifacts: Vec::new(),
        }
    }

    /// The end that is planned, in words.
    pub fn end(&self) -> String {
        end(self.status, self.reason, self.exit_code)
    }

    /// How the job ended otherwise; none when it ended as planned, or is not over.
    pub fn surprise(&self, job: &JobBody) -> Option<String> {
        if !is_over(job) {
            return None;
        }
        let reason = job.reason.as_deref().unwrap_or_default();
        // One that was ended by a signal has no code, whatever was planned.
        let (ended, planned) = (end(&job.status, reason, job.exit_code), self.end());
        if ended != planned {
            return Some(format!("{} is {ended}: {planned} was planned", self.name));
        }
        let (wrote, planned) = (job.stdout.total_bytes, self.stdout_bytes);
        (wrote != planned).then(|| format!("{} wrote {wrote} bytes: {planned} were planned", self.name))
    }
}

fn end(status: &str, reason: &str, exit_code: Option<i32>) -> String {
    let code = exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    format!("{status} ({reason}{code})")
}
