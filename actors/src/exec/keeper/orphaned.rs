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
/// Longest silence in a greeting.
const PATIENCE: Duration = Duration::from_secs(2);

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
        let is_ours = rustix::net::sockopt::socket_peercred(&caller).is_ok_and(|who| who.uid == uid);
        let mut said = [0];
        let asked = is_ours
            && caller.set_read_timeout(Some(PATIENCE)).is_ok()
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
    /// A keeper of a version whose frames are others: it was told to end its job.
    Other,
}

/// Looks for a keeper at the door at `path`; `wanted` says whether its job may go on.
pub(in crate::exec) fn find(path: &Path, wanted: bool) -> Found {
    if !path.exists() {
        return Found::Nothing;
    }
    let Ok(mut stream) = short(path).and_then(|(_, short)| UnixStream::connect(short)) else {
        // Whoever opened it was killed.
        let _ = std::fs::remove_file(path);
        return Found::Nothing;
    };
    let Ok(greeting) = greeting(&mut stream) else { return Found::Nothing };
    let understood = greeting == GREETING.as_bytes();
    let adopted = understood && wanted;
    let answered = stream.write_all(&[if adopted { ADOPT } else { END }]);
    if !adopted {
        return Found::Other;
    }
    let pid = rustix::net::sockopt::socket_peercred(&stream).ok().map(|who| who.pid.as_raw_pid());
    let ready =
        answered.and_then(|()| stream.set_read_timeout(None)).and_then(|()| stream.set_nonblocking(true));
    if ready.is_ok() { Found::Keeper(stream, pid) } else { Found::Nothing }
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
