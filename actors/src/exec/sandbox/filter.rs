//! The filter of system calls: what a program may ask of the kernel. Calls that are not listed do not exist (`ENOSYS`, so
//! that programs fall back), dangerous ones are refused (`EPERM`), sockets of rare families have no support. It knows
//! no program of the kernel's: `flat` writes that.

mod flat;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use seccompiler::{BpfProgram, TargetArch, apply_filter, compile_from_json};

use self::flat::{Condition, Holds, Rule, Verdict, program};

/// Names of calls, one a word. Those of one machine only stand after its name.
const ALLOWED: &str = include_str!("filter/allowed.txt");
const REFUSED: &str = include_str!("filter/refused.txt");

const EPERM: flat::Errno = libc::EPERM as flat::Errno;
const ENOSYS: flat::Errno = libc::ENOSYS as flat::Errno;
const EAFNOSUPPORT: flat::Errno = libc::EAFNOSUPPORT as flat::Errno;

/// Namespaces that `clone` may not make: all of them.
const NEW_NAMESPACES: u32 = 0x7E02_0000;
/// Families of sockets, and the only protocol of the last one.
const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
const NETLINK_ROUTE: u32 = libc::NETLINK_ROUTE as u32;
/// The bits of a file's mode with which a program runs as its owner or its group. A job may not set them: in a folder of
/// the host they would hold outside, too.
const RUNS_AS_OWNER: u32 = libc::S_ISUID | libc::S_ISGID;
/// Calls that give a file a mode, and where it stands among their arguments.
const MODES: [(&str, u8); 7] = [
    ("chmod", 1),
    ("fchmod", 1),
    ("fchmodat", 2),
    ("fchmodat2", 2),
    ("mknod", 1),
    ("mknodat", 2),
    ("creat", 1),
];
/// Linux, 32-bit Linux, without randomised addresses each, and the question which one it is.
const PERSONALITIES: [u32; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// Requests that type on a terminal, or reach for the machine's own.
const REQUESTS: [libc::Ioctl; 2] = [libc::TIOCSTI, libc::TIOCLINUX];

/// What the first process of a room needs once its job runs: to wait, to kill, to tell and to end.
const OF_FIRST: [&str; 14] = [
    "wait4",
    "kill",
    "write",
    "exit",
    "exit_group",
    "rt_sigreturn",
    "restart_syscall",
    "close",
    "getpid",
    "brk",
    "mmap",
    "munmap",
    "madvise",
    "futex",
];

/// The filters, ready to be loaded.
#[derive(Debug)]
pub(super) struct Filters {
    of_job: BpfProgram,
    of_first: BpfProgram,
}

static FILTERS: OnceLock<Option<Filters>> = OnceLock::new();
/// Those of jobs without a room: without and with the host's network.
static WITHOUT_ROOM: [OnceLock<Option<Filters>>; 2] = [OnceLock::new(), OnceLock::new()];

/// Made once in a process.
pub(super) fn programs() -> Option<&'static Filters> {
    FILTERS.get_or_init(|| compile().ok()).as_ref()
}

/// The same for a job that has no room, and so sees other processes of its user, and the host's network.
pub(super) fn without_room(host_network: bool) -> Option<&'static Filters> {
    let filters = &WITHOUT_ROOM[usize::from(host_network)];
    filters.get_or_init(|| compile_from(of_job_without_room(host_network)).ok()).as_ref()
}

impl Filters {
    /// Loads them into this process, for ever.
    pub(super) fn apply(&self) -> Result<(), ()> {
        apply_filter(&self.of_job).map_err(drop)
    }

    /// Loads the one of a room's first process.
    pub(super) fn apply_to_first(&self) -> Result<(), ()> {
        apply_filter(&self.of_first).map_err(drop)
    }
}

fn compile() -> Result<Filters, ()> {
    compile_from(of_job())
}

fn compile_from(of_job: BTreeMap<&str, Verdict>) -> Result<Filters, ()> {
    let all = words(ALLOWED).chain(words(REFUSED)).chain(OF_FIRST);
    let table = Table::of(all)?;
    let of_first = OF_FIRST.map(|name| (name, Verdict::Allow));
    Ok(Filters {
        of_job: program(table.machine, &table.numbered(of_job)?, &Verdict::Refuse(ENOSYS)),
        of_first: program(table.machine, &table.numbered(of_first)?, &Verdict::Refuse(EPERM)),
    })
}

/// What this machine calls itself and its calls in front of a filter.
struct Table {
    machine: u32,
    numbers: BTreeMap<String, u32>,
}

