//! A job's process tree: reaping it, ending it, and adding up what it used. It knows no output and no conversation.

use rustix::process::{Pid, Signal, kill_process_group};

use super::walk;
use crate::exec::alarm::{Alarm, nap};
use crate::exec::sys::{self, Waited};
use crate::model::{Exit, Usage};

/// Longest that killing a tree may take before its slot is given up, in milliseconds.
const KILL_BUDGET_MS: u64 = 5_000;

/// How a tree is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grip {
    /// This process is a subreaper and every child of it belongs to the job: nothing escapes.
    Subreaper,
    /// Only the process group is known: a process that leaves it escapes.
    Group,
}

/// The tree of one job.
#[derive(Debug)]
pub(crate) struct Tree {
    grip: Grip,
    leader: Pid,
    exit: Option<Exit>,
    usage: Usage,
}

/// Processes of a tree outlived every attempt to kill them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("processes of the job could not be killed within {KILL_BUDGET_MS} ms: {0:?}")]
pub(crate) struct Unkillable(Vec<i32>);

impl Tree {
    pub(crate) fn new(grip: Grip, leader: Pid) -> Self {
        Self { grip, leader, exit: None, usage: Usage::default() }
    }

    /// How the job's own process left, once it was reaped.
    pub(crate) fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// What every reaped process of the tree used; the wall time is left to the caller.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// Reaps what is dead. True when nothing is left of the tree.
    pub(crate) fn reap(&mut self) -> bool {
        self.reap_and_count(false)
    }

    fn reap_and_count(&mut self, orphans: bool) -> bool {
        let whom = (self.grip == Grip::Group).then_some(self.leader);
        loop {
            match sys::reap(whom) {
                Ok(Waited::Reaped(dead)) => self.account(&dead, orphans),
                Ok(Waited::NoChild) => return true,
                Ok(Waited::NoneDead) | Err(_) => return false,
            }
            if whom.is_some() {
                return true;
            }
        }
    }

    fn account(&mut self, dead: &sys::Reaped, orphans: bool) {
        self.usage.cpu_user_us += dead.user_us;
        self.usage.cpu_system_us += dead.system_us;
        self.usage.peak_memory_bytes = self.usage.peak_memory_bytes.max(dead.peak_bytes);
        let killed = matches!(dead.exit, Exit::Signal { number, .. } if number == libc::SIGKILL);
        if dead.pid == self.leader.as_raw_pid() {
            self.exit = Some(dead.exit);
        } else if orphans && killed {
            self.usage.orphans_killed += 1;
        }
    }

    /// Asks every process of the tree to end.
    pub(crate) fn terminate(&self) {
        if self.exit.is_some() {
            return; // The group's number may be someone else's by now.
        }
        for signal in [Signal::TERM, Signal::CONT] {
            let _ = kill_process_group(self.leader, signal);
        }
        if self.grip == Grip::Subreaper {
            for process in walk::descendants(&Alarm::after_ms(KILL_BUDGET_MS)) {
                if process.group != self.leader.as_raw_pid() {
                    process.signal(Signal::TERM);
                    process.signal(Signal::CONT);
                }
            }
        }
    }

    /// Kills what is left and reaps it. What survives its leader counts as orphan.
    pub(crate) fn kill(&mut self) -> Result<(), Unkillable> {
        match self.grip {
            Grip::Subreaper => self.kill_descendants(),
            Grip::Group => self.kill_group(),
        }
    }

    fn kill_descendants(&mut self) -> Result<(), Unkillable> {
        let budget = Alarm::after_ms(KILL_BUDGET_MS);
        let orphans = self.exit.is_some();
        let mut pause_ms = 1;
        while !self.reap_and_count(orphans) {
            if budget.is_due() {
                let left = walk::descendants(&Alarm::after_ms(100));
                return Err(Unkillable(left.iter().take(8).map(|it| it.pid).collect()));
            }
            kill_once(&budget);
            nap(pause_ms);
            pause_ms = (pause_ms * 2).min(20);
        }
        Ok(())
    }

    fn kill_group(&mut self) -> Result<(), Unkillable> {
        if self.exit.is_none() {
            let _ = kill_process_group(self.leader, Signal::KILL);
        }
        let budget = Alarm::after_ms(KILL_BUDGET_MS);
        while self.exit.is_none() && !self.reap() {
            if budget.is_due() {
                return Err(Unkillable(vec![self.leader.as_raw_pid()]));
            }
            nap(1);
        }
        Ok(())
    }
}

/// Kills every child of this process and all below them, when no job is known: what is left of a job given up.
pub(crate) fn kill_everything() -> Result<(), Unkillable> {
    Tree::new(Grip::Subreaper, rustix::process::getpid()).kill()
}

/// One round: stop them all, so that none can fork its way out, then kill from the leaves upwards, so that
/// parentage can still be checked.
fn kill_once(budget: &Alarm) {
    const PASSES: usize = 3;
    let mut found = walk::descendants(budget);
    for _ in 0..PASSES {
        found.iter().for_each(|process| process.signal(Signal::STOP));
        let again = walk::descendants(budget);
        let settled = again.len() <= found.len();
        found = again;
        if settled {
            break;
        }
    }
    for process in found.iter().rev() {
        process.signal(Signal::KILL);
    }
}
