//! The filters of rooms against what they replace: three programs, made by seccompiler from rules of their own and
//! stacked as the kernel stacks them. Only there are those still written down.

use seccompiler::sock_filter;
use serde_json::{Value, json};

use super::flat::tests::{Call, run};
use super::*;

/// Numbers that are looked at one by one; no machine has so many calls.
const NUMBERS: std::ops::Range<u32> = 0..1024;
/// With this bit set, calls of the 64-bit machine are those of its 32-bit sibling.
const X32: u32 = 0x4000_0000;

#[test]
fn every_name_is_a_call_of_this_machine_and_stands_once() {
    assert!(compile().is_ok());
    let mut names: Vec<_> = words(ALLOWED).chain(words(REFUSED)).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "a name stands twice");
    assert!(!names.contains(&"clone3") && !names.iter().any(|name| name.starts_with("io_uring")));
}

#[test]
fn one_short_program_says_of_every_call_what_three_long_ones_said() {
    let filters = compile().unwrap();
    let stack = [allowed(), refused(), families()].map(|filter| compile_one(&filter));
    let long: usize = stack.iter().map(Vec::len).sum();
    assert!(filters.of_job.len() * 4 < long, "{} instructions instead of {long}", filters.of_job.len());
    let judged = table();
    let asks_about: Vec<_> =
        by_arguments().into_iter().filter_map(|(name, _)| number(&judged, name)).collect();
    assert!(asks_about.len() > 8);
    let mut refusals = 0;
    for call in NUMBERS.map(|number| bare(&judged, number)).chain(strange(&judged)) {
        agree(&filters.of_job, &stack, &call);
    }
    for number in asks_about {
        for arguments in interesting() {
            let call = Call { arguments, ..bare(&judged, number) };
            refusals += usize::from(agree(&filters.of_job, &stack, &call) != libc::SECCOMP_RET_ALLOW);
        }
    }
    assert!(refusals > 10_000, "arguments that matter: {refusals}");
}

#[test]
fn the_first_process_may_do_what_it_could() {
    let filters = compile().unwrap();
    let (judged, stack) = (table(), [compile_one(&first())]);
    for call in NUMBERS.map(|number| bare(&judged, number)).chain(strange(&judged)) {
        agree(&filters.of_first, &stack, &call);
        agree(&filters.of_first, &stack, &Call { arguments: [u64::MAX; 6], ..call });
    }
}

/// What both answer.
fn agree(short: &[sock_filter], stack: &[BpfProgram], call: &Call) -> u32 {
    let answer = run(short, call);
    assert_eq!(answer, stacked(stack, call), "{call:x?}");
    answer
}

/// The kernel asks every filter, the last one first, and takes what is strictest; of equals what came first.
fn stacked(stack: &[BpfProgram], call: &Call) -> u32 {
    let strictness = |answer: u32| (answer & libc::SECCOMP_RET_ACTION_FULL).cast_signed();
    let answers = stack.iter().rev().map(|program| run(program, call));
    answers.reduce(|one, other| if strictness(other) < strictness(one) { other } else { one }).unwrap()
}

fn table() -> Table {
    Table::of(words(ALLOWED).chain(words(REFUSED)).chain(OF_FIRST)).unwrap()
}

fn number(table: &Table, name: &str) -> Option<u32> {
    table.numbers.get(name).copied()
}

fn bare(table: &Table, number: u32) -> Call {
    Call { machine: table.machine, number, arguments: [0; 6] }
}

/// Calls of other tables and of other machines.
fn strange(table: &Table) -> impl Iterator<Item = Call> {
    let (i386, arm) = (0x4000_0003, 0x4000_0028);
    let machines = [i386, arm, 0, table.machine ^ 1, table.machine & !X32, u32::MAX].into_iter();
    let far = [u32::MAX, i32::MAX as u32, i32::MIN as u32, X32 - 1, 4096, 1 << 16];
    let far = far.into_iter().chain(NUMBERS.map(|number| number | X32));
    let far: Vec<_> = far.map(|number| bare(table, number)).collect();
    let elsewhere = machines.flat_map(|machine| {
        let call = move |number| Call { machine, number, arguments: [0; 6] };
        NUMBERS.step_by(7).map(call)
    });
    far.into_iter().chain(elsewhere.collect::<Vec<_>>())
}

