//! The few system calls that need `unsafe`: waiting, signal handlers, closing what was inherited, forking into
//! namespaces, becoming a program. It decides nothing.
#![allow(unsafe_code)]

mod borrow;

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Pid;

pub(crate) use self::borrow::borrow;
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

/// A process that [`fork`] made.
#[derive(Debug)]
pub(crate) struct Forked {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
}

impl Forked {
    /// Kills it, and waits until nothing of it is left.
    pub(crate) fn end(self) {
        let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
        while matches!(reap(Some(self.pid)), Ok(Waited::NoneDead)) {
            let mut dead = [rustix::event::PollFd::new(&self.pidfd, rustix::event::PollFlags::IN)];
            let _ = rustix::event::poll(&mut dead, None);
        }
    }
}

/// Forks this process, which must have one thread, into new namespaces (`CLONE_NEW…` flags). `None` in the child.
///
/// # Errors
/// What clone3 says: `ENOSYS` where a filter of a container knows no namespaces, `EPERM` where they are forbidden,
/// `ENOSPC` where there are too many.
pub(crate) fn fork(namespaces: u64) -> io::Result<Option<Forked>> {
    fork_into(namespaces, None)
}

/// The same, into a control group of version 2.
///
/// # Errors
/// As [`fork`], and others where a process may not begin in that group.
pub(crate) fn fork_into(namespaces: u64, group: Option<BorrowedFd<'_>>) -> io::Result<Option<Forked>> {
    // Since Linux 5.7. It does not fit into the type that libc has for flags.
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: RawFd = -1;
    // SAFETY: zeroes are a valid clone_args. Without a stack of its own the child goes on here with a copy of ours, as
    // after fork; nobody else runs in this process, so no lock is held by a thread that the child lacks.
    let pid = unsafe {
        let mut args: libc::clone_args = std::mem::zeroed();
        args.flags = namespaces | libc::CLONE_PIDFD as u64;
        args.pidfd = (&raw mut pidfd).addr() as u64;
        args.exit_signal = libc::SIGCHLD as u64;
        if let Some(group) = group {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = u64::try_from(group.as_raw_fd()).unwrap_or_default();
        }
        libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>())
    };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
            // SAFETY: the kernel has just opened it for us, and nothing else knows its number.
            Ok(Some(Forked { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }))
        }
    }
}

/// Forks this process, which must have one thread, into no new namespaces, also where a filter of a container knows nothing
/// of clone3. `None` in the child.
///
/// # Errors
/// As fork does, and what the system says of descriptors of processes.
pub(crate) fn fork_alone() -> io::Result<Option<Forked>> {
    match fork(0) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {}
        done => return done,
    }
    // SAFETY: nobody else runs in this process, so no lock is held by a thread that the child lacks.
    let pid = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => return Ok(None),
        pid => Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?,
    };
    // A child of ours keeps its number until we reap it.
    match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(Forked { pid, pidfd })),
        Err(errno) => {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            while matches!(reap(Some(pid)), Ok(Waited::NoneDead)) {}
            Err(errno.into())
        }
    }
}

/// Waits for any child to die. Its number and raw status; none when there is no child.
pub(crate) fn await_child() -> Option<(i32, i32)> {
    loop {
        let mut status = 0;
        // SAFETY: the pointer is valid for writes for the length of the call.
        match unsafe { libc::waitpid(-1, &raw mut status, 0) } {
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return None,
            pid => return Some((pid, status)),
        }
    }
}

