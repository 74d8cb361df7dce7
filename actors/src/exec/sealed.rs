//! The program of a node's keepers: a copy in memory that nobody can change any more, so that neither a job that gets
//! hold of `/proc/PID/exe` nor an upgrade of the file changes what the next keeper is. It knows no slots.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::entry::KEEPER_ARGUMENT;
use super::keeper::EXIT_MISUSED;

/// Longest that the copy may take to start and to say that nobody has given it a lifeline, in seconds.
const TRIAL_SECONDS: i64 = 5;
/// What programs begin with; a script could not be read by its interpreter from here.
const MAGIC: &[u8; 4] = b"\x7fELF";

/// What is started as keeper.
#[derive(Clone, Debug)]
pub(crate) struct KeeperProgram {
    path: PathBuf,
    copy: Result<Arc<OwnedFd>, String>,
}

impl KeeperProgram {
    /// Copies the program, tries whether the copy starts, and stays with the file where it does not. It blocks.
    pub(crate) fn seal(path: &Path) -> Self {
        let copy = copy_of(path).map(Arc::new).map_err(|error| error.to_string());
        let sealed = Self { path: path.to_owned(), copy };
        match sealed.copy.is_ok().then(|| sealed.try_out()) {
            None | Some(Ok(())) => sealed,
            Some(Err(error)) => Self { copy: Err(error.to_string()), ..sealed },
        }
    }

    /// The file itself.
    pub(crate) fn of_file(path: PathBuf, why: String) -> Self {
        Self { path, copy: Err(why) }
    }

    /// Why keepers are started from the file, if they are.
    pub(crate) fn why_not_sealed(&self) -> Option<&str> {
        self.copy.as_ref().err().map(String::as_str)
    }

    /// Starts it. It sees nothing of our environment and none of our descriptors but its lifeline and our standard
    /// error.
    pub(crate) fn start(&self, lifeline: OwnedFd) -> io::Result<Child> {
        self.command().stdin(Stdio::from(lifeline)).spawn()
    }

    fn command(&self) -> Command {
        // The copy is closed when a program is executed, and the kernel has opened it by then.
        let mut command = match &self.copy {
            Ok(copy) => Command::new(format!("/proc/self/fd/{}", copy.as_raw_fd())),
            Err(_) => Command::new(&self.path),
        };
        command.arg0(&self.path).arg(KEEPER_ARGUMENT).env_clear().stdout(Stdio::null());
        command
    }

    /// A keeper without a lifeline ends at once, with a word of its own.
    fn try_out(&self) -> io::Result<()> {
        let mut child = self.command().stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let _ = wait_for(&child, TRIAL_SECONDS);
        let _ = child.kill();
        match child.wait()?.code() {
            Some(EXIT_MISUSED) => Ok(()),
            _ => Err(io::Error::other("a copy in memory does not start as the file does")),
        }
    }
}

fn wait_for(child: &Child, seconds: i64) -> Result<(), Errno> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let patience = Timespec { tv_sec: seconds, tv_nsec: 0 };
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&patience)).map(drop)
}

fn copy_of(path: &Path) -> io::Result<OwnedFd> {
    let mut file = File::open(path)?;
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic)?;
    if &magic != MAGIC {
        return Err(io::Error::other("only a program can be started from memory, and this is a script"));
    }
    file.rewind()?;
    let mut copy = File::from(anonymous()?);
    io::copy(&mut file, &mut copy)?;
    let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    fcntl_add_seals(&copy, all)?;
    Ok(copy.into())
}

/// Kernels from 6.3 on want to be told that it is to be executed, older ones know no such word.
fn anonymous() -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create("callboard", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => memfd_create("callboard", flags),
        made => made,
    }
}
