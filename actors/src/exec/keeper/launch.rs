//! Starting a job's process: its program, folder, environment and pipes, and a clear word when that fails.
//! Unless jobs run as another user this is std's posix_spawn path: nothing here may ask std for a fork.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::lodge::lodge;
use super::shelter::shelter;
use crate::exec::cgroup::Group;
use crate::exec::frame::{Plan, Setup};
use crate::exec::home::Home;
use crate::exec::sandbox::{LastWords, Stage, Stamp};
use crate::model::{AttemptEnd, CommandLine, Confinement, InputMode};

/// A process that was started, with our ends of its pipes, which never block.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) far_ends: FarEnds,
    /// How the job left, when that is told by somebody else than its own process.
    pub(crate) last_words: Option<LastWords>,
    /// When each step of making its room was done, where that was asked for.
    pub(crate) steps: Vec<Stamp>,
    /// The job's own folder, where something of it is wanted.
    pub(crate) folder: Option<OwnedFd>,
    /// The folders of a job that is confined without a room.
    pub(crate) home: Option<Home>,
}

/// The job's ends of its output pipes, held open by us too: without them its end would wake us three times, once for
/// each pipe that hangs up and once for the process. Dropped before the pipes are read to their ends.
#[derive(Debug)]
#[allow(dead_code, reason = "they are held, not used")]
pub(crate) enum FarEnds {
    OfCommand(Box<Command>),
    Pipes([OwnedFd; 2]),
}

/// Why nothing was started.
#[derive(Debug)]
pub(crate) struct SpawnFailure {
    pub(crate) message: String,
    pub(crate) blame: Blame,
}

impl SpawnFailure {
    /// The end of an attempt that came to nothing so.
    pub(crate) fn into_end(self) -> AttemptEnd {
        let message = self.message;
        match self.blame {
            Blame::Program(shell_code) => AttemptEnd::SpawnError { message, shell_code },
            Blame::Room(stage) => AttemptEnd::SandboxError { message, stage },
            Blame::Node(layer) => {
                let missing = layer.into_iter().map(str::to_owned).collect();
                AttemptEnd::Unavailable { message, missing }
            }
        }
    }
}

/// Whose fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The program's; with what a shell would exit with.
    Program(i32),
    /// Its room could not be made; at which step.
    Room(Stage),
    /// The node's, which cannot give what was asked for; and the layer that is missing, if it is one.
    Node(Option<&'static str>),
}

pub(crate) fn refused(message: String, shell_code: i32) -> SpawnFailure {
    SpawnFailure { message, blame: Blame::Program(shell_code) }
}

/// Where jobs without input read from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NullInput {
    /// Our own descriptor 0 is `/dev/null`: inheriting it costs nothing.
    Inherit,
    /// It has to be opened.
    Open,
}

/// Starts the plan's process, in a room of its own or in a process group of its own, and in its control group where it
/// has one.
pub(crate) fn launch(
    plan: &Plan,
    setup: &Setup,
    null_input: NullInput,
    group: Option<&Group>,
) -> Result<Launched, SpawnFailure> {
    match (plan.confinement, null_input) {
        (Confinement::Plain, _) => {}
        (Confinement::Room, NullInput::Inherit) => return lodge(plan, setup, group),
        (Confinement::Lite, NullInput::Inherit) => return shelter(plan, setup, group),
        (Confinement::Room | Confinement::Lite, NullInput::Open) => {
            return Err(SpawnFailure {
                message: "jobs are confined by keeper processes, and this node has none".into(),
                blame: Blame::Room(Stage::Keeper),
            });
        }
    }
    if !plan.mounts.is_empty() || !plan.files.is_empty() || !plan.artifacts.is_empty() {
        let message = "a plain process sees the host as it is and has neither mounts nor files nor artifacts: ask for \
                       isolation `sandbox`";
        return Err(SpawnFailure { message: message.into(), blame: Blame::Node(None) });
    }
    let folder = match &plan.cwd {
        Some(cwd) => PathBuf::from(cwd),
        None => setup.default_cwd.to_path(),
    };
    let order = Order { plan, folder: &folder, run_as: setup.other_user(), null_input };
    let child = match group {
        None => order.spawn()?,
        Some(group) => group.enter_for(|| order.spawn()).map_err(|error| SpawnFailure {
            message: format!("the job's control group could not be entered: {error}"),
            blame: Blame::Room(Stage::Groups),
        })??,
    };
    adopt(child).map_err(|error| refused(format!("the job's process could not be watched: {error}"), 126))
}

