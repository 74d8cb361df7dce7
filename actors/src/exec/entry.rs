//! The door through which our own executable becomes a helper. It knows which helper is meant and nothing of its work.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// First argument of a keeper process.
pub(crate) const KEEPER_ARGUMENT: &str = "__keeper";

/// First argument of a process that makes bare namespaces, for comparison.
pub(crate) const BARE_ARGUMENT: &str = "__bare-namespaces";

static ENTERED: AtomicBool = AtomicBool::new(false);

/// To be called as the first line of `main`, before any thread is started or descriptor opened.
///
/// Returns an exit code when this process was started as a helper: `main` must return it at once. Otherwise notes
/// that the executable may be re-run as a helper, and returns nothing.
#[must_use]
pub fn sandbox_entry() -> Option<i32> {
    match std::env::args_os().nth(1) {
        Some(word) if word == KEEPER_ARGUMENT => return Some(super::keeper::keeper_main()),
        Some(word) if word == BARE_ARGUMENT => return Some(super::bare::bare_main()),
        _ => {}
    }
    ENTERED.store(true, Ordering::Relaxed);
    None
}

/// Whether [`sandbox_entry`] was called, so that this executable can be re-run as a keeper.
pub fn keeper_available() -> bool {
    ENTERED.load(Ordering::Relaxed)
}

/// The executable to run as keeper: the one that was named, else our own when [`sandbox_entry`] guards it.
/// None means that jobs can be held by their process group only.
pub fn keeper_path(explicit: Option<&Path>) -> Option<PathBuf> {
    match explicit {
        Some(path) => Some(path.to_owned()),
        None if keeper_available() => std::env::current_exe().ok(),
        None => None,
    }
}
