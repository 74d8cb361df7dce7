//! When each step of making a room was done, for whoever measures what rooms cost. Nobody else pays for it.

use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};

use crate::clock::{Moment, moment};

/// What has just been done. The number travels through a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub(crate) enum Step {
    Namespaces = 1,
    Users = 2,
    Ids = 3,
    Sources = 4,
    Root = 5,
    Proc = 6,
    Pivot = 7,
    Network = 8,
    Freeze = 9,
    Fork = 10,
    Limits = 11,
    Landlock = 12,
    Filter = 13,
    Exec = 14,
    Groups = 15,
    Gone = 16,
    Released = 17,
}

impl Step {
    const ALL: [Self; 17] = [
        Self::Namespaces,
        Self::Users,
        Self::Ids,
        Self::Sources,
        Self::Root,
        Self::Proc,
        Self::Pivot,
        Self::Network,
        Self::Freeze,
        Self::Fork,
        Self::Limits,
        Self::Landlock,
        Self::Filter,
        Self::Exec,
        Self::Groups,
        Self::Gone,
        Self::Released,
    ];

    /// For people.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Users => "users and groups, by the keeper",
            Self::Ids => "ids",
            Self::Sources => "copies of what is the host's",
            Self::Root => "its root, furnished",
            Self::Proc => "its /proc",
            Self::Pivot => "leaving the host's root",
            Self::Network => "loopback and name",
            Self::Freeze => "locks, rights",
            Self::Fork => "fork of the job",
            Self::Limits => "streams, limits",
            Self::Landlock => "Landlock",
            Self::Filter => "filters of system calls",
            Self::Exec => "exec",
            Self::Groups => "control groups",
            Self::Gone => "the job's life, and the end of its room",
            Self::Released => "output, counts, end of its groups",
        }
    }
}

/// A step and the microseconds from the beginning to its end.
pub(crate) type Stamp = (Step, u32);

/// What a room has come through so far, from the moment at which its keeper began with it.
#[derive(Debug)]
pub(crate) struct Steps {
    began: Moment,
    stamps: Vec<Stamp>,
}

impl Steps {
    /// What was done until the making of its room began, then what was marked in there. Nothing where nobody measures.
    pub(crate) fn new(began: Moment, before: Stamp, made: &[Stamp]) -> Self {
        let later = |(step, at): &Stamp| (*step, at.saturating_add(before.1));
        let stamps = match made {
            [] => Vec::new(),
            made => std::iter::once(before).chain(made.iter().map(later)).collect(),
        };
        Self { began, stamps }
    }

    pub(crate) fn began(&self) -> Moment {
        self.began
    }

    /// That a step is done, where others were marked before.
    pub(crate) fn mark(&mut self, step: Step) {
        if !self.stamps.is_empty() {
            self.stamps.push((step, micros(self.began)));
        }
    }

    pub(crate) fn into_stamps(self) -> Vec<Stamp> {
        self.stamps
    }
}

fn micros(since: Moment) -> u32 {
    u32::try_from(since.elapsed_us()).unwrap_or(u32::MAX)
}

const BYTES: usize = 5;

/// The writing end, in every process that takes a part.
#[derive(Debug)]
pub(crate) struct Stamps {
    began: Moment,
    pipe: Option<OwnedFd>,
}

impl Stamps {
    /// Both ends; none where nobody measures.
    pub(super) fn new(wanted: bool) -> (Self, Option<OwnedFd>) {
        let pipe = wanted.then(|| pipe_with(PipeFlags::CLOEXEC).ok()).flatten();
        let (reader, writer) = pipe.unzip();
        (Self { began: moment(), pipe: writer }, reader)
    }

    /// That a step is done.
    pub(super) fn mark(&self, step: Step) {
        if let Some(pipe) = &self.pipe {
            let [a, b, c, d] = micros(self.began).to_le_bytes();
            let _ = rustix::io::write(pipe, &[step as u8, a, b, c, d]);
        }
    }
}

/// What was marked, once every writing end but ours is closed.
pub(super) fn collect(stamps: Stamps, reader: Option<OwnedFd>) -> Vec<Stamp> {
    drop(stamps);
    let mut bytes = [0; BYTES * Step::ALL.len()];
    let got = reader.and_then(|reader| rustix::io::read(&reader, &mut bytes).ok());
    parse(&bytes[..got.unwrap_or(0)])
}

pub(super) fn parse(bytes: &[u8]) -> Vec<Stamp> {
    let stamp = |bytes: &[u8; BYTES]| {
        let [step, a, b, c, d] = *bytes;
        let step = Step::ALL.into_iter().find(|it| *it as u8 == step)?;
        Some((step, u32::from_le_bytes([a, b, c, d])))
    };
    bytes.as_chunks::<BYTES>().0.iter().filter_map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_is_read_in_order_and_nobody_pays_who_does_not_ask() {
        let (stamps, reader) = Stamps::new(true);
        stamps.mark(Step::Namespaces);
        stamps.mark(Step::Exec);
        let read = collect(stamps, reader);
        assert_eq!(read.iter().map(|stamp| stamp.0).collect::<Vec<_>>(), [Step::Namespaces, Step::Exec]);
        assert!(read[0].1 <= read[1].1);
        let (stamps, reader) = Stamps::new(false);
        stamps.mark(Step::Exec);
        assert_eq!(collect(stamps, reader), []);
        let mut steps = Steps::new(moment(), (Step::Groups, 5), &[]);
        steps.mark(Step::Gone);
        assert_eq!(steps.into_stamps(), []);
    }

    #[test]
    fn what_the_keeper_does_stands_around_what_is_done_inside() {
        let mut steps = Steps::new(moment(), (Step::Groups, 5), &[(Step::Exec, u32::MAX), (Step::Fork, 10)]);
        steps.mark(Step::Gone);
        let stamps = steps.into_stamps();
        assert_eq!(stamps[..3], [(Step::Groups, 5), (Step::Exec, u32::MAX), (Step::Fork, 15)]);
        assert_eq!((stamps.len(), stamps[3].0), (4, Step::Gone));
    }
}
