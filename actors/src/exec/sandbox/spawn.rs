//! The keeper's side of a room: its first process, whose users it maps and whose end it can read.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Gid, Pid, Uid};

use super::stamps::{Stamp, Stamps, Step, collect};
use super::{Fault, INSIDE_ID, Order, Room, Stage, filter, handover, init};
use crate::exec::cgroup::{Doors, Group};
use crate::exec::sys;
use crate::model::Exit;

/// Every namespace but that of the network, which a job may share, and that of control groups, which comes after the
/// first process has been put into its group.
const NAMESPACES: i32 =
    libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;

/// Longest that making a room may take: then something holds it up, and its slot is wanted.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first process of a room, which waits for the job and takes everything with it when it goes.
#[derive(Debug)]
pub(crate) struct Inmate {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) last_words: LastWords,
    /// When each step was done, where that was asked for.
    pub(crate) steps: Vec<Stamp>,
    /// Its folder, where something of it is wanted.
    pub(crate) folder: Option<OwnedFd>,
}

/// How the job left, told by the first process of its room.
#[derive(Debug)]
pub(crate) struct LastWords(OwnedFd);

impl LastWords {
    /// The job's exit and how many processes outlived it; none when the first process was killed before it could tell.
    pub(crate) fn read(&self) -> Option<(Exit, u32)> {
        let mut words = [0; init::WORDS_BYTES];
        let got = rustix::io::read(&self.0, &mut words).ok()?;
        init::read_words(words.get(..got)?)
    }
}

/// The ends of a job's pipes: ours, and the job's own.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) theirs: Streams,
}

/// The job's own ends.
#[derive(Debug)]
pub(crate) struct Streams {
    /// None for no input.
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

impl Streams {
    /// Makes them the job's, so that it may open them by the names that they have in `/dev`.
    pub(super) fn give_to(&self, (user, group): (u32, u32)) -> Result<(), Errno> {
        if !rustix::process::geteuid().is_root() {
            return Ok(()); // The job is who we are.
        }
        let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        let all = [self.stdin.as_ref(), Some(&self.stdout), Some(&self.stderr)];
        all.into_iter().flatten().try_for_each(|pipe| rustix::fs::fchown(pipe, user, group))
    }
}

impl Pipes {
    /// Pipes for output, and for input when it is wanted.
    pub(crate) fn new(with_input: bool) -> Result<Self, Errno> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC);
        let (their_stdin, stdin) = match with_input {
            true => pipe().map(|(theirs, ours)| (Some(theirs), Some(ours)))?,
            false => (None, None),
        };
        let ((stdout, their_stdout), (stderr, their_stderr)) = (pipe()?, pipe()?);
        let theirs = Streams { stdin: their_stdin, stdout: their_stdout, stderr: their_stderr };
        Ok(Self { stdin, stdout, stderr, theirs })
    }
}

/// Makes a room and starts the job in it. When this returns, its program runs. The first process is in its
/// group, where its use is counted, before it does anything.
///
/// # Errors
/// [`Fault`]; then nothing of it is left.
pub(crate) fn enter(
    room: &Room,
    order: &Order,
    pipes: Pipes,
    group: Option<&Group>,
) -> Result<(Inmate, Pipes), Fault> {
    let (stamps, told) = Stamps::new(room.timed);
    let filters = filter::programs().ok_or(Fault::new(Stage::Filter, libc::EINVAL))?;
    pipes.theirs.give_to(room.outer).map_err(Fault::of(Stage::Ids))?;
    let (ours, theirs) = UnixStream::pair().map_err(Fault::at(Stage::Namespaces))?;
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(Fault::of(Stage::Namespaces));
    let (faults, their_faults) = pipe()?;
    let (last_words, their_words) = pipe()?;
    let doors = group.map(Group::doors).transpose().map_err(|error| Fault::groups(error.errno()))?;
    let (forked, must_be_taken) = fork(room, doors.as_ref());
    let Some(child) = forked.map_err(Fault::at(Stage::Namespaces))? else {
        // An end of ours that stayed open there would keep the job waiting for the end of its input.
        let Pipes { theirs: streams, stdin, stdout, stderr } = pipes;
        drop((ours, faults, last_words, stdin, stdout, stderr, told));
        let lines =
            init::Lines { keeper: theirs, faults: their_faults, last_words: their_words, doors, stamps };
        init::live(room, order, filters, streams, lines);
    };
    drop((theirs, their_faults, their_words, doors));
    let group = group.filter(|_| must_be_taken);
    let last_words = LastWords(last_words);
    match settle(room, child.pid, &ours, &faults, group).and_then(|()| take_folder(order, &ours)) {
        Ok(folder) => {
            stamps.mark(Step::Exec);
            let steps = collect(stamps, told);
            Ok((Inmate { pid: child.pid, pidfd: child.pidfd, last_words, steps, folder }, pipes))
        }
        Err(fault) => {
            child.end();
            Err(fault)
        }
    }
}