impl Table {
    /// The library knows the numbers, and shows them in programs only: in one of a single rule the first comparison is
    /// with the machine and the second one with the number.
    fn of<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, ()> {
        let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(drop)?;
        // As text: made of values, four hundred filters would leave a quarter of a MiB more in every keeper.
        let alone = |name: &str| {
            let filter = r#"{"mismatch_action":"allow","match_action":"trap","filter":[{"syscall":"#;
            format!(r#""{name}":{filter}"{name}"}}]}}"#)
        };
        let names: BTreeSet<_> = names.collect();
        let text = format!("{{{}}}", names.into_iter().map(alone).collect::<Vec<_>>().join(","));
        let programs = compile_from_json(text.as_bytes(), arch).map_err(drop)?;
        let mut table = Self { machine: 0, numbers: BTreeMap::new() };
        for (name, program) in programs {
            let mut compared =
                program.iter().filter(|it| u32::from(it.code) == flat::IF_EQUAL).map(|it| it.k);
            table.machine = compared.next().ok_or(())?;
            table.numbers.insert(name, compared.next().ok_or(())?);
        }
        Ok(table)
    }

    fn numbered<'a>(
        &self,
        calls: impl IntoIterator<Item = (&'a str, Verdict)>,
    ) -> Result<BTreeMap<u32, Verdict>, ()> {
        let number = |(name, verdict)| Ok((*self.numbers.get(name).ok_or(())?, verdict));
        calls.into_iter().map(number).collect()
    }
}

fn words(list: &'static str) -> impl Iterator<Item = &'static str> {
    let here = |line: &&str| match line.split_once(':') {
        Some((arch, _)) => arch == std::env::consts::ARCH,
        None => true,
    };
    let lines = list.lines().filter(|line| !line.starts_with('#')).filter(here);
    lines.flat_map(|line| line.rsplit(':').next().unwrap_or_default().split_whitespace())
}

/// What becomes of every call that there is.
fn of_job() -> BTreeMap<&'static str, Verdict> {
    let mut calls: BTreeMap<_, _> = words(ALLOWED).map(|name| (name, Verdict::Allow)).collect();
    for (name, rules) in by_arguments() {
        // What this machine does not have needs no rule.
        if let Some(verdict) = calls.get_mut(name) {
            *verdict = Verdict::ByArguments(rules);
        }
    }
    calls.extend(words(REFUSED).map(|name| (name, Verdict::Refuse(EPERM))));
    calls
}

/// Calls that reach into other processes, and those that make what outlives every process and is everybody's: in a room
/// there are only the job's own.
const REACHING: [&str; 20] = [
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "process_mrelease",
    "kcmp",
    "pidfd_getfd",
    "shmget",
    "shmat",
    "shmctl",
    "shmdt",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "semget",
    "semop",
    "semctl",
    "mq_open",
    "mq_unlink",
];
/// Calls that change a process which is named by a number, and where that stands among their arguments. Landlock has no
/// say in them, and with a limit a job could end its node: only 0 may stand there, the process itself.
const OF_PROCESSES: [(&str, u8); 7] = [
    ("prlimit64", 0),
    ("sched_setaffinity", 0),
    ("sched_setscheduler", 0),
    ("sched_setparam", 0),
    ("sched_setattr", 0),
    ("setpriority", 1),
    ("ioprio_set", 1),
];
/// Of those, the calls that may mean a group or a user as well, and the number that says a process.
const KINDS: [(&str, u32); 2] = [("setpriority", libc::PRIO_PROCESS), ("ioprio_set", 1)];

/// What becomes of them where there is no room: only Landlock stands between a job and the processes of its user, and
/// nothing but this between it and the host's network.
fn of_job_without_room(host_network: bool) -> BTreeMap<&'static str, Verdict> {
    let mut calls = of_job();
    for name in REACHING {
        // What is not listed stays as if it did not exist.
        if let Some(verdict) = calls.get_mut(name) {
            *verdict = Verdict::Refuse(EPERM);
        }
    }
    let is_not = |argument, value| Condition { argument, holds: Holds::NoneOf(vec![value]) };
    for (name, process) in OF_PROCESSES {
        let kind = KINDS.into_iter().find(|(call, _)| *call == name).map(|(_, kind)| is_not(0, kind));
        let foreign = kind.into_iter().chain([is_not(process, 0)]);
        let rules = foreign.map(|condition| Rule { errno: EPERM, conditions: vec![condition] }).collect();
        if let Some(verdict) = calls.get_mut(name) {
            *verdict = Verdict::ByArguments(rules);
        }
    }
    if !host_network {
        let others = Condition { argument: 0, holds: Holds::NoneOf(vec![libc::AF_UNIX as u32]) };
        let rules = vec![Rule { errno: EAFNOSUPPORT, conditions: vec![others] }];
        calls.extend(["socket", "socketpair"].map(|call| (call, Verdict::ByArguments(rules.clone()))));
    }
    calls
}

fn by_arguments() -> Vec<(&'static str, Vec<Rule>)> {
    let when = |errno, conditions| Rule { errno, conditions };
    let is = |argument, holds| Condition { argument, holds };
    let owner = |argument| is(argument, Holds::AnyBit(RUNS_AS_OWNER));
    let mut calls = vec![
        ("clone", vec![when(EPERM, vec![is(0, Holds::AnyBit(NEW_NAMESPACES))])]),
        ("ioctl", vec![when(EPERM, vec![is(1, Holds::OneOf(REQUESTS.map(|it| it as u32).to_vec()))])]),
        ("personality", vec![when(EPERM, vec![is(0, Holds::NoneOf(PERSONALITIES.to_vec()))])]),
    ];
    calls.extend(MODES.map(|(call, mode)| (call, vec![when(EPERM, vec![owner(mode)])])));
    // `openat2`, whose arguments cannot be read, is not allowed at all.
    for (call, flags) in [("open", 1), ("openat", 2)] {
        // Without the bit of folders, which is set for others that make nothing.
        let makes = (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) as u32;
        calls.push((call, vec![when(EPERM, vec![is(flags, Holds::AnyBit(makes)), owner(flags + 1)])]));
    }
    for call in ["socket", "socketpair"] {
        let rare = is(0, Holds::NoneOf(FAMILIES.map(|family| family as u32).to_vec()));
        let netlink = is(0, Holds::OneOf(vec![libc::AF_NETLINK as u32]));
        let other = is(2, Holds::NoneOf(vec![NETLINK_ROUTE]));
        let rules = [vec![rare], vec![netlink, other]];
        calls.push((call, rules.map(|conditions| when(EAFNOSUPPORT, conditions)).to_vec()));
    }
    calls
}

#[cfg(test)]
mod tests;
