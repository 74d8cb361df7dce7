//! `--file`: small local files that are sent along with a job.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callboard_actors::model::files::{MAX_FILES, MAX_FILES_BYTES};
use rustix::fs::OFlags;

use super::exit::{Failure, USAGE};
use crate::http::api::{FileBody, FileContentBody};

/// Reads what `--file` names.
pub fn read(said: &[String]) -> Result<Vec<FileBody>, Failure> {
    if said.len() > MAX_FILES {
        return Err(Failure::new(USAGE, format!("--file: a job has at most {MAX_FILES} files")));
    }
    let mut left = MAX_FILES_BYTES;
    said.iter().map(|text| read_one(text, &mut left)).collect()
}

fn read_one(text: &str, left: &mut usize) -> Result<FileBody, Failure> {
    let (local, path) = match text.rsplit_once(':') {
        // A file may have a colon in its name.
        Some((local, path)) if !Path::new(text).exists() => (local, path.to_owned()),
        _ => (text, name_of(text)?),
    };
    let fail = |why: &dyn std::fmt::Display| Failure::new(USAGE, format!("--file {text}: {why}"));
    // A pipe would wait for somebody who writes.
    let opened = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(local);
    let opened = opened.map_err(|error| fail(&error))?;
    let facts = opened.metadata().map_err(|error| fail(&error))?;
    if !facts.is_file() {
        return Err(fail(
            &"only a file can be sent along; `--mount` brings in a folder of the node's own host",
        ));
    }
    let mut bytes = Vec::new();
    opened.take(*left as u64 + 1).read_to_end(&mut bytes).map_err(|error| fail(&error))?;
    *left = left.checked_sub(bytes.len()).ok_or_else(|| {
        fail(&format_args!(
            "the files of a job have at most {MAX_FILES_BYTES} bytes in all; `--mount` brings in what is larger"
        ))
    })?;
    let executable = facts.permissions().mode() & 0o100 != 0;
    Ok(FileBody { path, content: FileContentBody::Base64(STANDARD.encode(bytes)), executable })
}

fn name_of(local: &str) -> Result<String, Failure> {
    let name = Path::new(local).file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| {
        Failure::new(USAGE, format!("--file {local}: it has no name of its own: say LOCAL:PATH"))
    })
}
