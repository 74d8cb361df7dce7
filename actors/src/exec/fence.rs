//! Until when a coordinator counts as there: a time in a small file, which the node moves on with every answer and which
//! keepers read by themselves. So a job that must not outlive its connection ends, whatever becomes of the node's process.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::alarm::Alarm;
use crate::clock::boottime_ms;

/// The file's name, in the folder of slots.
pub(super) const FILE: &str = "fence";
/// How often the file is read at least, in milliseconds: a machine that slept has lost no time by other clocks.
const LOOK_EVERY_MS: u64 = 1_000;

/// The writing side.
#[derive(Debug)]
pub(super) struct FenceFile(Option<File>);

impl FenceFile {
    /// Opens it in the folder of slots.
    pub fn open(slots_dir: &Path) -> Self {
        let path = slots_dir.join(FILE);
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        if let Err(error) = &file {
            log::error!("{}: {error}: jobs with on_disconnect kill end at once here", path.display());
        }
        Self(file.ok())
    }

    /// Writes the time from which on the coordinator counts as out of reach.
    pub fn write(&self, at_ms: u64) {
        // What cannot be written stays the earlier time, which is the safe side.
        let _ = self.0.as_ref().map(|file| file.write_all_at(&at_ms.to_le_bytes(), 0));
    }
}

/// The reading side, for one job.
#[derive(Debug)]
pub(super) struct Fence {
    path: PathBuf,
    /// The time between TERM and KILL, in milliseconds.
    pub grace_ms: u64,
    look: Alarm,
}

impl Fence {
    /// One that is looked at from now on.
    pub fn new(path: PathBuf, grace_ms: u64) -> Self {
        Self { path, grace_ms, look: Alarm::after_ms(0) }
    }

    /// When it is to be looked at.
    pub fn alarm(&self) -> Alarm {
        self.look
    }

    /// Whether the time is over. A file that cannot be read tells of no coordinator.
    pub fn is_over(&mut self) -> bool {
        if !self.look.is_due() {
            return false;
        }
        let left = self.read().unwrap_or(0).saturating_sub(boottime_ms());
        self.look = Alarm::after_ms(left.clamp(1, LOOK_EVERY_MS));
        left == 0
    }

    fn read(&self) -> Option<u64> {
        let mut bytes = [0; 8];
        File::open(&self.path).ok()?.read_exact_at(&mut bytes, 0).ok()?;
        Some(u64::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_over_when_its_time_is_or_when_nobody_tells_it() {
        let folder = tempfile::tempdir().unwrap();
        let over = || Fence::new(folder.path().join(FILE), 0).is_over();
        assert!(over(), "there is no file");
        let file = FenceFile::open(folder.path());
        assert!(over(), "there is no time in it");
        file.write(boottime_ms() + 60_000);
        assert!(!over());
        file.write(boottime_ms() - 1);
        assert!(over());
    }
}
