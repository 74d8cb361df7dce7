//! The client's commands, as a user types them: the real binary against a real server, or against one that plays a part.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::finish;
use crate::server::{BINARY, Server, knows_no_settings};

mod admitted;
mod api;
mod commands;
mod contexts;
mod forms;
mod looks;
mod nodes;
mod output;
mod records;
mod settings;
mod trust;
mod unwritten;
mod waiting;

/// What a command said, and its exit code.
#[derive(Debug)]
pub struct Said {
    code: Option<i32>,
    out: String,
    pub err: String,
}

impl Said {
    /// Its standard output, which must be one JSON value.
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Its standard output, when all went well and nothing was said beside it.
    pub fn fine(&self) -> &str {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        self.out.trim_end()
    }

    /// Nothing was done, for a reason of one line that has this in it.
    pub fn refused(&self, code: i32, why: &str) {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        assert!(self.err.contains(why), "{why:?} is not in {self:?}");
    }
}

/// The binary, knowing of no setting and no colour of the developer's own.
fn command(args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(name);
    }
    knows_no_settings(&mut command);
    command
}

fn said(command: &mut Command) -> Said {
    let done = finish(command.spawn().unwrap(), None);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
}

pub fn callboard(args: &[&str]) -> Said {
    said(&mut command(args))
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// A client of this server.
pub fn ask(server: &Server, args: &[&str]) -> Said {
    said(command(args).env("CALLBOARD_SERVER", url(server.port)))
}
