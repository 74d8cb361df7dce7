//! Killing what a dead keeper left behind. Its job's processes now belong to init, so they are recognised by the job's
//! name in their environment and by descent, and killed as far as they can be found. It blocks: run it on a thread.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::exec::alarm::Alarm;
use crate::exec::env::{EPOCH, JOB_ID};
use crate::exec::keeper::walk::parentage;
use crate::model::AttemptId;

/// Longest search, in milliseconds.
const BUDGET_MS: u64 = 5_000;
/// Rounds without a find after which nothing is thought to be left.
const QUIET_ROUNDS: u32 = 2;

/// Kills every process of the attempt that can be found, until none is found.
pub(super) fn kill(attempt: AttemptId, leader: Option<i32>) {
    let mark = Mark::of(attempt);
    let budget = Alarm::after_ms(BUDGET_MS);
    let mut quiet = 0;
    while quiet < QUIET_ROUNDS && !budget.is_due() {
        let found = round(&mark, leader);
        quiet = if found == 0 { quiet + 1 } else { 0 };
        #[allow(clippy::disallowed_methods, reason = "runs on a thread of its own")]
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One look at every process: stops what belongs to the job, then kills it. Returns how many were alive.
fn round(mark: &Mark, leader: Option<i32>) -> usize {
    let mut ours: HashSet<i32> = HashSet::new();
    let mut alive = 0;
    for (pid, parent, group) in processes() {
        let related = ours.contains(&parent) || leader == Some(group);
        if !related && !mark.is_on(pid) {
            continue;
        }
        let Some(pinned) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        else {
            continue;
        };
        // Pinned now; a number that was reused in between fails the second look.
        let still = mark.is_on(pid) || related && parentage(pid) == Some((parent, group));
        if still && pidfd_send_signal(&pinned, Signal::KILL).is_ok() {
            ours.insert(pid);
            alive += usize::from(!is_zombie(pid));
        }
    }
    alive
}

/// Every process: its number, its parent's and its group's. Parents mostly come before children.
fn processes() -> Vec<(i32, i32, i32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| parentage(pid).map(|(parent, group)| (pid, parent, group)))
        .collect();
    found.sort_unstable();
    found
}

fn is_zombie(pid: i32) -> bool {
    state_of(pid).is_none_or(|state| state == 'Z')
}

/// Whether someone has stopped the process, so that it does nothing.
pub(super) fn is_stopped(pid: i32) -> bool {
    state_of(pid).is_some_and(|state| matches!(state, 'T' | 't'))
}

/// The process' state as `/proc/PID/stat` has it; none when it is gone.
fn state_of(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// The job's name as it stands in the environment of its processes.
struct Mark {
    job: String,
    epoch: String,
}

impl Mark {
    fn of(attempt: AttemptId) -> Self {
        Self { job: format!("{JOB_ID}={}", attempt.job), epoch: format!("{EPOCH}={}", attempt.epoch) }
    }

    fn is_on(&self, pid: i32) -> bool {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let has = |wanted: &str| environ.split(|byte| *byte == 0).any(|it| it == wanted.as_bytes());
        has(&self.job) && has(&self.epoch)
    }
}
