//! Starting a job that is confined without a room: its folders, what of the host it may use, and a clear word when that
//! fails.

use std::path::Path;

use rustix::io::Errno;

use super::launch::{Blame, FarEnds, Launched, SpawnFailure, refused, unstoppable};
use super::lodge::{barred, explain, not_here, uninvited};
use crate::exec::cgroup::Group;
use crate::exec::frame::{Plan, Setup};
use crate::exec::home::Home;
use crate::exec::sandbox::{Fence, HOME, Order, Pipes, Stage, confine, find, guests};
use crate::model::{InputMode, mounts};

/// Makes the plan's folders and starts its process, confined, in its control group where it has one.
pub(crate) fn shelter(plan: &Plan, setup: &Setup, group: Option<&Group>) -> Result<Launched, SpawnFailure> {
    let user = setup.other_user();
    let home =
        Home::make(&setup.homes_dir.to_path(), &setup.group_name, user).map_err(|error| SpawnFailure {
            message: format!("the job's own folder could not be made: {error}"),
            blame: Blame::Room(Stage::Folder),
        })?;
    match start(plan, setup, group, &home) {
        Ok(launched) => Ok(Launched { home: Some(home), ..launched }),
        Err(failure) => {
            // What cannot be removed is told by the next job that needs the place.
            let _ = home.remove();
            Err(failure)
        }
    }
}

fn start(plan: &Plan, setup: &Setup, group: Option<&Group>, home: &Home) -> Result<Launched, SpawnFailure> {
    let room = &setup.room_of(plan);
    let (work, scratch) = (text(&home.work())?, text(&home.scratch())?);
    let folder = plan.cwd.as_deref().unwrap_or(HOME);
    let guests = guests(&plan.mounts, folder, &setup.allow_mounts).map_err(barred)?;
    let own = mounts::below(folder, HOME).map(|rest| format!("{work}/{rest}"));
    if own.is_none() && !guests.iter().any(|guest| mounts::below(folder, &guest.path).is_some()) {
        return Err(refused(not_here(folder, Errno::NOENT), 126));
    }
    let folder = own.unwrap_or_else(|| folder.to_owned());
    let found = guests.into_iter().map(|guest| match find(&guest) {
        Ok(place) => Ok((guest, place)),
        Err(errno) => Err(refused(uninvited(&guest.path, errno), 126)),
    });
    let guests = found.collect::<Result<Vec<_>, _>>()?;
    let paths: Vec<String> = guests.iter().map(|(guest, _)| guest.path.clone()).collect();
    let env = plan.environment();
    // Its home is where its files are, unless it says so itself.
    let env: Vec<_> = env
        .iter()
        .map(|(name, value)| (*name, if (*name, *value) == ("HOME", HOME) { work.as_str() } else { value }))
        .collect();
    let has_scratch = env.iter().any(|(name, _)| *name == "TMPDIR");
    let env: Vec<_> = env.into_iter().chain((!has_scratch).then_some(("TMPDIR", scratch.as_str()))).collect();
    let order = Order::new(&plan.command, &env, &folder, String::new(), Vec::new(), &plan.files)
        .ok_or_else(|| refused("an empty command, or a NUL byte in it".into(), 127))?;
    let pipes = Pipes::new(plan.input != InputMode::Null)
        .map_err(|error| refused(format!("no pipe can be made: {error}"), 126))?;
    let fence = Fence { room, user: setup.other_user(), home: &work, scratch: &scratch, guests };
    let (pid, pidfd, pipes) =
        confine(&fence, &order, pipes, group).map_err(|fault| explain(fault, plan, &folder, &paths))?;
    let watched = |error: &dyn std::fmt::Display| {
        refused(format!("the job's process could not be watched: {error}"), 126)
    };
    unstoppable(&[Some(&pipes.stdout), Some(&pipes.stderr), pipes.stdin.as_ref()])
        .map_err(|error| watched(&error))?;
    Ok(Launched {
        pid,
        pidfd,
        stdin: pipes.stdin,
        stdout: pipes.stdout,
        stderr: pipes.stderr,
        far_ends: FarEnds::Pipes([pipes.theirs.stdout, pipes.theirs.stderr]),
        last_words: None,
        steps: Vec::new(),
        folder: home.folder().ok(),
        home: None,
    })
}

/// Paths of ours are text wherever a node was given text.
fn text(path: &Path) -> Result<String, SpawnFailure> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        refused(
            format!("the folder for jobs, {}, is no text: choose another data folder", path.display()),
            126,
        )
    })
}
