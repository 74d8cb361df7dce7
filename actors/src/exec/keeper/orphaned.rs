//! A keeper whose node is gone while its job may go on: it opens a door in the node's folder and waits there for the
//! node's next life. It knows how both recognize each other, and nothing of jobs.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// What both sides must be to understand each other's frames. Whoever changes a frame changes the number.
const GREETING: &str = concat!("callboard keeper ", env!("CARGO_PKG_VERSION"), " frames 1\n");
/// Longest greeting of another version, in bytes.
const GREETING_BYTES: u64 = 128;
/// The node's answer to a greeting that it understands, and to one that it does not.
const ADOPT: u8 = b'A';
const END: u8 = b'E';
/// Longest silence of a keeper that is greeted: it may be busy with its job.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest silence of whoever comes to its door: meanwhile nobody looks after the job.
const CALLER_PATIENCE: Duration = Duration::from_millis(200);
/// Time between two looks for a keeper that does not answer.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The door of one keeper.
#[derive(Debug)]
pub(super) struct Door {
    listener: UnixListener,
    path: PathBuf,
}

/// Who came.
#[derive(Debug)]
pub(super) enum Caller {
    /// The node's next life, and the conversation with it.
    Node(OwnedFd),
    /// A node that does not know this keeper's language, and wants its job to end.
    Stranger,
    /// Nobody who matters.
    Nobody,
}

impl Door {
    /// Opens the door at `path`, for this user only.
    pub fn open(path: &Path) -> io::Result<Self> {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(short(path)?.1)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// What is ready when somebody is at the door.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Lets in who is at the door.
    pub fn answer(&self) -> Caller {
        let Ok((mut caller, _)) = self.listener.accept() else { return Caller::Nobody };
        let uid = rustix::process::geteuid();
        let who = rustix::net::sockopt::socket_peercred(&caller);
        let is_ours = who.is_ok_and(|who| who.uid == uid || who.uid.is_root());
        let mut said = [0];
        let asked = is_ours
            && caller.set_read_timeout(Some(CALLER_PATIENCE)).is_ok()
            && caller.write_all(GREETING.as_bytes()).is_ok()
            && caller.read_exact(&mut said).is_ok()
            && caller.set_read_timeout(None).is_ok();
        match said[0] {
            ADOPT if asked => Caller::Node(caller.into()),
            END if asked => Caller::Stranger,
            _ => Caller::Nobody,
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What a node finds at the door of a former life's keeper.
#[derive(Debug)]
pub(in crate::exec) enum Found {
    /// No door, or nobody behind it.
    Nothing,
    /// A keeper that waits, the conversation with it, and its process.
    Keeper(UnixStream, Option<i32>),
    /// A keeper whose job must not go on, or of a version whose frames are others: it was told to end its job.
    Other,
    /// A keeper that does not answer now.
    Silent,
}

/// Looks for a keeper at the door at `path`; `wanted` says whether its job may go on.
pub(in crate::exec) fn find(path: &Path, wanted: bool) -> Found {
    if !path.exists() {
        return Found::Nothing;
    }
    let connected = short(path).and_then(|(_, short)| UnixStream::connect(short));
    let mut stream = match connected {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            // Whoever opened it was killed.
            let _ = std::fs::remove_file(path);
            return Found::Nothing;
        }
        Err(_) => return Found::Silent,
    };
    let Ok(greeting) = greeting(&mut stream) else { return Found::Silent };
    let understood = greeting == GREETING.as_bytes();
    let adopted = understood && wanted;
    let answered = stream.write_all(&[if adopted { ADOPT } else { END }]);
    if !adopted {
        return Found::Other;
    }
    let pid = rustix::net::sockopt::socket_peercred(&stream).ok().map(|who| who.pid.as_raw_pid());
    let ready =
        answered.and_then(|()| stream.set_read_timeout(None)).and_then(|()| stream.set_nonblocking(true));
    if ready.is_ok() { Found::Keeper(stream, pid) } else { Found::Silent }
}

/// Whether somebody holds the lock of a slot.
pub(in crate::exec) fn is_held(lock_path: &Path) -> bool {
    use rustix::fs::{FlockOperation, flock};
    let lock = openat(CWD, lock_path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err())
}

/// Tells a keeper that does not answer to end its job, as soon as it does: its attempt counts as lost, and must not run
/// beside the next one for longer than can be helped. Returns when the slot's lock is free. It blocks.
pub(in crate::exec) fn end_when_heard(path: &Path, lock_path: &Path) {
    while is_held(lock_path) {
        let _ = find(path, false);
        #[allow(clippy::disallowed_methods, reason = "runs on a thread of its own")]
        std::thread::sleep(LOOK_EVERY);
    }
}

/// One line, and no byte of what follows.
fn greeting(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < GREETING_BYTES as usize && line.last() != Some(&b'\n') {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(line)
}

/// The same place by a name that is short enough for a socket's, for as long as the folder is held open.
fn short(path: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    use std::os::fd::AsRawFd;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = openat(CWD, folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    Ok((folder, short))
}
