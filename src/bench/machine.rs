//! What the machine can do without us: its disk, and how fast it spawns.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use callboard_actors::clock;
use serde::Serialize;

use super::BenchError;
use super::figures::{Latencies, rate};

/// Forced writes that are timed.
const SYNCS: usize = 200;
/// Bytes of each.
const PAGE: usize = 4096;

/// The machine under everything.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// Threads that run at once.
    pub cores: usize,
    /// The kernel.
    pub kernel: String,
    /// Where the database is, by the kind of its file system.
    pub file_system: String,
    /// One page appended and forced to the disk.
    pub fdatasync: Latencies,
}

/// Looks at the machine and the disk under `folder`.
pub fn look(folder: &Path) -> Result<Machine, BenchError> {
    let system = rustix::system::uname();
    Ok(Machine {
        cores: cores(),
        kernel: format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy()),
        file_system: file_system(folder),
        fdatasync: fdatasync(folder).map_err(BenchError::system("forced writes"))?,
    })
}

/// Threads that run at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn fdatasync(folder: &Path) -> std::io::Result<Latencies> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let began = clock::moment();
        file.write_all(&[b'x'; PAGE])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    Ok(Latencies::of(times))
}

/// The kind of the file system that holds `folder`, from the mount with the longest matching path.
fn file_system(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let holding = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let place = place.split(' ').nth(4)?;
        folder.starts_with(place).then(|| (place.len(), kind.split(' ').next().unwrap_or_default()))
    });
    // Of several mounts in one place the last one is seen.
    holding.max_by_key(|found| found.0).map_or_else(|| "unknown".into(), |found| found.1.to_owned())
}

/// `sh -c true`, started and awaited with its output captured, as plainly as the standard library can: by posix_spawn.
pub fn spawn_once() -> std::io::Result<()> {
    let mut command = Command::new("/bin/sh");
    let done = command.args(["-c", "true"]).env_clear().stdin(Stdio::null()).output()?;
    let fine = done.status.success() && done.stdout.is_empty() && done.stderr.is_empty();
    if fine { Ok(()) } else { Err(std::io::Error::other("`sh -c true` failed")) }
}

/// How many of them per second, from as many threads as there are cores, for `span`.
pub fn spawn_limit(span: Duration) -> Result<f64, BenchError> {
    let over = AtomicBool::new(false);
    let began = clock::moment();
    let counted = std::thread::scope(|scope| {
        let spawner = || {
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                spawn_once()?;
                count += 1;
            }
            Ok(count)
        };
        let threads: Vec<_> = (0..cores()).map(|_| scope.spawn(spawner)).collect();
        while let Some(left) = span.checked_sub(began.elapsed()) {
            // It may wake early.
            std::thread::park_timeout(left);
        }
        over.store(true, Ordering::Relaxed);
        let counts = threads.into_iter().map(|thread| thread.join().unwrap_or(Ok(0)));
        counts.sum::<std::io::Result<usize>>()
    });
    Ok(rate(counted.map_err(BenchError::system("plain spawning"))?, began.elapsed()))
}
