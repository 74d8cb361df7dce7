//! Small programs, run by a machine of our own for the few instructions that there are. What the filters of rooms say
//! is tested beside them.

use super::*;

/// What a filter is asked about.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Call {
    pub(in super::super) machine: u32,
    pub(in super::super) number: u32,
    pub(in super::super) arguments: [u64; 6],
}

impl Call {
    /// A word of it, as the kernel lays it out where low bytes come first.
    fn word(&self, at: u32) -> u32 {
        match at {
            AT_NUMBER => self.number,
            AT_MACHINE => self.machine,
            _ if at >= AT_ARGUMENTS && at.is_multiple_of(4) => {
                let argument = self.arguments[((at - AT_ARGUMENTS) / ARGUMENT_BYTES) as usize];
                (argument >> (8 * (at % ARGUMENT_BYTES))) as u32
            }
            _ => panic!("a filter reads at {at}"),
        }
    }
}

/// What a program answers. It panics where the kernel would refuse to load the program, as far as the call leads there.
pub(in super::super) fn run(program: &[sock_filter], call: &Call) -> u32 {
    let (mut at, mut register) = (0, 0);
    loop {
        let sock_filter { code, jt, jf, k } = &program[at];
        let branch = |holds: bool| usize::from(if holds { *jt } else { *jf });
        at += 1;
        match u32::from(*code) {
            LOAD => register = call.word(*k),
            RETURN => return *k,
            JUMP => at += *k as usize,
            IF_EQUAL => at += branch(register == *k),
            IF_NOT_BELOW => at += branch(register >= *k),
            IF_ANY_BIT => at += branch(register & k != 0),
            // The library's own: what is greater, and a part of a word.
            0x25 => at += branch(register > *k),
            0x54 => register &= k,
            other => panic!("an instruction {other:#x} that no filter needs"),
        }
    }
}

const HERE: u32 = 0xC000_003E;

fn ask(program: &[sock_filter], number: u32, arguments: [u64; 6]) -> u32 {
    run(program, &Call { machine: HERE, number, arguments })
}

fn refused(errno: Errno) -> u32 {
    libc::SECCOMP_RET_ERRNO | u32::from(errno)
}

#[test]
fn every_number_finds_its_verdict_and_every_other_one_the_common_one() {
    let calls = BTreeMap::from([
        (0, Verdict::Refuse(1)),
        (1, Verdict::Allow),
        (2, Verdict::Allow),
        (4, Verdict::Refuse(2)),
        (u32::MAX - 1, Verdict::Allow),
    ]);
    let program = program(HERE, &calls, &Verdict::Refuse(38));
    let none = [0; 6];
    let expected = [
        (0, refused(1)),
        (1, libc::SECCOMP_RET_ALLOW),
        (2, libc::SECCOMP_RET_ALLOW),
        (3, refused(38)),
        (4, refused(2)),
        (5, refused(38)),
        (0x4000_0001, refused(38)),
        (u32::MAX - 1, libc::SECCOMP_RET_ALLOW),
        (u32::MAX, refused(38)),
    ];
    for (number, answer) in expected {
        assert_eq!(ask(&program, number, none), answer, "call {number}");
    }
    let strange = Call { machine: HERE ^ 1, number: 1, arguments: none };
    assert_eq!(run(&program, &strange), libc::SECCOMP_RET_KILL_PROCESS);
}

#[test]
fn arguments_decide_by_their_lower_half_and_the_first_rule_that_holds_wins() {
    let when = |conditions, errno| Rule { conditions, errno };
    let is = |argument, holds| Condition { argument, holds };
    let rules = vec![
        when(vec![is(0, Holds::AnyBit(6)), is(1, Holds::NoneOf(vec![7, 8]))], 1),
        when(vec![is(5, Holds::OneOf(vec![9, 10]))], 2),
    ];
    let calls = BTreeMap::from([(3, Verdict::ByArguments(rules))]);
    let program = program(HERE, &calls, &Verdict::Refuse(38));
    let high = 5 << 32;
    let answers = [
        ([1, 0, 0, 0, 0, 0], libc::SECCOMP_RET_ALLOW),
        ([2, 0, 0, 0, 0, 0], refused(1)),
        ([high | 4, high, 0, 0, 0, 9], refused(1)),
        ([high | 4, high | 7, 0, 0, 0, 0], libc::SECCOMP_RET_ALLOW),
        ([high | 4, high | 8, 0, 0, 0, high | 10], refused(2)),
        ([6 << 32, 0, 0, 0, 0, 9 << 32], libc::SECCOMP_RET_ALLOW),
    ];
    for (arguments, answer) in answers {
        assert_eq!(ask(&program, 3, arguments), answer, "{arguments:?}");
    }
}

/// A branch leads 255 instructions away at most.
#[test]
fn a_long_program_reaches_its_far_ends() {
    let many = 0..3000;
    let verdict = |number| match number % 3 {
        0 => Verdict::Refuse(number as Errno),
        1 => Verdict::Allow,
        _ => {
            let holds = Holds::OneOf((0..number % 300).collect());
            Verdict::ByArguments(vec![Rule { conditions: vec![Condition { argument: 0, holds }], errno: 1 }])
        }
    };
    let calls = many.clone().map(|number| (number, verdict(number))).collect();
    let program = program(HERE, &calls, &Verdict::Refuse(38));
    for number in many {
        for argument in [0, number / 2 % 300, number % 300, 300] {
            let answer = match number % 3 {
                0 => refused(number as Errno),
                2 if argument < number % 300 => refused(1),
                _ => libc::SECCOMP_RET_ALLOW,
            };
            assert_eq!(ask(&program, number, [u64::from(argument); 6]), answer, "{number} {argument}");
        }
    }
}
