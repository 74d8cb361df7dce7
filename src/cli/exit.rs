//! Exit codes, and the one line on standard error that goes with a failure.

use super::style::plain;
use crate::config::ConfigError;
use crate::http::api::JobBody;
use crate::node::NodeError;

/// A command cannot go on. Shown as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened and what to do.
    pub message: String,
    /// The exit code.
    pub code: i32,
}

/// Exit code of a usage error.
pub const USAGE: i32 = 2;
/// Exit code when the token does not do, or an admission rule denies the job.
pub const NOT_ALLOWED: i32 = 4;
/// Exit code when the state of things does not allow it.
pub const CONFLICT: i32 = 5;
/// Exit code when the server cannot be reached or fails.
pub const NO_ANSWER: i32 = 6;
/// Exit code of a wait on several jobs that ran out of time.
pub const WAIT_TIMED_OUT: i32 = 7;
/// Exit code of a job that the user's Ctrl-C cancelled, and of leaving it.
pub const INTERRUPTED: i32 = 130;
/// Exit code when a job could not be run.
pub const COULD_NOT_RUN: i32 = 125;
/// Exit code of settings that do not fit.
pub const CONFIG: i32 = 78;

impl Failure {
    /// A failure with its code.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { message: message.into(), code }
    }

    /// The failure that an HTTP status means.
    pub fn of_status(status: u16, detail: String) -> Self {
        let code = match status {
            404 | 410 => 3,
            401 | 403 => NOT_ALLOWED,
            409 | 412 | 422 => CONFLICT,
            400..=499 => 1,
            _ => NO_ANSWER,
        };
        Self::new(code, detail)
    }

    /// Settings that do not fit.
    pub fn config(error: &ConfigError) -> Self {
        Self::new(CONFIG, error.to_string())
    }

    /// A node that did not start.
    pub fn node(error: &NodeError) -> Self {
        let code = if matches!(error, NodeError::Config(_) | NodeError::Tls(_)) { CONFIG } else { 1 };
        Self::new(code, error.to_string())
    }

    /// A stream that cannot be written, so that somebody misses what was asked for.
    pub fn unwritten(stream: &str, error: &std::io::Error) -> Self {
        Self::new(1, format!("{stream} cannot be written: {error}"))
    }

    /// The same with what is to be known beside it.
    #[must_use]
    pub fn with(self, more: &str) -> Self {
        Self { message: format!("{}; {more}", self.message), ..self }
    }

    /// The same where the exit code is a job's: the client's own failures must not be taken for it.
    pub fn of_pass_through(self) -> Self {
        let kept = self.code == USAGE || self.code > 128;
        Self { code: if kept { self.code } else { COULD_NOT_RUN }, ..self }
    }

    /// Says it and returns the code.
    pub fn report(&self) -> i32 {
        say(&self.message);
        self.code
    }
}

/// One line on standard error, whatever a server or a job has put into it.
pub fn say(message: &str) {
    use std::io::Write;
    // A terminal that is gone hears nothing, and that is no reason to fail.
    let _ = writeln!(std::io::stderr().lock(), "callboard: {}", plain(message));
}

/// The exit code that stands for a finished job.
pub fn of_job(job: &JobBody) -> i32 {
    match (job.reason.as_deref(), job.exit_code) {
        (Some("timeout"), _) => 124,
        (Some("spawn_error"), _) => job.spawn_error_code.unwrap_or(COULD_NOT_RUN),
        (_, Some(code)) => code,
        (_, None) => match job.signal.as_deref().and_then(crate::http::signal_number) {
            Some(number) => 128 + number,
            None if job.status == "cancelled" => INTERRUPTED,
            None => COULD_NOT_RUN,
        },
    }
}

/// Why a job did not end by its own exit code, in words; none when it did.
pub fn epilogue(job: &JobBody) -> Option<String> {
    if job.exit_code.is_some() && job.reason.as_deref() != Some("timeout") {
        return None;
    }
    let how = match (job.reason.as_deref(), &job.signal) {
        (Some("signal"), Some(signal)) => format!("was killed by {signal}"),
        (Some(reason), _) => format!("is {}: {reason}", job.status),
        (None, _) => format!("is {}", job.status),
    };
    let message = job.message.as_deref().map(|message| format!(" ({message})")).unwrap_or_default();
    Some(format!("job {} {how}{message}", job.id))
}
