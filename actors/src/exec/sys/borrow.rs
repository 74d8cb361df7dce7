//! A child that borrows its parent's memory until it becomes a program: copying it would only be thrown away. It knows
//! nothing of what such a child does.

use std::ffi::c_void;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::Pid;

/// What the child has to put its frames on: a parent that waits in the middle of its own has none to lend.
const STACK_BYTES: usize = 1 << 20;
/// Below it nothing may be touched. No page is larger, where there are rooms.
const GUARD_BYTES: usize = 64 << 10;
/// Exit code after a defect in the child itself.
const EXIT_DEFECT: i32 = 70;

/// Starts a process that runs `child`, and waits until that has become a program or has ended, with what it returns for
/// its exit code. Descriptors, limits and rights are its own from the beginning, but what it writes to memory stays
/// written. Its stack is not given back.
///
/// # Errors
/// What the kernel says: there are too many processes, or too little memory.
pub(crate) fn borrow(mut child: impl FnMut() -> i32) -> io::Result<Pid> {
    let mut child: &mut dyn FnMut() -> i32 = &mut child;
    let stack = stack()?;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is mapped, writable, aligned and nobody else's; it grows downwards on every machine with rooms.
    // The thread that calls sleeps until the child no longer uses its memory, so `child` outlives the call, and what is
    // this thread's own is used by one of the two at a time. Handlers of signals only store to an atomic.
    let pid = unsafe { libc::clone(run, stack, flags, (&raw mut child).cast::<c_void>()) };
    if pid == -1 {
        return Err(io::Error::last_os_error());
    }
    Pid::from_raw(pid).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

extern "C" fn run(child: *mut c_void) -> libc::c_int {
    // SAFETY: it is what `borrow` passes, whose frame stays until this process is done with it.
    let child = unsafe { &mut *child.cast::<&mut dyn FnMut() -> i32>() };
    // Frames of the parent must not be unwound.
    catch_unwind(AssertUnwindSafe(child)).unwrap_or(EXIT_DEFECT)
}

/// The upper end of a new stack.
fn stack() -> io::Result<*mut c_void> {
    let (access, kind) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK);
    // SAFETY: the kernel chooses a place where nothing is, and the guard and the end are within what it gave.
    unsafe {
        let bottom = libc::mmap(std::ptr::null_mut(), STACK_BYTES, access, kind, -1, 0);
        if bottom == libc::MAP_FAILED || libc::mprotect(bottom, GUARD_BYTES, libc::PROT_NONE) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(bottom.byte_add(STACK_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::sys::{Waited, execve, reap};
    use crate::model::Exit;

    /// Whoever reaps anything must be alone: this only asks for its own child, and waits for its end.
    fn exit_of(pid: Pid) -> Exit {
        loop {
            match reap(Some(pid)).unwrap() {
                Waited::Reaped(dead) => return dead.exit,
                Waited::NoneDead => std::thread::yield_now(),
                Waited::NoChild => panic!("it is ours"),
            }
        }
    }

    #[test]
    fn what_the_child_wrote_is_there_when_the_parent_goes_on() {
        let mut written = Vec::new();
        let pid = borrow(|| {
            written.extend(["by", "the", "child"]);
            7
        });
        assert_eq!(exit_of(pid.unwrap()), Exit::Code(7));
        assert_eq!(written, ["by", "the", "child"]);
    }

    #[test]
    fn a_child_that_becomes_a_program_gives_everything_back() {
        let argv = [c"/bin/sh", c"-c", c"exit 5"].map(Into::into);
        let mut failed = None;
        let pid = borrow(|| {
            failed = execve(c"/bin/sh", &argv, &[]).raw_os_error();
            1
        });
        assert_eq!(exit_of(pid.unwrap()), Exit::Code(5));
        assert_eq!(failed, None);
    }

    #[test]
    fn a_defect_of_the_child_ends_only_the_child() {
        let pid = borrow(|| panic!("a panic that a test wants"));
        assert_eq!(exit_of(pid.unwrap()), Exit::Code(EXIT_DEFECT));
    }
}
