//! A filter of system calls as one small program for the kernel: the number is looked up in a balanced tree, only then
//! are arguments read. The kernel checks, translates and runs a program for every number when it is loaded, so its
//! length is paid for by each job. It knows no call by name and decides nothing.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, sock_filter};

/// What the kernel is told about a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Allow,
    Refuse(Errno),
    /// The first rule whose conditions all hold; where none does the call is allowed.
    ByArguments(Vec<Rule>),
}

/// Of Linux.
pub(super) type Errno = u16;

/// When a call is refused, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) errno: Errno,
}

/// Something about the lower half of an argument: the kernel sees no more of an `int`, so what stands in the upper half
/// must not lead past a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Condition {
    /// Counted from 0.
    pub(super) argument: u8,
    pub(super) holds: Holds,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holds {
    /// At least one of these bits is set.
    AnyBit(u32),
    OneOf(Vec<u32>),
    NoneOf(Vec<u32>),
}

/// Offsets of what the kernel shows to a filter.
const AT_NUMBER: u32 = 0;
const AT_MACHINE: u32 = 4;
const AT_ARGUMENTS: u32 = 16;
const ARGUMENT_BYTES: u32 = 8;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
pub(super) const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_NOT_BELOW: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const IF_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;

/// The program that gives `calls` their verdicts, and `otherwise` to every other number, those of foreign tables
/// included. A call of another machine than `machine` ends the process: its numbers mean other calls.
pub(super) fn program(machine: u32, calls: &BTreeMap<u32, Verdict>, otherwise: &Verdict) -> BpfProgram {
    let mut builder = Builder::default();
    let strange = builder.answer(libc::SECCOMP_RET_KILL_PROCESS);
    let known = builder.tree(&runs(calls, otherwise));
    let known = builder.load(AT_NUMBER, known);
    let begin = builder.branch(IF_EQUAL, machine, known, strange);
    builder.load(AT_MACHINE, begin);
    builder.finish()
}

/// Where a verdict begins to hold, from number to number.
fn runs<'a>(calls: &'a BTreeMap<u32, Verdict>, otherwise: &'a Verdict) -> Vec<(u32, &'a Verdict)> {
    let mut runs = vec![(0, otherwise)];
    let mut next = 0;
    for (&number, verdict) in calls {
        if number > next {
            runs.push((next, otherwise));
        }
        runs.push((number, verdict));
        next = number.saturating_add(1);
    }
    runs.push((next, otherwise));
    // Of two that begin at one number the later one is meant; what goes on as before is no new run.
    let mut merged: Vec<(u32, &Verdict)> = Vec::new();
    for (number, verdict) in runs {
        if merged.last().is_some_and(|last| last.0 == number) {
            merged.pop();
        }
        if merged.last().is_none_or(|last| last.1 != verdict) {
            merged.push((number, verdict));
        }
    }
    merged
}

/// A place of the program, counted from its end: programs only jump forwards, so they are written backwards, and every
/// target is there before what jumps to it.
#[derive(Clone, Copy)]
struct Place(usize);

#[derive(Default)]
struct Builder {
    backwards: Vec<sock_filter>,
    leaves: BTreeMap<Verdict, Place>,
}

impl Builder {
    fn finish(mut self) -> BpfProgram {
        self.backwards.reverse();
        self.backwards
    }

    fn put(&mut self, code: u32, yes: u8, no: u8, k: u32) -> Place {
        self.backwards.push(sock_filter { code: code as u16, jt: yes, jf: no, k });
        Place(self.backwards.len())
    }

    fn answer(&mut self, what: u32) -> Place {
        self.put(RETURN, 0, 0, what)
    }

    /// Puts a word of what is asked about into the one register, and goes on at `then`.
    fn load(&mut self, at: u32, then: Place) -> Place {
        if self.distance(then) > 0 {
            self.jump(then);
        }
        self.put(LOAD, 0, 0, at)
    }

    fn jump(&mut self, to: Place) -> Place {
        let far = self.distance(to);
        self.put(JUMP, 0, 0, far as u32)
    }

    /// Instructions between the next one that is put and that place.
    fn distance(&self, to: Place) -> usize {
        self.backwards.len() - to.0
    }

    fn branch(&mut self, code: u32, k: u32, yes: Place, no: Place) -> Place {
        // A jump that takes too many steps for a branch stands right behind it, and may push the other one too far.
        let yes = if self.distance(yes) >= usize::from(u8::MAX) { self.jump(yes) } else { yes };
        let no = if self.distance(no) > usize::from(u8::MAX) { self.jump(no) } else { no };
        let (yes, no) = (self.distance(yes), self.distance(no));
        self.put(code, yes as u8, no as u8, k)
    }

    /// Finds the run that the number is in.
    fn tree(&mut self, runs: &[(u32, &Verdict)]) -> Place {
        match runs {
            [] => unreachable!("every number has a verdict"),
            [(_, verdict)] => self.leaf(verdict),
            _ => {
                let (below, above) = runs.split_at(runs.len() / 2);
                let from = above[0].0;
                let above = self.tree(above);
                let below = self.tree(below);
                self.branch(IF_NOT_BELOW, from, above, below)
            }
        }
    }

    fn leaf(&mut self, verdict: &Verdict) -> Place {
        if let Some(&place) = self.leaves.get(verdict) {
            return place;
        }
        let place = match verdict {
            Verdict::Allow => self.answer(libc::SECCOMP_RET_ALLOW),
            Verdict::Refuse(errno) => self.answer(libc::SECCOMP_RET_ERRNO | u32::from(*errno)),
            Verdict::ByArguments(rules) => self.rules(rules),
        };
        self.leaves.insert(verdict.clone(), place);
        place
    }

    fn rules(&mut self, rules: &[Rule]) -> Place {
        let mut next = self.leaf(&Verdict::Allow);
        for rule in rules.iter().rev() {
            let mut then = self.leaf(&Verdict::Refuse(rule.errno));
            for condition in rule.conditions.iter().rev() {
                then = self.condition(condition, then, next);
            }
            next = then;
        }
        next
    }

    fn condition(&mut self, condition: &Condition, yes: Place, no: Place) -> Place {
        let begin = match &condition.holds {
            Holds::AnyBit(bits) => self.branch(IF_ANY_BIT, *bits, yes, no),
            Holds::OneOf(values) => self.any(values, yes, no),
            Holds::NoneOf(values) => self.any(values, no, yes),
        };
        self.load(AT_ARGUMENTS + u32::from(condition.argument) * ARGUMENT_BYTES, begin)
    }

    fn any(&mut self, values: &[u32], yes: Place, no: Place) -> Place {
        values.iter().rev().fold(no, |next, value| self.branch(IF_EQUAL, *value, yes, next))
    }
}

#[cfg(test)]
pub(super) mod tests;
