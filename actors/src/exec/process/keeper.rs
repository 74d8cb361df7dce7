//! The process behind a slot: a child of ours, one of a former life, or none where a thread does its work.

use std::process::Child;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::survivors;
use crate::exec::frame::ToKeeper;

/// A slot's keeper, as far as it is a process.
pub(super) enum Keeper {
    /// We started it, and take its exit status.
    Child(Child),
    /// A former life of the node started it.
    Adopted {
        /// Its process, when the system told it.
        pid: Option<i32>,
        /// What holds for the slot once the job of that life is over.
        setup: Option<ToKeeper>,
    },
    /// A thread of ours.
    Thread,
}

impl Keeper {
    /// Kills it if somebody has stopped it, so that it hears nothing.
    pub fn kill_if_stopped(&mut self) -> bool {
        let pid = match self {
            Self::Child(child) => i32::try_from(child.id()).ok(),
            Self::Adopted { pid, .. } => *pid,
            Self::Thread => None,
        };
        let Some(pid) = pid.filter(|pid| survivors::is_stopped(*pid)) else { return false };
        match self {
            // If it has ended by now, that is heard.
            Self::Child(child) => drop(child.kill()),
            _ => kill(pid),
        }
        true
    }

    /// The child, whose exit status is to be taken.
    pub fn into_child(self) -> Option<Child> {
        match self {
            Self::Child(child) => Some(child),
            Self::Adopted { .. } | Self::Thread => None,
        }
    }

    /// What an adopted one is to be told when its job is over.
    pub fn take_setup(&mut self) -> Option<ToKeeper> {
        match self {
            Self::Adopted { setup, .. } => setup.take(),
            Self::Child(_) | Self::Thread => None,
        }
    }
}

fn kill(pid: i32) {
    let pinned = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    // Pinned now; a number that was reused in between fails the second look.
    if let Some(pinned) = pinned.filter(|_| survivors::is_stopped(pid)) {
        let _ = pidfd_send_signal(&pinned, Signal::KILL);
    }
}