/// Becomes another program. Returns only when that fails.
pub(crate) fn execve(program: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let ends_in_null = |words: &[CString]| {
        words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let (argv, env) = (ends_in_null(argv), ends_in_null(env));
    // SAFETY: both arrays end in a null pointer, and everything that they point to lives until the call returns.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Ends this process at once: no destructor of what a fork copied runs a second time.
pub(crate) fn end(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Adds attributes (`MOUNT_ATTR_…`) to this mount and all below it, and cuts them off from other namespaces.
pub(crate) fn restrict_mounts(mount: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    set_attributes(mount, attributes, libc::AT_RECURSIVE)
}

/// The same to this mount alone.
pub(crate) fn restrict_mount(mount: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    set_attributes(mount, attributes, 0)
}

fn set_attributes(mount: BorrowedFd<'_>, attributes: u64, recursive: libc::c_int) -> io::Result<()> {
    let flags = (libc::AT_EMPTY_PATH | recursive) as u32;
    // SAFETY: zeroes are a valid mount_attr; the empty path is a static C string; the kernel only reads both.
    let done = unsafe {
        let mut attr: libc::mount_attr = std::mem::zeroed();
        attr.attr_set = attributes;
        attr.propagation = libc::MS_PRIVATE;
        let (path, size) = (c"".as_ptr(), size_of::<libc::mount_attr>());
        libc::syscall(libc::SYS_mount_setattr, mount.as_raw_fd(), path, flags, &raw const attr, size)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets a mount, perhaps with all below it, show its owners as a user namespace maps them.
pub(crate) fn map_owners(mount: BorrowedFd<'_>, users: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    let flags = (libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 }) as u32;
    // SAFETY: zeroes are a valid mount_attr; the empty path is a static C string; the kernel only reads both, and both
    // descriptors are open for the length of the call.
    let done = unsafe {
        let mut attr: libc::mount_attr = std::mem::zeroed();
        attr.attr_set = libc::MOUNT_ATTR_IDMAP;
        attr.userns_fd = u64::try_from(users.as_raw_fd()).unwrap_or_default();
        let (path, size) = (c"".as_ptr(), size_of::<libc::mount_attr>());
        libc::syscall(libc::SYS_mount_setattr, mount.as_raw_fd(), path, flags, &raw const attr, size)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A user namespace without a process, in which one user and one group are another one outside. For root.
pub(crate) fn user_namespace(inside: (u32, u32), outside: (u32, u32)) -> io::Result<OwnedFd> {
    let Some(child) = fork(libc::CLONE_NEWUSER as u64)? else {
        // It only lives until it is killed, or its parent is.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        loop {
            let _ = rustix::event::poll(&mut [], None);
        }
    };
    let file = |name: &str| format!("/proc/{}/{name}", child.pid.as_raw_pid());
    let made = std::fs::write(file("gid_map"), format!("{} {} 1", inside.1, outside.1))
        .and_then(|()| std::fs::write(file("uid_map"), format!("{} {} 1", inside.0, outside.0)))
        .and_then(|()| std::fs::File::open(file("ns/user")));
    child.end();
    Ok(made?.into())
}

/// Switches the loopback interface of this network namespace on.
pub(crate) fn raise_loopback() -> io::Result<()> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    // SAFETY: zeroes are a valid ifreq, its name ends in one, and the kernel only reads it.
    let done = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = libc::IFF_UP as i16;
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the group that this process is in the root of all groups that it sees.
pub(crate) fn leave_groups() -> io::Result<()> {
    // SAFETY: the flag changes nothing but the view of control groups, which no code here rests on.
    let done = unsafe { libc::unshare(libc::CLONE_NEWCGROUP) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Which version of Landlock the kernel has.
///
/// # Errors
/// `ENOSYS` where it was built without, `EOPNOTSUPP` where it was switched off when it was booted.
pub(crate) fn landlock_version() -> io::Result<u32> {
    const ASK_FOR_VERSION: libc::c_uint = 1;
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the call reads nothing and only answers.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, ASK_FOR_VERSION) };
    u32::try_from(version).map_err(|_| io::Error::last_os_error())
}

/// Leaves the session keyring of whoever started us for a new, empty one.
pub(crate) fn leave_keyring() {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring; the call reads nothing else. Kernels without keyrings refuse.
    unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
}

/// How a raw status of [`await_child`] reads.
pub(crate) fn exit_from_raw(status: i32) -> Exit {
    exit_of(status)
}

/// Kills everything else in this process namespace. Whether there was anything.
pub(crate) fn kill_all() -> bool {
    // SAFETY: kill has no preconditions; the first process of a namespace reaches nothing outside it.
    unsafe { libc::kill(-1, libc::SIGKILL) == 0 }
}

/// Closes every descriptor from 3 upwards but these.
pub(crate) fn close_all_but(kept: &[BorrowedFd<'_>]) {
    let mut kept: Vec<u32> = kept.iter().filter_map(|fd| u32::try_from(fd.as_raw_fd()).ok()).collect();
    kept.sort_unstable();
    let mut from = 3;
    for end in kept.into_iter().chain([u32::MAX]) {
        if end > from {
            let to = if end == u32::MAX { end } else { end - 1 };
            // SAFETY: called in a fork that ends without running a destructor, so nobody closes or uses any of them later.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0_u32) };
        }
        from = end.saturating_add(1);
    }
}

/// Lets go of every descriptor from 3 upwards when this process becomes a program.
pub(crate) fn close_all_on_exec() {
    // SAFETY: it closes nothing now, so every owner keeps what it owns.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}
