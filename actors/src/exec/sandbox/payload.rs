//! The job itself, up to the moment at which its program begins: streams, limits, folder, no rights, the filter.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::belt;
use super::bring::Guest;
use super::filter::Filters;
use super::spawn::Streams;
use super::stamps::{Stamps, Step};
use super::{Fault, Room, Stage};
use crate::exec::sys;
use crate::model::{CommandLine, InputFile};

/// How much rather than anything else a job is killed where memory is short; of 1000.
const FIRST_TO_GO: &str = "500";
const CORE_BYTES: u64 = 0;
const LOCKED_BYTES: u64 = 64 << 10;

/// What is to be executed, in the words of the kernel: made before the fork, so that it cannot fail after it.
#[derive(Debug)]
pub(crate) struct Order<'plan> {
    programs: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    pub(super) folder: CString,
    /// What the job takes for the name of its machine.
    pub(super) hostname: String,
    /// What of the host is brought in, each with its tree where it had to be fetched from outside.
    pub(super) guests: Vec<(Guest, Option<OwnedFd>)>,
    /// What is written into its folder first.
    pub(super) files: &'plan [InputFile],
    /// Whether the keeper gets hold of that folder, for what is kept of it.
    pub(super) hands_over: bool,
}

impl<'plan> Order<'plan> {
    /// None when a word contains a NUL byte, or there is no word.
    pub(crate) fn new(
        command: &CommandLine,
        env: &[(&str, &str)],
        folder: &str,
        hostname: String,
        guests: Vec<(Guest, Option<OwnedFd>)>,
        files: &'plan [InputFile],
    ) -> Option<Self> {
        let word = |text: &str| CString::new(text).ok();
        let argv: Vec<&str> = match command {
            CommandLine::Shell(line) => vec!["/bin/sh", "-c", line],
            CommandLine::Argv(argv) => argv.iter().map(String::as_str).collect(),
        };
        let program = *argv.first()?;
        let path =
            env.iter().find(|(name, _)| *name == "PATH").map_or(crate::exec::env::DEFAULT_PATH, |it| it.1);
        let programs: Option<Vec<_>> = match program {
            "" => return None,
            _ if program.contains('/') => Some(vec![word(program)?]),
            _ => path
                .split(':')
                .map(|place| word(&format!("{}/{program}", if place.is_empty() { "." } else { place })))
                .collect(),
        };
        Some(Self {
            programs: programs?,
            argv: argv.into_iter().map(word).collect::<Option<_>>()?,
            env: env.iter().map(|(name, value)| word(&format!("{name}={value}"))).collect::<Option<_>>()?,
            folder: word(folder)?,
            hostname,
            guests,
            files,
            hands_over: false,
        })
    }

    /// The same; whether the keeper gets hold of the room's folder.
    pub(crate) fn handing_over(self, hands_over: bool) -> Self {
        Self { hands_over, ..self }
    }
}

/// Becomes the job's program, or says why not.
pub(super) fn become_job(
    room: &Room,
    order: &Order,
    filters: &Filters,
    streams: &Streams,
    stamps: &Stamps,
) -> Result<Infallible, Fault> {
    stamps.mark(Step::Fork);
    let limits = Fault::of(Stage::Limits);
    rustix::process::setsid().map_err(&limits)?;
    take_streams(streams).map_err(&limits)?;
    sys::close_all_on_exec();
    limit_all(room).map_err(&limits)?;
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    rustix::process::chdir(&order.folder).map_err(Fault::of(Stage::Folder))?;
    stamps.mark(Step::Limits);
    if room.has_landlock {
        let own = ["/job", "/tmp", "/dev/shm"].into_iter();
        let guests =
            order.guests.iter().filter(|(guest, _)| !guest.read_only).map(|(guest, _)| guest.path.as_str());
        belt::fasten(own.chain(guests)).map_err(|errno| Fault::new(Stage::Landlock, errno))?;
    }
    stamps.mark(Step::Landlock);
    filters.apply().map_err(|()| Fault::new(Stage::Filter, libc::EINVAL))?;
    stamps.mark(Step::Filter);
    Err(Fault::of(Stage::Exec)(execute(order)))
}

/// As `execvp` does: the first program that is there, and what was wrong with one that may not be executed.
pub(super) fn execute(order: &Order) -> Errno {
    let mut refused = None;
    for program in &order.programs {
        let error = sys::execve(program, &order.argv, &order.env);
        match Errno::from_io_error(&error).unwrap_or(Errno::IO) {
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => refused = Some(Errno::ACCESS),
            other => return other,
        }
    }
    refused.unwrap_or(Errno::NOENT)
}

/// Lets this process, and what it starts, be killed before anything else where memory is short. It must be dumpable: nobody
/// else may write to its files.
pub(super) fn go_first() {
    let _ = std::fs::write("/proc/self/oom_score_adj", FIRST_TO_GO);
}

/// What this process and what it starts may use, each for itself or as a user.
pub(super) fn limit_all(room: &Room) -> rustix::io::Result<()> {
    let limits = [
        (Resource::Core, Some(CORE_BYTES)),
        (Resource::Nofile, Some(room.open_files)),
        (Resource::Nproc, room.processes),
        (Resource::Memlock, Some(LOCKED_BYTES)),
        (Resource::As, room.address_bytes),
    ];
    limits.into_iter().try_for_each(|(what, most)| most.map_or(Ok(()), |most| limit(what, most)))
}

/// A limit, as low as asked for and no higher than we have it.
fn limit(what: Resource, most: u64) -> rustix::io::Result<()> {
    let hard = rustix::process::getrlimit(what).maximum.map_or(most, |had| had.min(most));
    setrlimit(what, Rlimit { current: Some(hard), maximum: Some(hard) })
}

pub(super) fn take_streams(streams: &Streams) -> rustix::io::Result<()> {
    match &streams.stdin {
        Some(stdin) => rustix::stdio::dup2_stdin(stdin)?,
        None => rustix::stdio::dup2_stdin(&rustix::fs::open("/dev/null", OFlags::RDONLY, Mode::empty())?)?,
    }
    rustix::stdio::dup2_stdout(&streams.stdout)?;
    rustix::stdio::dup2_stderr(&streams.stderr)
}
