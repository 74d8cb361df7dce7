//! An actor that dies ends the server with a failure, and nothing that was accepted is lost.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Pid;

use crate::process::until;
use crate::server::{BINARY, Launch, copy_binary};
use crate::skip::missing;

const NOBODY: u32 = 65534;

/// A folder of the test's that any user can enter and `uid` can write.
pub fn folder_of(uid: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::process::getuid().is_root() {
        std::os::unix::fs::chown(folder.path(), Some(uid), Some(uid)).unwrap();
    }
    folder
}

/// The binary at a place where any user may run it.
pub fn binary_in(folder: &Path) -> PathBuf {
    if !rustix::process::getuid().is_root() {
        return BINARY.into();
    }
    let copy = folder.join("callboard");
    copy_binary(&copy);
    copy
}

/// An ordinary user: us, or nobody when we are root.
pub fn ordinary_user() -> u32 {
    let own = rustix::process::getuid();
    if own.is_root() { NOBODY } else { own.as_raw() }
}

/// No process of the user `uid` may be started by this one any more, nor a thread of it. Only an equal user may do so.
fn forbid_threads(pid: Pid, uid: u32) -> bool {
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--nproc=1:1", "--pid", &pid.as_raw_nonzero().to_string()]);
    if rustix::process::getuid().is_root() {
        prlimit.uid(uid).gid(uid);
    }
    prlimit.status().is_ok_and(|status| status.success())
}

#[test]
fn a_server_whose_runner_dies_exits_with_a_failure_and_its_jobs_run_after_the_next_start() {
    let uid = ordinary_user();
    let folder = folder_of(uid);
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let launch = Launch::over(&data)
        .user(uid, binary_in(folder.path()))
        .log_to(&log)
        .variable("CALLBOARD_OUTPUT_INLINE", "0");
    let mut server = launch.clone().start();
    let mark = folder.path().join("mark");
    let shown = mark.display();
    let line = format!("echo run; test -e {shown} || {{ touch {shown}; exec sleep 100; }}; echo done");
    let id = server.submit(&line);
    until("it runs", || mark.exists());
    // To read a file the Runner needs a helper thread; it has none yet, and where none can be started that panics. It
    // is the one way to make an actor of this binary die that is known; if it stops being one, another must be found.
    if !forbid_threads(server.pid(), uid) {
        return missing("a_server_whose_runner_dies", "prlimit", "the command prlimit cannot be run");
    }
    let path = format!("/v1/jobs/{id}/logs?stream=stdout");
    let answer = server.ask("GET", &path, None);
    assert!(answer.as_ref().is_none_or(|(status, _)| *status == 503), "{answer:?}");
    assert_eq!(server.exit_code(), Some(1));
    until("its keepers are gone", || server.keepers() == 0);
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("the runner actor died"), "{said}");

    let again = launch.start();
    let job = again.until(&id, "completed");
    assert_eq!(job["attempts"][0]["fate"], "lost", "{job}");
    assert_eq!(again.output(&id), "run\ndone\n");
}
