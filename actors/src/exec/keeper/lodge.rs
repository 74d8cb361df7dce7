//! Starting a job in a room of its own: pipes, the order to its first process, and a clear word when that fails.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::launch::{Blame, FarEnds, Launched, SpawnFailure, refused, unstoppable};
use crate::exec::cgroup::Group;
use crate::exec::frame::{Plan, Setup};
use crate::exec::sandbox::{Fault, Guest, HOME, Order, Pipes, Stage, enter, fetch_as, guests, is_there};
use crate::model::mounts::Barred;
use crate::model::{CommandLine, InputMode};

/// Makes the plan's room and starts its process there, in its control group where it has one.
pub(crate) fn lodge(plan: &Plan, setup: &Setup, group: Option<&Group>) -> Result<Launched, SpawnFailure> {
    let room = &setup.room_of(plan);
    let folder = plan.cwd.as_deref().unwrap_or(HOME);
    let guests = invite(plan, setup, folder)?;
    let paths: Vec<String> = guests.iter().map(|(guest, _)| guest.path.clone()).collect();
    let order = Order::new(&plan.command, &plan.environment(), folder, hostname(plan), guests, &plan.files)
        .ok_or_else(|| refused("an empty command, or a NUL byte in it".into(), 127))?;
    let order = order.handing_over(!plan.artifacts.is_empty());
    let pipes = Pipes::new(plan.input != InputMode::Null)
        .map_err(|error| refused(format!("no pipe can be made: {error}"), 126))?;
    let (inmate, pipes) =
        enter(room, &order, pipes, group).map_err(|fault| explain(fault, plan, folder, &paths))?;
    unstoppable(&[Some(&pipes.stdout), Some(&pipes.stderr), pipes.stdin.as_ref()])
        .map_err(|error| refused(format!("the job's process could not be watched: {error}"), 126))?;
    Ok(Launched {
        pid: inmate.pid,
        pidfd: inmate.pidfd,
        stdin: pipes.stdin,
        stdout: pipes.stdout,
        stderr: pipes.stderr,
        far_ends: FarEnds::Pipes([pipes.theirs.stdout, pipes.theirs.stderr]),
        last_words: Some(inmate.last_words),
        steps: inmate.steps,
        folder: inmate.folder,
        home: None,
    })
}

/// The job's own: short enough to read, long enough to tell two of them apart.
fn hostname(plan: &Plan) -> String {
    let id = plan.attempt.job.to_string();
    format!("job-{}", id.rsplit('-').next().unwrap_or_default())
}

pub(super) fn explain(fault: Fault, plan: &Plan, folder: &str, guests: &[String]) -> SpawnFailure {
    let errno = Errno::from_raw_os_error(fault.errno);
    let program = match &plan.command {
        CommandLine::Shell(_) => "/bin/sh",
        CommandLine::Argv(argv) => argv.first().map_or("", String::as_str),
    };
    match (fault.stage, errno) {
        (Stage::Exec, Errno::NOENT) => refused(
            format!("`{program}` was not found in the job's room, or the interpreter that it names"),
            127,
        ),
        (Stage::Exec, Errno::ACCESS) => refused(format!("`{program}` may not be executed"), 126),
        (Stage::Exec, Errno::NOEXEC) => refused(
            format!("`{program}` is not a program: does it lack a `#!` line, or is it for another machine?"),
            126,
        ),
        (Stage::Exec, Errno::TOOBIG) => {
            refused("the arguments and the environment are longer than the kernel takes".into(), 126)
        }
        (Stage::Exec, _) => refused(format!("`{program}` could not be started: {errno}"), 126),
        (Stage::Folder, _) => refused(not_here(folder, errno), 126),
        (Stage::Files, Errno::NOSPC) => refused(
            "the files that come with the job do not fit into its folder: raise --disk (limit disk_bytes)"
                .into(),
            126,
        ),
        (Stage::Files, _) => {
            let path = plan.files.get(usize::from(fault.which)).map_or("", |file| file.path.as_str());
            refused(format!("the job's file `{path}` cannot be written: {errno}"), 126)
        }
        (Stage::Guests, _) => {
            let path = guests.get(usize::from(fault.which)).map_or("", String::as_str);
            refused(uninvited(path, errno), 126)
        }
        _ => SpawnFailure {
            message: format!("the job's room could not be made: {fault}"),
            blame: Blame::Room(fault.stage),
        },
    }
}

/// What of the host comes along. Root fetches it here, because only the host's root may show it as another's.
fn invite(plan: &Plan, setup: &Setup, folder: &str) -> Result<Vec<(Guest, Option<OwnedFd>)>, SpawnFailure> {
    let guests = guests(&plan.mounts, folder, &setup.allow_mounts).map_err(barred)?;
    let is_root = rustix::process::geteuid().is_root();
    let fetch = |guest: Guest| match is_root.then(|| fetch_as(&guest, setup.room.outer)) {
        None => Ok((guest, None)),
        Some(Ok(tree)) => Ok((guest, Some(tree))),
        Some(Err(errno)) => Err(refused(uninvited(&guest.path, errno), 126)),
    };
    guests.into_iter().map(fetch).collect()
}

pub(super) fn barred(barred: Barred) -> SpawnFailure {
    SpawnFailure { message: barred.to_string(), blame: Blame::Node(None) }
}

pub(super) fn not_here(folder: &str, errno: Errno) -> String {
    let why = match (errno, is_there(folder)) {
        (Errno::NOENT, true) => {
            "it is not in the job's room: `--allow-mount` lets the node bring it in (setting runner.allow_mounts), \
             `--cwd /job` starts in the room's own folder"
        }
        (Errno::NOENT, false) => "it does not exist on the runner",
        (Errno::ACCESS, _) => "the job's user may not enter it",
        _ => return format!("the folder `{folder}` (cwd) cannot be entered: {errno}"),
    };
    format!("the folder `{folder}` (cwd) cannot be entered: {why}")
}

pub(super) fn uninvited(path: &str, errno: Errno) -> String {
    let why = match errno {
        Errno::NOENT => "it does not exist on the runner".into(),
        Errno::LOOP => "there is a symbolic link on the way: name the place that it leads to".into(),
        Errno::ACCESS | Errno::PERM => "the node's user may not open it".into(),
        Errno::OPNOTSUPP => "only folders and files can be brought in".into(),
        Errno::INVAL => {
            "its file system cannot show it as the job's: ask for it read-only (`:ro`), or run the node as \
                         the folder's owner"
                .into()
        }
        errno => errno.to_string(),
    };
    format!("`{path}` cannot be brought into the job's room: {why}")
}