/// Every bit alone and with others, in every argument that a rule reads, small numbers, what rules name, and whatever.
fn interesting() -> Vec<[u64; 6]> {
    let named = PERSONALITIES.map(u64::from).into_iter();
    let named = named.chain(REQUESTS.map(|it| u64::from(it as u32))).chain([
        0o1777,
        0o4755,
        0o2755,
        0o6777,
        0x7E02_0000,
    ]);
    let named = named.chain([libc::O_TMPFILE, libc::O_CREAT, libc::O_DIRECTORY].map(|it| it as u64));
    let bits = (0..64).flat_map(|bit| [1 << bit, !(1 << bit), (1 << bit) - 1]);
    let plain: Vec<u64> = (0..64).chain(named).chain(bits).collect();
    let values: Vec<u64> = plain.iter().flat_map(|it| [*it, it | 1 << 32, it | u64::MAX << 32]).collect();
    let mut sets: Vec<[u64; 6]> = values.iter().map(|it| [*it; 6]).collect();
    for at in 0..4 {
        for value in &values {
            for rest in [0, 0o6777, u64::MAX] {
                let mut arguments = [rest; 6];
                arguments[at] = *value;
                sets.push(arguments);
            }
        }
    }
    // Flags with modes, families with protocols.
    let some: Vec<u64> = plain.iter().copied().step_by(3).chain([0o100, 0o2000, 0o4000, 0x40, 16]).collect();
    for (one, other) in some.iter().flat_map(|one| some.iter().map(move |other| (*one, *other))) {
        sets.extend([[one, one, other, other, one, other], [one, other, other, one, one, one]]);
    }
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    sets.extend((0..5000).map(|_| {
        [(); 6].map(|()| {
            // Xorshift, as everybody writes it.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        })
    }));
    sets
}

fn compile_one(filter: &Value) -> BpfProgram {
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let text = json!({"only": filter}).to_string();
    compile_from_json(text.as_bytes(), arch).unwrap().remove("only").unwrap()
}

fn first() -> Value {
    let rules = OF_FIRST.map(|name| json!({"syscall": name}));
    json!({"mismatch_action": {"errno": libc::EPERM}, "match_action": "allow", "filter": rules})
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
        if 0x7E02_0000 & flag != 0 {
            rules.push(json!({"syscall": "clone", "args": [argument(0, json!({"masked_eq": flag}), flag)]}));
        }
    }
    let is_there = |call: &str| words(ALLOWED).any(|name| name == call);
    let owners = [libc::S_ISUID, libc::S_ISGID].map(u64::from);
    let modes = [("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("fchmodat2", 2)];
    let made = [("mknod", 1), ("mknodat", 2), ("creat", 1)];
    for (call, mode) in modes.into_iter().chain(made).filter(|(call, _)| is_there(call)) {
        for bit in owners {
            rules.push(json!({"syscall": call, "args": [argument(mode, json!({"masked_eq": bit}), bit)]}));
        }
    }
    for (call, flags) in [("open", 1), ("openat", 2)].into_iter().filter(|(call, _)| is_there(call)) {
        for creating in [libc::O_CREAT, libc::O_TMPFILE & !libc::O_DIRECTORY].map(|flag| flag as u64) {
            for bit in owners {
                let made = argument(flags, json!({"masked_eq": creating}), creating);
                let mode = argument(flags + 1, json!({"masked_eq": bit}), bit);
                rules.push(json!({"syscall": call, "args": [made, mode]}));
            }
        }
    }
    for request in [libc::TIOCSTI, libc::TIOCLINUX] {
        rules.push(json!({"syscall": "ioctl", "args": [argument(1, json!("eq"), request)]}));
    }
    let strange =
        [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff].map(|known| argument(0, json!("ne"), known)).to_vec();
    rules.push(json!({"syscall": "personality", "args": strange}));
    json!({"mismatch_action": "allow", "match_action": {"errno": libc::EPERM}, "filter": rules})
}

fn families() -> Value {
    let known = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(|it| it as u64);
    let mut rules = Vec::new();
    for call in ["socket", "socketpair"] {
        let rare = known.map(|family| argument(0, json!("ne"), family)).to_vec();
        rules.push(json!({"syscall": call, "args": rare}));
        let netlink = argument(0, json!("eq"), libc::AF_NETLINK as u64);
        let other = argument(2, json!("ne"), libc::NETLINK_ROUTE as u64);
        rules.push(json!({"syscall": call, "args": [netlink, other]}));
    }
    json!({"mismatch_action": "allow", "match_action": {"errno": libc::EAFNOSUPPORT}, "filter": rules})
}
