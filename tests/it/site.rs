//! A folder of a user's with a binary in it that this user can run, and whether rooms can be made for it: for tests that
//! are made as root and as an ordinary user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::getuid;
use tempfile::TempDir;

use crate::death::ordinary_user;
use crate::process::finish;
use crate::server::{BINARY, Launch, Server, copy_binary, knows_no_settings};
use crate::skip::missing;

pub struct Site {
    folder: TempDir,
    binary: PathBuf,
    pub uid: u32,
}

impl Site {
    pub fn new(uid: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut binary = PathBuf::from(BINARY);
        if uid != getuid().as_raw() {
            binary = folder.path().join("callboard");
            copy_binary(&binary);
        }
        Self { folder, binary, uid }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How a server of this user's is started, over the folder `name`.
    pub fn launch(&self, name: &str) -> Launch {
        Launch::over(&self.path(name)).user(self.uid, self.binary.clone())
    }

    /// What a command of the user's says that is run in this folder.
    pub fn callboard(&self, folder: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.binary);
        knows_no_settings(&mut command);
        command.args(arguments).current_dir(folder).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).env("HOME", folder);
        if self.uid != getuid().as_raw() {
            command.uid(self.uid).gid(self.uid);
        }
        finish(command.spawn().unwrap(), None)
    }
}

/// Whoever runs the tests, and an ordinary user.
pub fn users() -> Vec<u32> {
    let mut users = vec![getuid().as_raw(), ordinary_user()];
    users.dedup();
    users
}

/// Whether this server can make rooms; if not, out loud.
pub fn has_rooms(test: &str, server: &Server) -> bool {
    let (_, health) = server.ask("GET", "/health", None).unwrap();
    let tier = health["isolation"]["tier"].as_str().unwrap_or_else(|| panic!("{health}"));
    if tier == "none" {
        missing(test, "namespaces", &health["isolation"].to_string());
    }
    tier != "none"
}

/// Every site with its server, as root and as an ordinary user; out loud where no room can be made.
pub fn sites(test: &str) -> Vec<(Site, Server)> {
    let sites = users().into_iter().map(|uid| {
        let site = Site::new(uid);
        let server = site.launch("state").start();
        (site, server)
    });
    sites.filter(|(_, server)| has_rooms(test, server)).collect()
}
