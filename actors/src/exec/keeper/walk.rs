//! Finding the descendants of this process in `/proc`, and signalling one without ever hitting a stranger.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, getpid, kill_process, pidfd_open, pidfd_send_signal};

use crate::exec::alarm::Alarm;

/// A process below this one, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descendant {
    pub(crate) pid: i32,
    parent: i32,
    pub(crate) group: i32,
}

impl Descendant {
    /// Signals it if it is still the process that was found.
    ///
    /// A child of ours keeps its number until we reap it. Any other number may have passed to a stranger, so it is
    /// pinned by a pidfd first, and then its parent is read again: a stranger has none of ours.
    pub(crate) fn signal(&self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return;
        };
        let me = getpid().as_raw_pid();
        if self.parent == me {
            let _ = kill_process(pid, signal);
            return;
        }
        let Ok(pinned) = pidfd_open(pid, PidfdFlags::empty()) else {
            return;
        };
        if parentage(self.pid).is_some_and(|(parent, _)| parent == self.parent || parent == me) {
            let _ = pidfd_send_signal(&pinned, signal);
        }
    }
}

/// Every descendant of this process, parents before their children. Stops looking when the budget is spent.
pub(crate) fn descendants(budget: &Alarm) -> Vec<Descendant> {
    const LOOK_AT_CLOCK_EVERY: usize = 64;
    let mut found = Vec::new();
    children_of(getpid().as_raw_pid(), &mut found);
    let mut at = 0;
    while at < found.len() {
        if at % LOOK_AT_CLOCK_EVERY == LOOK_AT_CLOCK_EVERY - 1 && budget.is_due() {
            break;
        }
        children_of(found[at].pid, &mut found);
        at += 1;
    }
    found
}

fn children_of(parent: i32, found: &mut Vec<Descendant>) {
    let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else {
        return;
    };
    for task in tasks.flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for pid in text.split_ascii_whitespace().filter_map(|it| it.parse().ok()) {
            // A second look at the parent: the list may be stale, and the group is wanted anyway.
            if let Some((real_parent, group)) = parentage(pid)
                && real_parent == parent
            {
                found.push(Descendant { pid, parent, group });
            }
        }
    }
}

/// Whether the kernel lists children at all (`CONFIG_PROC_CHILDREN`, and `/proc` mounted).
pub(crate) fn is_possible() -> bool {
    let me = getpid().as_raw_pid();
    Path::new(&format!("/proc/{me}/task/{me}/children")).exists()
}

/// Parent and process group of a process.
pub(crate) fn parentage(pid: i32) -> Option<(i32, i32)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The command name in the second field may hold anything, closing parentheses included: the last one counts.
fn parse_stat(stat: &str) -> Option<(i32, i32)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_a_process_calls_itself() {
        assert_eq!(parse_stat("7 (a) S 1 2) S 41 42 43"), Some((41, 42)));
        assert_eq!(parse_stat("7 (sh) Z 1 7 7 0"), Some((1, 7)));
        assert_eq!(parse_stat("7 (sh"), None);
    }
}
