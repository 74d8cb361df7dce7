//! Writes the files that come with a job into its folder: by a process that already is the job's own user, before anything
//! of the job runs. The folder is the job's own and empty, so no name in it can lead elsewhere.

use std::io::Write;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use super::Fault;
use crate::model::InputFile;

const FOLDER: Mode = Mode::RWXU.union(Mode::RGRP).union(Mode::XGRP).union(Mode::ROTH).union(Mode::XOTH);
const FILE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::ROTH);
const EXECUTABLE: Mode = FOLDER;

/// Writes them all below `home`, in their order.
///
/// # Errors
/// The fault of the first that cannot be written.
pub(super) fn write(files: &[InputFile], home: &str) -> Result<(), Fault> {
    if files.is_empty() {
        return Ok(());
    }
    let umask = rustix::process::umask(Mode::empty());
    let written = files
        .iter()
        .enumerate()
        .try_for_each(|(which, file)| write_one(file, home).map_err(|errno| Fault::file(which, errno)));
    rustix::process::umask(umask);
    written
}

fn write_one(file: &InputFile, home: &str) -> Result<(), Errno> {
    for (slash, _) in file.path.match_indices('/') {
        match mkdirat(CWD, format!("{home}/{}", &file.path[..slash]), FOLDER) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = if file.executable { EXECUTABLE } else { FILE };
    let opened = openat(CWD, format!("{home}/{}", file.path), flags, mode)?;
    std::fs::File::from(opened)
        .write_all(&file.bytes)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
