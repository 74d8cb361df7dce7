//! The yardstick of rooms: a process that makes the same namespaces and runs `sh -c true` in them, again and again, and
//! says how often it could. It makes nothing safe.

use std::io::Write;
use std::time::Duration;

use super::sys;
use crate::clock::moment;

/// Every namespace that a room has.
const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;
const EXIT_OK: i32 = 0;
const EXIT_FAILED: i32 = 1;

/// The whole life of such a process; its last argument is how long it is, in milliseconds.
pub(super) fn bare_main() -> i32 {
    let span = std::env::args().nth(2).and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
    match span.map(repeat) {
        Some(Ok(count)) if writeln!(std::io::stdout(), "{count}").is_ok() => EXIT_OK,
        _ => EXIT_FAILED,
    }
}

fn repeat(span: Duration) -> std::io::Result<u64> {
    let argv = [c"/bin/sh", c"-c", c"true"].map(Into::into);
    let (began, mut count) = (moment(), 0);
    while began.elapsed() < span {
        let Some(child) = sys::fork(NAMESPACES as u64)? else {
            sys::execve(c"/bin/sh", &argv, &[]);
            sys::end(EXIT_FAILED);
        };
        match sys::await_child() {
            Some((pid, 0)) if pid == child.pid.as_raw_pid() => count += 1,
            _ => return Err(std::io::Error::other("`sh -c true` failed")),
        }
    }
    Ok(count)
}