struct Order<'a> {
    plan: &'a Plan,
    folder: &'a Path,
    run_as: Option<(u32, u32)>,
    null_input: NullInput,
}

impl Order<'_> {
    fn spawn(&self) -> Result<Spawned, SpawnFailure> {
        match &self.plan.command {
            CommandLine::Shell(line) => self
                .try_spawn("/bin/sh".as_ref(), "/bin/sh", &["-c", line])
                .map_err(|error| self.explain(&error, "/bin/sh")),
            CommandLine::Argv(argv) => {
                let Some((program, args)) = argv.split_first() else {
                    return Err(not_found("an empty command".into()));
                };
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                self.search(program, &args)
            }
        }
    }

    /// Tries the program in each folder of the job's `PATH`, as `execvp` would.
    fn search(&self, program: &str, args: &[&str]) -> Result<Spawned, SpawnFailure> {
        let mut refused = None;
        for candidate in candidates(program, self.job_path(), self.folder) {
            match self.try_spawn(&candidate, program, args) {
                Ok(child) => return Ok(child),
                Err(error) if is_errno(&error, Errno::ACCESS) => refused = Some(error),
                Err(error) => return Err(self.explain(&error, program)),
            }
        }
        Err(match refused {
            Some(error) => self.explain(&error, program),
            None => {
                self.folder_fault().unwrap_or_else(|| not_found(format!("`{program}` was not found in PATH")))
            }
        })
    }

    fn job_path(&self) -> &str {
        let open = self.plan.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut env = self.plan.secret_env.iter().chain(open);
        env.find(|(name, _)| *name == "PATH").map_or(crate::exec::env::DEFAULT_PATH, |(_, value)| value)
    }

    fn try_spawn(&self, program: &Path, name: &str, args: &[&str]) -> io::Result<Spawned> {
        let (stdout, their_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, their_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut command = Command::new(program);
        command
            .arg0(name)
            .args(args)
            .env_clear()
            .envs(self.plan.env.iter().map(|(name, value)| (name, value)))
            .envs(self.plan.secret_env.iter())
            .current_dir(self.folder)
            .process_group(0)
            .stdin(match (&self.plan.input, self.null_input) {
                (InputMode::Null, NullInput::Inherit) => Stdio::inherit(),
                (InputMode::Null, NullInput::Open) => Stdio::null(),
                _ => Stdio::piped(),
            })
            .stdout(Stdio::from(their_stdout))
            .stderr(Stdio::from(their_stderr));
        if let Some((uid, gid)) = self.run_as {
            // std drops the supplementary groups when it changes the user.
            command.gid(gid).uid(uid);
        }
        let child = command.spawn()?;
        Ok(Spawned { child, stdout, stderr, far_ends: FarEnds::OfCommand(Box::new(command)) })
    }

    fn explain(&self, error: &io::Error, program: &str) -> SpawnFailure {
        let errno = Errno::from_io_error(error);
        if matches!(errno, Some(Errno::ACCESS | Errno::NOENT | Errno::NOTDIR))
            && let Some(fault) = self.folder_fault()
        {
            return fault;
        }
        let refused = |message: String| refused(message, 126);
        match errno {
            Some(Errno::NOENT) => {
                not_found(format!("`{program}` was not found, or the interpreter that it names was not"))
            }
            Some(Errno::NOTDIR) => not_found(format!("`{program}` was not found")),
            Some(Errno::ACCESS) => refused(format!("`{program}` may not be executed")),
            Some(Errno::NOEXEC) => refused(format!(
                "`{program}` is not a program: does it lack a `#!` line, or is it for another machine?"
            )),
            Some(Errno::TOOBIG) => {
                refused("the arguments and the environment are longer than the kernel takes".into())
            }
            Some(Errno::PERM) if self.run_as.is_some() => refused(format!(
                "the runner may not start jobs as user {} (setting `runner.user`, flag `--user`): {error}",
                self.run_as.map_or(0, |(uid, _)| uid)
            )),
            Some(Errno::AGAIN) => {
                refused("no more processes may be started (limit on processes reached)".into())
            }
            _ => refused(format!("`{program}` could not be started: {error}")),
        }
    }

    /// What is wrong with the folder, if anything is. Asked by starting a program that does not exist: only when
    /// the folder can be entered, as the job's own user, does the kernel get as far as missing the program.
    fn folder_fault(&self) -> Option<SpawnFailure> {
        let probe = Path::new("/proc/self/no-such-program");
        let error = self.try_spawn(probe, "probe", &[]).err()?;
        let shown = self.folder.display();
        let message = match Errno::from_io_error(&error)? {
            Errno::NOENT if self.folder.is_dir() => return None,
            Errno::NOENT => format!("the folder `{shown}` (cwd) does not exist on the runner"),
            Errno::NOTDIR => format!("`{shown}` (cwd) is not a folder"),
            Errno::ACCESS => format!(
                "the folder `{shown}` (cwd) cannot be entered by user {}: choose another folder (--cwd), or let jobs run as another user (setting `runner.user`, `serve --user`)",
                self.user()
            ),
            _ => return None,
        };
        Some(refused(message, 126))
    }

    fn user(&self) -> u32 {
        let me = || rustix::process::geteuid().as_raw();
        self.run_as.map_or_else(me, |(uid, _)| uid)
    }
}

