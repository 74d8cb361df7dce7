//! Names of Linux signals. The numbers are those of every architecture but alpha, mips, parisc and sparc.

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The name of signal `number`, for example `SIGKILL`; real-time signals are `SIGRTMIN+n` as the C library counts.
pub fn name(number: i32) -> String {
    let known = usize::try_from(number - 1).ok().and_then(|at| NAMES.get(at));
    match (known, number) {
        (Some(name), _) => format!("SIG{name}"),
        (None, 34..=64) => format!("SIGRTMIN+{}", number - 34),
        (None, _) => format!("SIG{number}"),
    }
}

/// The number of the signal of this name, as the API writes it.
pub fn number(name: &str) -> Option<i32> {
    (1..=64).find(|number| self::name(*number) == name)
}

#[cfg(test)]
mod tests {
    use super::{name, number};

    #[test]
    fn signals_have_the_names_that_people_know() {
        for (number, expected) in
            [(1, "SIGHUP"), (9, "SIGKILL"), (11, "SIGSEGV"), (15, "SIGTERM"), (31, "SIGSYS")]
        {
            assert_eq!(name(number), expected);
        }
        for signal in 1..=64 {
            assert_eq!(number(&name(signal)), Some(signal));
        }
        assert_eq!(number("SIGNONE"), None);
        assert_eq!((name(34).as_str(), name(0).as_str()), ("SIGRTMIN+0", "SIG0"));
    }
}