/// Starts the first process where it is counted, and says whether it is to be moved there because that could not be.
fn fork(room: &Room, doors: Option<&Doors>) -> (std::io::Result<Option<sys::Forked>>, bool) {
    let Some(unified) = doors.and_then(Doors::unified) else {
        return (sys::fork(namespaces(room)), false);
    };
    match sys::fork_into(namespaces(room), Some(unified)) {
        Ok(forked) => (Ok(forked), false),
        Err(_) => (sys::fork(namespaces(room)), true),
    }
}

fn namespaces(room: &Room) -> u64 {
    let network = if room.host_network { 0 } else { libc::CLONE_NEWNET };
    (NAMESPACES | network) as u64
}

/// Maps the users, lets the first process go on, and hears what became of it.
fn settle(
    room: &Room,
    pid: Pid,
    mut line: &UnixStream,
    faults: &OwnedFd,
    group: Option<&Group>,
) -> Result<(), Fault> {
    line.set_read_timeout(Some(PATIENCE)).map_err(Fault::at(Stage::Ids))?;
    let mut ready = [0];
    // It opens its files in /proc for us, which root does not need. When it is gone already, it has said why.
    if rustix::process::geteuid().is_root() || line.read_exact(&mut ready).is_ok() {
        map_users(room, pid).map_err(Fault::at(Stage::Ids))?;
        let taken = group.map_or(Ok(()), |group| group.take(pid));
        taken.map_err(|error| Fault::groups(error.errno()))?;
        let _ = line.write_all(&ready);
    }
    hear(faults)
}

/// The end of what tells of faults: the job's program runs; or the fault.
pub(super) fn hear(faults: &OwnedFd) -> Result<(), Fault> {
    let mut told = [PollFd::new(faults, PollFlags::IN)];
    let patience = Timespec::try_from(PATIENCE).ok();
    if matches!(poll(&mut told, patience.as_ref()), Ok(0)) {
        return Err(Fault::new(Stage::Silent, libc::ETIMEDOUT));
    }
    let mut words = [0; Fault::BYTES];
    loop {
        return match rustix::io::read(faults, &mut words) {
            Ok(0) => Ok(()),
            Ok(got) => Err(Fault::from_bytes(&words[..got]).unwrap_or(Fault::new(Stage::Silent, libc::EIO))),
            Err(Errno::INTR) => continue,
            Err(errno) => Err(Fault::of(Stage::Silent)(errno)),
        };
    }
}

/// The job's program runs, so its folder was handed over before.
fn take_folder(order: &Order, line: &UnixStream) -> Result<Option<OwnedFd>, Fault> {
    let taken = order.hands_over.then(|| handover::take(line)).transpose();
    taken.map_err(Fault::of(Stage::Files))
}

fn map_users(room: &Room, pid: Pid) -> std::io::Result<()> {
    let file = |name: &str| format!("/proc/{}/{name}", pid.as_raw_pid());
    let (user, group) = room.outer;
    if !rustix::process::geteuid().is_root() {
        // Whoever may not change groups must say that the room cannot, either.
        match std::fs::write(file("setgroups"), "deny") {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    std::fs::write(file("gid_map"), format!("{INSIDE_ID} {group} 1"))?;
    std::fs::write(file("uid_map"), format!("{INSIDE_ID} {user} 1"))
}
