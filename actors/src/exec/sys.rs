//! The few system calls that need `unsafe`: wait4, signal handlers, closing what was inherited. It decides nothing.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Pid;

use crate::model::Exit;

/// What a look for dead children found.
#[derive(Debug)]
pub(crate) enum Waited {
    /// There is no such child, dead or alive.
    NoChild,
    /// There are, but none is dead.
    NoneDead,
    /// One was dead and is now gone.
    Reaped(Reaped),
}

/// A reaped child, its resource use included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reaped {
    pub(crate) pid: i32,
    pub(crate) exit: Exit,
    pub(crate) user_us: u64,
    pub(crate) system_us: u64,
    pub(crate) peak_bytes: u64,
}

/// Reaps one child, or any child when none is named, without waiting for one to die.
pub(crate) fn reap(pid: Option<Pid>) -> io::Result<Waited> {
    let target = pid.map_or(-1, Pid::as_raw_pid);
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are valid for writes for the length of the call, and wait4 keeps neither.
    let got = unsafe { libc::wait4(target, &raw mut status, libc::WNOHANG, usage.as_mut_ptr()) };
    match got {
        0 => Ok(Waited::NoneDead),
        -1 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ECHILD) => Ok(Waited::NoChild),
            error => Err(error),
        },
        pid => {
            // SAFETY: it began as all zeroes, which is a valid rusage, and wait4 has filled it in.
            let usage = unsafe { usage.assume_init() };
            Ok(Waited::Reaped(Reaped {
                pid,
                exit: exit_of(status),
                user_us: micros(usage.ru_utime),
                system_us: micros(usage.ru_stime),
                peak_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
            }))
        }
    }
}

fn exit_of(status: i32) -> Exit {
    if libc::WIFSIGNALED(status) {
        Exit::Signal { number: libc::WTERMSIG(status), core_dumped: libc::WCOREDUMP(status) }
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    }
}

fn micros(time: libc::timeval) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    seconds * 1_000_000 + micros
}

static CHILD_DIED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(signal: libc::c_int) {
    if signal == libc::SIGCHLD {
        CHILD_DIED.store(true, Ordering::Relaxed);
    }
}

/// Whether a child died since the last call. Only meaningful after [`shrug_off_signals`].
pub(crate) fn child_died() -> bool {
    CHILD_DIED.swap(false, Ordering::Relaxed)
}

/// Makes this process survive the signals that terminals, supervisors and careless hands send, in a way that its
/// children do not inherit: handlers become defaults on exec, ignored and blocked signals would stay so. Each handler
/// costs a call at every start of a job, so there is none for faults of our own, for what is harmless, and for
/// real-time signals, which nobody sends to a process that does not ask for them.
pub(crate) fn shrug_off_signals() {
    const SURVIVED: [i32; 19] = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGPIPE,
        libc::SIGALRM,
        libc::SIGTERM,
        libc::SIGSTKFLT,
        libc::SIGCHLD,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
        libc::SIGXCPU,
        libc::SIGXFSZ,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGIO,
        libc::SIGPWR,
    ];
    for signal in 1..=libc::SIGRTMAX() {
        // What our own starter ignored would stay ignored in our children.
        let handler: libc::sighandler_t = if SURVIVED.contains(&signal) {
            note as extern "C" fn(libc::c_int) as libc::sighandler_t
        } else {
            libc::SIG_DFL
        };
        // SAFETY: a zeroed sigaction is valid (no flags, empty mask); `note` only stores to an atomic, which is
        // async-signal-safe. Numbers that cannot be caught (KILL, STOP, libc's own) are refused and nothing happens.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = libc::SA_RESTART | libc::SA_NOCLDSTOP;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
    // SAFETY: `none` is initialised by sigemptyset before it is read; this process has one thread.
    unsafe {
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// Closes every descriptor from 3 upwards.
pub(crate) fn close_inherited() {
    // SAFETY: called as the first thing in a helper process, before anything in it owns a descriptor above 2.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32);
    }
}
