//! Files that a job leaves behind for whoever asked for it: which ones it declares, and what was kept of them. Nothing
//! here looks at a disk.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::files::{MAX_FILE_NAME_BYTES, MAX_FILE_PATH_BYTES, is_below};

/// Most files and folders that a job declares as its artifacts.
pub const MAX_ARTIFACTS: usize = 64;
/// Most files that are kept of a job, those in declared folders counted.
pub const MAX_ARTIFACT_FILES: usize = 256;
/// Most names that are looked at in the folders that a job declares.
pub const MAX_ARTIFACT_NAMES: usize = 16 << 10;
/// Most things that are told of one job which could not be kept.
pub const MAX_ARTIFACT_PROBLEMS: usize = 32;

/// A file that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Where it was, below `/job`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Whether it may be executed.
    pub executable: bool,
}

/// Something that was declared, or lay in a declared folder, and was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unkept {
    /// Where it was to be, below `/job`.
    pub path: String,
    /// Why not, one line.
    pub why: String,
}

/// What became of a job's artifacts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifacts {
    /// The files that were kept. Their bytes are with the node that ran the job, by their place in this list.
    pub kept: Vec<Artifact>,
    /// What was not, at most [`MAX_ARTIFACT_PROBLEMS`].
    pub unkept: Vec<Unkept>,
}

impl Artifacts {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.unkept.is_empty()
    }

    /// Bytes of all that was kept.
    pub fn kept_bytes(&self) -> u64 {
        self.kept.iter().fold(0, |sum, artifact| sum.saturating_add(artifact.bytes))
    }
}

/// Every thing wrong with what a job declares: which one, and what.
pub fn problems(paths: &[String]) -> Vec<(usize, String)> {
    let mut seen = BTreeSet::new();
    let problem = |path: &String| {
        if !is_below(path) {
            return Some(format!(
                "an artifact's path is relative to /job, of at most {MAX_FILE_PATH_BYTES} bytes ({MAX_FILE_NAME_BYTES} a name), without `.`, `..`, `//` and a `/` at its end"
            ));
        }
        (!seen.insert(path.clone())).then(|| format!("`{path}` is there twice: name it once"))
    };
    paths.iter().map(problem).enumerate().filter_map(|(at, problem)| Some((at, problem?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_lies_below_and_is_named_once() {
        let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        assert!(problems(&paths(&["a", "a/b", "out"])).is_empty());
        let found = problems(&paths(&["a", "../a", "a", "/a", "a/"]));
        assert_eq!(found.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 2, 3, 4], "{found:?}");
        assert!(found[1].1.contains("twice"), "{found:?}");
    }
}
