//! Runs attempts on the original's runner, which knows `POST /execute` and nothing else: a shell line in, its end and its
//! output back. What that cannot carry is refused by name, and what it cannot promise is said in every result.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::courier::{Courier, CourierError};
use crate::exec::{ExecEvent, ExecEvents, ExecJob, ExecRefusal, Executor};
use crate::model::{
    AttemptEnd, AttemptId, AttemptResult, Captured, CommandLine, Exit, IsolationReport, OutputSummary, Usage,
};

/// Jobs that are given to an original runner at once: it has no limit of its own, and tells none.
pub const ORIGINAL_SLOTS: u32 = 4;
/// Longest time that the original lets a command run, in seconds.
const MAX_SECONDS: u64 = 300;
/// How much longer than a command may run its answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks whether it is there.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct ExecuteBody {
    command: String,
    timeout: u64,
}

#[derive(Deserialize)]
struct ExecuteAnswer {
    exit_code: i32,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    stderr: String,
    #[serde(default)]
    runtime_ms: u64,
}

/// What the original says of its health.
#[derive(Deserialize)]
struct Health {
    service: String,
}

/// Whether an original runner answers there.
pub async fn is_original(courier: &Courier) -> bool {
    let health: Result<Health, CourierError> = courier.get("/health").await;
    health.is_ok_and(|health| health.service == "runner")
}

/// The executor.
pub struct OriginalExecutor {
    courier: Courier,
    events: ExecEvents,
    running: HashMap<AttemptId, oneshot::Sender<()>>,
    done: tokio::sync::mpsc::UnboundedReceiver<AttemptId>,
    finished: tokio::sync::mpsc::UnboundedSender<AttemptId>,
    is_there: Rc<Cell<bool>>,
    is_stopping: bool,
}

impl OriginalExecutor {
    /// Runs attempts at the other end of this way, on the thread that calls, and looks from time to time whether it is
    /// there.
    pub fn new(courier: Courier, events: ExecEvents) -> Self {
        let (finished, done) = tokio::sync::mpsc::unbounded_channel();
        let is_there = Rc::new(Cell::new(true));
        actix::spawn(look(courier.clone(), Rc::downgrade(&is_there)));
        Self { courier, events, running: HashMap::new(), done, finished, is_there, is_stopping: false }
    }

    /// Forgets what is over.
    fn tidy(&mut self) {
        while let Ok(attempt) = self.done.try_recv() {
            self.running.remove(&attempt);
        }
    }
}

async fn look(courier: Courier, is_there: std::rc::Weak<Cell<bool>>) {
    while let Some(flag) = is_there.upgrade() {
        let now = is_original(&courier).await;
        if flag.replace(now) != now {
            let url = courier.base();
            log::warn!(url, is_there = now; "the original's runner came or went");
        }
        drop(flag);
        actix::clock::sleep(LOOK).await;
    }
}

impl Executor for OriginalExecutor {
    fn usable_slots(&self) -> u32 {
        if self.is_there.get() { ORIGINAL_SLOTS } else { 0 }
    }

    fn start(&mut self, job: ExecJob) -> Result<(), ExecRefusal> {
        self.tidy();
        if self.is_stopping {
            return Err(ExecRefusal::Stopping);
        }
        if self.running.len() >= self.usable_slots() as usize {
            return Err(ExecRefusal::NoFreeSlot);
        }
        let attempt = job.attempt;
        let isolation = self.isolation();
        let body = match line_of(&job) {
            Ok(body) => body,
            Err(lack) => {
                let message = format!(
                    "the original's runner cannot be told {lack}: run this job on another runner (--require, --runner)"
                );
                let end = AttemptEnd::Unavailable { message, missing: Vec::new() };
                let _ = self.events.send(finished(attempt, end, None, isolation));
                return Ok(());
            }
        };
        let (stop, stopped) = oneshot::channel();
        self.running.insert(attempt, stop);
        let (courier, events) = (self.courier.clone(), self.events.clone());
        let (done, is_there) = (self.finished.clone(), Rc::clone(&self.is_there));
        let _ = events.send(ExecEvent::Started { attempt });
        actix::spawn(async move {
            let hold = Duration::from_secs(body.timeout) + PATIENCE;
            let answered = tokio::select! {
                answered = courier.post::<_, ExecuteAnswer>("/execute", &body, hold) => Some(answered),
                _ = stopped => None,
            };
            let (end, answer) = match answered {
                Some(Ok(answer)) => (end_of(&answer, body.timeout), Some(answer)),
                Some(Err(error)) => {
                    is_there.set(false);
                    (
                        AttemptEnd::Lost {
                            why: format!("the original's runner did not answer: {error}"),
                            fenced: false,
                        },
                        None,
                    )
                }
                None => (AttemptEnd::Killed { exit: None }, None),
            };
            // The Runner may be gone.
            let _ = done.send(attempt);
            let _ = events.send(finished(attempt, end, answer, isolation));
        });
        Ok(())
    }

    /// The original cannot be told to end a command: it is waited for no longer, and may go on there until its time is up.
    fn kill(&mut self, attempt: AttemptId, _: u64) {
        if let Some(stop) = self.running.remove(&attempt) {
            log::warn!(attempt:% = attempt; "the original's runner cannot end a job: it may go on there");
            let _ = stop.send(());
        }
    }

    fn write_input(&mut self, _: AttemptId, offset: u64, _: &[u8], _: bool) -> (u64, bool) {
        (offset, false)
    }

    fn stop(&mut self) {
        self.is_stopping = true;
    }

    fn isolation(&self) -> IsolationReport {
        IsolationReport { kill: "original_runner".into(), ..IsolationReport::default() }
    }
}

