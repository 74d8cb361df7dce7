//! Output that nobody has written to for long: what a node is not told to forget, because it was away, must end some time. It
//! knows no clock: from when on output is old it is told.

use std::io;

use rustix::fs::{AtFlags, FileType, fstat, statat};

use super::{Spool, names};
use crate::model::AttemptId;

impl Spool {
    /// Removes the output of every attempt that was last written to before this Unix time in milliseconds and is not to be
    /// kept. Returns how many were removed.
    ///
    /// # Errors
    /// Whatever the file system says about the folder itself; what cannot be looked at or removed is left for the next time.
    pub fn sweep_older(&self, before_ms: i64, keep: impl Fn(AttemptId) -> bool) -> io::Result<usize> {
        self.sweep(|attempt| keep(attempt) || self.written_ms(attempt).map_or(true, |at| at >= before_ms))
    }

    /// When anything of the attempt was last written, Unix milliseconds.
    fn written_ms(&self, attempt: AttemptId) -> io::Result<i64> {
        let folder = self.open(attempt)?.ok_or(io::ErrorKind::NotFound)?;
        let mut last_s = fstat(&folder)?.st_mtime;
        for name in names(&folder)? {
            let stat = statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                last_s = last_s.max(stat.st_mtime);
            }
        }
        Ok(last_s.saturating_mul(1_000))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::model::{Epoch, JobId};

    #[test]
    fn what_was_last_written_long_ago_is_removed_unless_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let attempt = |n: u8| AttemptId::new(JobId::from_bytes([n; 16]), Epoch(1));
        // When the folder, and when the file in it, was written, in seconds.
        for (n, folder_s, file_s) in [(1, 100, 100), (2, 100, 300), (3, 100, 100), (4, 300, 100)] {
            let folder = dir.path().join(attempt(n).to_string());
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("stdout"), b"x").unwrap();
            for (path, seconds) in [(folder.join("stdout"), file_s), (folder, folder_s)] {
                File::open(path).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
            }
        }
        let spool = Spool::new(dir.path());
        assert_eq!(spool.sweep_older(200_000, |it| it == attempt(3)).unwrap(), 1);
        let mut left = spool.list().unwrap();
        left.sort_unstable();
        assert_eq!(left, [attempt(2), attempt(3), attempt(4)]);
        assert_eq!(Spool::new(dir.path().join("absent")).sweep_older(i64::MAX, |_| false).unwrap(), 0);
    }
}
