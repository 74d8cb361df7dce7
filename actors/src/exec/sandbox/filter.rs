//! The filter of system calls: what a program may ask of the kernel. Three filters are stacked: calls that are not
//! listed do not exist (`ENOSYS`, so that programs fall back), dangerous ones are refused (`EPERM`), sockets of rare
//! families have no support.

use std::sync::OnceLock;

use seccompiler::{BpfProgram, TargetArch, apply_filter, compile_from_json};
use serde_json::{Value, json};

/// Names of calls, one a word. Those of one machine only stand after its name.
const ALLOWED: &str = include_str!("filter/allowed.txt");
const REFUSED: &str = include_str!("filter/refused.txt");

/// Namespaces that `clone` may not make: all of them.
const NEW_NAMESPACES: u64 = 0x7E02_0000;
/// Families of sockets: UNIX, INET, INET6.
const FAMILIES: [u64; 3] = [libc::AF_UNIX as u64, libc::AF_INET as u64, libc::AF_INET6 as u64];
/// Calls that give a file a mode, and where it stands among their arguments. None may set the bits with which a program
/// runs as its owner or its group: in a folder of the host it would do so outside, too.
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
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];
const NETLINK_ROUTE: u64 = libc::NETLINK_ROUTE as u64;

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
    of_job: Vec<BpfProgram>,
    of_first: BpfProgram,
}

static FILTERS: OnceLock<Option<Filters>> = OnceLock::new();

/// Made once in a process.
pub(super) fn programs() -> Option<&'static Filters> {
    FILTERS.get_or_init(|| compile().ok()).as_ref()
}

impl Filters {
    /// Loads them into this process, for ever.
    pub(super) fn apply(&self) -> Result<(), ()> {
        self.of_job.iter().try_for_each(|program| apply_filter(program).map_err(drop))
    }

    /// Loads the one of a room's first process.
    pub(super) fn apply_to_first(&self) -> Result<(), ()> {
        apply_filter(&self.of_first).map_err(drop)
    }
}

fn compile() -> Result<Filters, ()> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(drop)?;
    let filters = [allowed(), refused(), families()];
    let one = |filter: &Value| {
        let text = json!({"only": filter}).to_string();
        compile_from_json(text.as_bytes(), arch).map_err(drop)?.remove("only").ok_or(())
    };
    Ok(Filters { of_job: filters.iter().map(one).collect::<Result<_, ()>>()?, of_first: one(&first())? })
}

fn first() -> Value {
    let rules = OF_FIRST.map(|name| json!({"syscall": name}));
    json!({"mismatch_action": {"errno": libc::EPERM}, "match_action": "allow", "filter": rules})
}

fn words(list: &'static str) -> impl Iterator<Item = &'static str> {
    let here = |line: &&str| match line.split_once(':') {
        Some((arch, _)) => arch == std::env::consts::ARCH,
        None => true,
    };
    let lines = list.lines().filter(|line| !line.starts_with('#')).filter(here);
    lines.flat_map(|line| line.rsplit(':').next().unwrap_or_default().split_whitespace())
}

fn allowed() -> Value {
    let rules: Vec<Value> =
        words(ALLOWED).chain(words(REFUSED)).map(|name| json!({"syscall": name})).collect();
    json!({"mismatch_action": {"errno": libc::ENOSYS}, "match_action": "allow", "filter": rules})
}

/// Compares the lower half of an argument only: the kernel sees no more of an `int`.
fn argument(index: u8, op: Value, val: u64) -> Value {
    json!({"index": index, "type": "dword", "op": op, "val": val})
}

fn refused() -> Value {
    let mut rules: Vec<Value> = words(REFUSED).map(|name| json!({"syscall": name})).collect();
    for bit in 0..32 {
        let flag = 1_u64 << bit;
        if NEW_NAMESPACES & flag != 0 {
            rules.push(json!({"syscall": "clone", "args": [argument(0, json!({"masked_eq": flag}), flag)]}));
        }
    }
    let is_there = |call: &str| words(ALLOWED).any(|name| name == call);
    for (call, mode) in MODES.into_iter().filter(|(call, _)| is_there(call)) {
        for bit in [libc::S_ISUID, libc::S_ISGID].map(u64::from) {
            rules.push(json!({"syscall": call, "args": [argument(mode, json!({"masked_eq": bit}), bit)]}));
        }
    }
    // `openat2`, whose arguments cannot be read, is not allowed at all.
    for (call, flags) in [("open", 1), ("openat", 2)].into_iter().filter(|(call, _)| is_there(call)) {
        for creating in [libc::O_CREAT, libc::O_TMPFILE & !libc::O_DIRECTORY].map(|flag| flag as u64) {
            for bit in [libc::S_ISUID, libc::S_ISGID].map(u64::from) {
                let made = argument(flags, json!({"masked_eq": creating}), creating);
                let mode = argument(flags + 1, json!({"masked_eq": bit}), bit);
                rules.push(json!({"syscall": call, "args": [made, mode]}));
            }
        }
    }
    for request in [libc::TIOCSTI, libc::TIOCLINUX] {
        rules.push(json!({"syscall": "ioctl", "args": [argument(1, json!("eq"), request)]}));
    }
    let strange = PERSONALITIES.map(|known| argument(0, json!("ne"), known));
    rules.push(json!({"syscall": "personality", "args": strange}));
    json!({"mismatch_action": "allow", "match_action": {"errno": libc::EPERM}, "filter": rules})
}

fn families() -> Value {
    let other = |index| FAMILIES.map(|family| argument(index, json!("ne"), family)).to_vec();
    let mut rules = Vec::new();
    for call in ["socket", "socketpair"] {
        let mut rare = other(0);
        rare.push(argument(0, json!("ne"), libc::AF_NETLINK as u64));
        rules.push(json!({"syscall": call, "args": rare}));
        let netlink =
            vec![argument(0, json!("eq"), libc::AF_NETLINK as u64), argument(2, json!("ne"), NETLINK_ROUTE)];
        rules.push(json!({"syscall": call, "args": netlink}));
    }
    json!({"mismatch_action": "allow", "match_action": {"errno": libc::EAFNOSUPPORT}, "filter": rules})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_call_of_this_machine_and_stands_once() {
        assert_eq!(compile().unwrap().of_job.len(), 3);
        let mut names: Vec<_> = words(ALLOWED).chain(words(REFUSED)).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "a name stands twice");
        assert!(!names.contains(&"clone3") && !names.iter().any(|name| name.starts_with("io_uring")));
    }
}