/// The job as a line for the original's shell, or what it cannot be told.
fn line_of(job: &ExecJob) -> Result<ExecuteBody, &'static str> {
    let spec = &job.spec;
    let lacks = [
        (!spec.secret_env.is_empty(), "secret variables"),
        (!spec.input.is_null(), "input"),
        (!spec.files.is_empty(), "files"),
        (!spec.artifacts.is_empty(), "artifacts"),
        (!spec.mounts.is_empty(), "mounts"),
        (!spec.demands.is_empty(), "what isolation to give"),
        (spec.timeout_ms.is_some_and(|limit| limit > MAX_SECONDS * 1000), "a time limit above 300 s"),
    ];
    if let Some((_, lack)) = lacks.iter().find(|(lacks, _)| *lacks) {
        return Err(lack);
    }
    let mut line = String::new();
    for (name, value) in &job.env {
        // Writing to a string does not fail.
        let _ = write!(line, "export {name}={}; ", quoted(value));
    }
    if let Some(cwd) = &spec.cwd {
        let _ = write!(line, "cd {} && ", quoted(cwd));
    }
    match &spec.command {
        CommandLine::Shell(text) => line.push_str(text),
        CommandLine::Argv(words) => {
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            let _ = write!(line, "exec {}", words.join(" "));
        }
    }
    let timeout = spec.timeout_ms.map_or(MAX_SECONDS, |limit| limit.div_ceil(1000).clamp(1, MAX_SECONDS));
    Ok(ExecuteBody { command: line, timeout })
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The original has one number for everything: -1 for a time-out and for what could not be run, -N for signal N.
fn end_of(answer: &ExecuteAnswer, timeout: u64) -> AttemptEnd {
    let limit_ms = timeout * 1000;
    match answer.exit_code {
        -1 if answer.runtime_ms + 100 >= limit_ms || answer.stderr.contains("timed out") => {
            let exit = Exit::Signal { number: 9, core_dumped: false };
            AttemptEnd::Timeout { limit_ms, exit }
        }
        -1 => AttemptEnd::SpawnError { message: answer.stderr.trim().to_owned(), shell_code: 126 },
        code @ 0..=255 => AttemptEnd::Exited(Exit::Code(code)),
        signal @ -64..=-2 => AttemptEnd::Exited(Exit::Signal { number: -signal, core_dumped: false }),
        other => AttemptEnd::Exited(Exit::Code(other & 0xff)),
    }
}

fn finished(
    attempt: AttemptId,
    end: AttemptEnd,
    answer: Option<ExecuteAnswer>,
    isolation: IsolationReport,
) -> ExecEvent {
    let has_run = answer.is_some();
    let answer = answer.unwrap_or(ExecuteAnswer {
        exit_code: 0,
        stdout: String::new(),
        stderr: String::new(),
        runtime_ms: 0,
    });
    let captured = |text: String| {
        let bytes = text.into_bytes();
        let len = bytes.len() as u64;
        let summary = OutputSummary { total_bytes: len, head_bytes: len, ..OutputSummary::default() };
        Captured { summary, inline: Some(bytes) }
    };
    ExecEvent::Finished(Box::new(AttemptResult {
        attempt,
        end,
        usage: Usage { wall_us: answer.runtime_ms * 1000, ..Usage::default() },
        stdout: captured(answer.stdout),
        stderr: captured(answer.stderr),
        started_ms_ago: has_run.then_some(answer.runtime_ms),
        isolation,
        artifacts: Default::default(),
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Epoch, JobId, JobSpec};

    fn job(spec: JobSpec) -> ExecJob {
        ExecJob {
            hold: None,
            fence_grace_ms: None,
            attempt: AttemptId::new(JobId::from_bytes([1; 16]), Epoch(1)),
            spec: Arc::new(spec),
            env: [("A".to_owned(), "it's".to_owned())].into_iter().collect(),
            secret_env: Default::default(),
        }
    }

    #[test]
    fn a_job_becomes_a_line_that_a_shell_reads_as_it_was_meant() {
        let spec = JobSpec { cwd: Some("/a b".into()), ..JobSpec::argv(["echo", "$A", "x'y"]) };
        let body = line_of(&job(spec)).unwrap();
        assert_eq!(body.command, r"export A='it'\''s'; cd '/a b' && exec 'echo' '$A' 'x'\''y'");
        assert_eq!(body.timeout, MAX_SECONDS);
        let short = JobSpec { timeout_ms: Some(1_500), ..JobSpec::shell("true") };
        assert_eq!(line_of(&job(short)).unwrap().timeout, 2);
        let long = JobSpec { timeout_ms: Some(301_000), ..JobSpec::shell("true") };
        assert!(line_of(&job(long)).is_err());
        let with_artifacts = JobSpec { artifacts: vec!["x".into()], ..JobSpec::shell("true") };
        assert_eq!(line_of(&job(with_artifacts)).err(), Some("artifacts"));
    }

    #[test]
    fn the_originals_numbers_are_told_apart() {
        let answer = |exit_code, runtime_ms, stderr: &str| ExecuteAnswer {
            exit_code,
            stdout: String::new(),
            stderr: stderr.into(),
            runtime_ms,
        };
        assert!(matches!(end_of(&answer(3, 1, ""), 5), AttemptEnd::Exited(Exit::Code(3))));
        assert!(matches!(end_of(&answer(-9, 1, ""), 5), AttemptEnd::Exited(Exit::Signal { number: 9, .. })));
        assert!(matches!(end_of(&answer(-1, 5_000, ""), 5), AttemptEnd::Timeout { limit_ms: 5_000, .. }));
        assert!(matches!(end_of(&answer(-1, 3, "no such shell"), 5), AttemptEnd::SpawnError { .. }));
    }
}
