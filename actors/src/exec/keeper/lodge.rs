//! Starting a job in a room of its own: pipes, the order to its first process, and a clear word when that fails.

use rustix::io::Errno;

use super::launch::{Blame, FarEnds, Launched, SpawnFailure, refused, unstoppable};
use crate::exec::cgroup::Group;
use crate::exec::frame::Plan;
use crate::exec::sandbox::{Fault, HOME, Order, Pipes, Room, Stage, enter};
use crate::model::{CommandLine, InputMode};

/// Makes the plan's room and starts its process there, in its control group where it has one.
pub(crate) fn lodge(plan: &Plan, room: &Room, group: Option<&Group>) -> Result<Launched, SpawnFailure> {
    let open = plan.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    // A later one of two variables of the same name would win, so the secret ones come last.
    let env = open.filter(|(name, _)| !plan.secret_env.iter().any(|(secret, _)| secret == *name));
    let env: Vec<_> = env.chain(plan.secret_env.iter()).collect();
    let folder = plan.cwd.as_deref().unwrap_or(HOME);
    let order = Order::new(&plan.command, &env, folder, hostname(plan))
        .ok_or_else(|| refused("an empty command, or a NUL byte in it".into(), 127))?;
    let pipes = Pipes::new(plan.input != InputMode::Null)
        .map_err(|error| refused(format!("no pipe can be made: {error}"), 126))?;
    let join = |pid| match group {
        Some(group) => group.take(pid).map_err(|error| Fault::groups(error.errno())),
        None => Ok(()),
    };
    let (inmate, pipes) = enter(room, &order, pipes, join).map_err(|fault| explain(fault, plan, folder))?;
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
    })
}

/// The job's own: short enough to read, long enough to tell two of them apart.
fn hostname(plan: &Plan) -> String {
    let id = plan.attempt.job.to_string();
    format!("job-{}", id.rsplit('-').next().unwrap_or_default())
}

fn explain(fault: Fault, plan: &Plan, folder: &str) -> SpawnFailure {
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
        (Stage::Folder, _) => refused(
            format!(
                "the folder `{folder}` (cwd) is not in the job's room ({errno}): a sandboxed job has {HOME}, /tmp and \
                 the host's programs; leave cwd out, or ask for isolation `none`"
            ),
            126,
        ),
        _ => {
            SpawnFailure { message: format!("the job's room could not be made: {fault}"), blame: Blame::Room }
        }
    }
}
