//! An executor without processes: it ends each job as a script says, at once by default. For tests and for measuring
//! what everything around a process costs.

use std::collections::HashSet;

use super::{ExecEvent, ExecEvents, ExecJob, ExecRefusal, Executor};
use crate::model::{
    AttemptEnd, AttemptId, AttemptResult, Captured, Exit, IsolationReport, OutputSummary, Usage,
};

/// Says how a job ends; none leaves it running until it is killed or finished by hand.
pub type Script = Box<dyn FnMut(&ExecJob) -> Option<AttemptEnd>>;

/// Runs nothing.
pub struct NoopExecutor {
    slots: u32,
    running: HashSet<AttemptId>,
    is_stopping: bool,
    events: ExecEvents,
    script: Script,
}

impl NoopExecutor {
    /// Each job exits with code 0 at once.
    pub fn new(slots: u32, events: ExecEvents) -> Self {
        let script = |_: &ExecJob| Some(AttemptEnd::Exited(Exit::Code(0)));
        Self::scripted(slots, events, Box::new(script))
    }

    /// Each job ends as the script says.
    pub fn scripted(slots: u32, events: ExecEvents, script: Script) -> Self {
        Self { slots, running: HashSet::new(), is_stopping: false, events, script }
    }

    /// Ends a running attempt. Unknown ones are ignored.
    pub fn finish(&mut self, attempt: AttemptId, end: AttemptEnd) {
        if self.running.remove(&attempt) {
            self.tell_finished(attempt, end);
        }
    }

    fn tell_finished(&self, attempt: AttemptId, end: AttemptEnd) {
        let nothing = || Captured { summary: OutputSummary::default(), inline: Some(Vec::new()) };
        let _ = self.events.send(ExecEvent::Finished(Box::new(AttemptResult {
            attempt,
            end,
            usage: Usage::default(),
            stdout: nothing(),
            stderr: nothing(),
            started_ms_ago: Some(0),
            isolation: self.isolation(),
            artifacts: Default::default(),
        })));
    }
}

impl Executor for NoopExecutor {
    fn usable_slots(&self) -> u32 {
        self.slots
    }

    fn start(&mut self, job: ExecJob) -> Result<(), ExecRefusal> {
        if self.is_stopping {
            return Err(ExecRefusal::Stopping);
        }
        if self.running.len() >= self.slots as usize {
            return Err(ExecRefusal::NoFreeSlot);
        }
        let attempt = job.attempt;
        let _ = self.events.send(ExecEvent::Started { attempt });
        match (self.script)(&job) {
            Some(end) => self.tell_finished(attempt, end),
            None => drop(self.running.insert(attempt)),
        }
        Ok(())
    }

    fn kill(&mut self, attempt: AttemptId, _grace_ms: u64) {
        let exit = Exit::Signal { number: 15, core_dumped: false };
        self.finish(attempt, AttemptEnd::Killed { exit: Some(exit) });
    }

    fn write_input(&mut self, _: AttemptId, offset: u64, bytes: &[u8], _: bool) -> (u64, bool) {
        (offset + bytes.len() as u64, true)
    }

    fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// Every result says that there was nothing to isolate, so that none is taken for a real one.
    fn isolation(&self) -> IsolationReport {
        IsolationReport { kill: "no_process".into(), ..IsolationReport::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Epoch, JobId, JobSpec};

    fn job(n: u8) -> ExecJob {
        ExecJob {
            hold: None,
            fence_grace_ms: None,
            secret_env: Default::default(),
            attempt: AttemptId::new(JobId::from_bytes([n; 16]), Epoch(1)),
            spec: std::sync::Arc::new(JobSpec::shell("true")),
            env: Default::default(),
        }
    }

    #[test]
    fn a_held_job_takes_a_slot_until_it_is_killed() {
        let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let mut executor = NoopExecutor::scripted(1, events, Box::new(|_| None));
        executor.start(job(1)).unwrap();
        assert_eq!(executor.start(job(2)), Err(ExecRefusal::NoFreeSlot));
        executor.kill(job(1).attempt, 0);
        executor.start(job(2)).unwrap();
        let mut ends = Vec::new();
        while let Ok(event) = heard.try_recv() {
            if let ExecEvent::Finished(result) = event {
                assert_eq!(result.isolation.kill, "no_process", "nobody takes it for a real end");
                ends.push(result.attempt);
            }
        }
        assert_eq!(ends, [job(1).attempt]);
    }
}
