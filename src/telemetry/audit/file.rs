//! A file of whole lines that is rotated by size. It refuses to know what they say and who writes them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Who may read and write it: its owner.
const MODE: u32 = 0o600;

/// The file, and as many former ones as are kept: `NAME.1` is the youngest of them.
#[derive(Debug)]
pub struct RotatedFile {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
    /// The open file and its length.
    open: Option<(File, u64)>,
}

impl RotatedFile {
    /// A file that is opened, and made if it is missing, with the first write.
    pub fn new(path: PathBuf, max_bytes: u64, keep: u32) -> Self {
        Self { path, max_bytes, keep, open: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds lines, all of them or none.
    ///
    /// # Errors
    /// What the system says; the next call opens the file anew.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let (mut file, mut length) = self.open.take().map_or_else(|| open(&self.path), Ok)?;
        if length > 0 && length.saturating_add(lines.len() as u64) > self.max_bytes {
            drop(file);
            self.rotate()?;
            (file, length) = open(&self.path)?;
        }
        if let Err(error) = file.write_all(lines) {
            // A torn line would spoil the next one, too. Where it cannot be cut off the next opening ends it.
            let _ = file.set_len(length);
            return Err(error);
        }
        self.open = Some((file, length + lines.len() as u64));
        Ok(())
    }

    fn rotate(&self) -> io::Result<()> {
        // More than are kept now may have been kept before.
        let mut surplus = self.keep.max(1);
        while std::fs::remove_file(self.former(surplus)).is_ok() {
            surplus += 1;
        }
        for number in (1..self.keep).rev() {
            match std::fs::rename(self.former(number), self.former(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        match self.keep {
            0 => std::fs::remove_file(&self.path),
            _ => std::fs::rename(&self.path, self.former(1)),
        }
    }

    fn former(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

/// Opens the file for adding to it, behind a whole line. What is no regular file is left as it is: a link may point at
/// anything that this process may write.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(MODE).custom_flags(flags);
    let mut file = options.open(path).map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::LOOP.raw_os_error() => odd("a symbolic link"),
        _ => error,
    })?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(odd("no regular file"));
    }
    if about.permissions().mode() & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(MODE))?;
    }
    let mut length = file.seek(SeekFrom::End(0))?;
    if length > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            length += 1;
        }
    }
    Ok((file, length))
}

fn odd(what: &str) -> io::Error {
    io::Error::other(format!("it is {what} and is not written: remove it, and a regular file is made"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let files = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn it_is_rotated_by_size_and_only_so_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = RotatedFile::new(path.clone(), 20, 2);
        for number in 0..10 {
            file.append(format!("line {number} 90\n").as_bytes()).unwrap();
        }
        assert_eq!(names(folder.path()), ["log", "log.1", "log.2"]);
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            (read("log"), read("log.1"), read("log.2")),
            (
                "line 8 90\nline 9 90\n".into(),
                "line 6 90\nline 7 90\n".into(),
                "line 4 90\nline 5 90\n".into(),
            )
        );
        // Fewer are kept from now on.
        let mut file = RotatedFile::new(path.clone(), 20, 1);
        file.append(b"line 10\n").unwrap();
        assert_eq!(names(folder.path()), ["log", "log.1"]);
        assert_eq!(read("log.1"), "line 8 90\nline 9 90\n");
        let mut file = RotatedFile::new(path, 20, 0);
        file.append(b"a line that is longer than that\n").unwrap();
        assert_eq!(names(folder.path()), ["log"], "none is kept");
    }

    #[test]
    fn only_its_owner_may_read_it_and_a_torn_line_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "whole\ntor").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        RotatedFile::new(path.clone(), 1000, 1).append(b"next\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole\ntor\nnext\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("log"), folder.path().join("target"));
        let refused = |what: &str| {
            let error = RotatedFile::new(path.clone(), 1000, 1).append(b"line\n").unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("remove it"), "{error}");
            std::fs::remove_file(&path).unwrap();
        };
        std::fs::write(&target, "theirs").unwrap();
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        refused("a symbolic link");
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "theirs");
        assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        std::os::unix::fs::symlink(folder.path().join("missing"), &path).unwrap();
        refused("a symbolic link");
        assert!(!folder.path().join("missing").exists());
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        refused("no regular file");
        RotatedFile::new(path.clone(), 1000, 1).append(b"line\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "line\n");
    }
}