fn not_found(message: String) -> SpawnFailure {
    refused(message, 127)
}

fn is_errno(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// Existing files that a name may mean, in order. A name with a slash means itself.
fn candidates(program: &str, path: &str, folder: &Path) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![program.into()];
    }
    if program.is_empty() {
        return Vec::new();
    }
    path.split(':')
        .map(|place| folder.join(place).join(program))
        .filter(|candidate| candidate.is_file())
        .collect()
}

/// What std started, and our ends of its output.
struct Spawned {
    child: Child,
    stdout: OwnedFd,
    stderr: OwnedFd,
    far_ends: FarEnds,
}

/// Turns std's child into bare descriptors. Its exit is awaited by pidfd, its reaping done by wait4.
fn adopt(spawned: Spawned) -> io::Result<Launched> {
    let Spawned { mut child, stdout, stderr, far_ends } = spawned;
    let raw = i32::try_from(child.id()).unwrap_or(0);
    let pid = Pid::from_raw(raw).ok_or(io::ErrorKind::InvalidData)?;
    let stdin = child.stdin.take().map(OwnedFd::from);
    match watch(pid, &[Some(&stdout), Some(&stderr), stdin.as_ref()]) {
        Ok(pidfd) => {
            let (last_words, steps, folder, home) = (None, Vec::new(), None, None);
            Ok(Launched { pid, pidfd, stdin, stdout, stderr, far_ends, last_words, steps, folder, home })
        }
        Err(error) => {
            let _ = kill_process(pid, Signal::KILL);
            let _ = child.wait();
            Err(error)
        }
    }
}

fn watch(pid: Pid, ends: &[Option<&OwnedFd>]) -> io::Result<OwnedFd> {
    unstoppable(ends)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// A job can open its own end for reading and steal what poll promised us: our ends must never block.
pub(crate) fn unstoppable(ends: &[Option<&OwnedFd>]) -> io::Result<()> {
    for end in ends.iter().flatten() {
        rustix::fs::fcntl_setfl(end, rustix::fs::OFlags::NONBLOCK)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_in_the_jobs_path_and_a_path_is_taken_as_it_is() {
        let here = Path::new("/");
        assert_eq!(candidates("./x", "/bin", here), [PathBuf::from("./x")]);
        assert_eq!(candidates("sh", "/nowhere:bin", here), [PathBuf::from("/bin/sh")]);
        assert!(candidates("sh", "/nowhere", here).is_empty());
        assert!(candidates("", "/bin", here).is_empty());
    }
}
