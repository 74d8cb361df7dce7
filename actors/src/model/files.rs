//! Small files that come with a job and lie in its room when it starts. Nothing here looks at a disk.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Most files that come with a job.
pub const MAX_FILES: usize = 64;
/// Most bytes of all of them together.
pub const MAX_FILES_BYTES: usize = 512 * 1024;
/// Longest path of one, in bytes.
pub const MAX_FILE_PATH_BYTES: usize = 1024;
/// Longest name of a file or a folder, in bytes: what the kernel takes.
pub const MAX_FILE_NAME_BYTES: usize = 255;

/// A file that is written below the job's folder `/job` before its program starts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Where, below `/job`: `data/input.csv`.
    pub path: String,
    /// What is in it.
    #[serde(with = "content")]
    pub bytes: Vec<u8>,
    /// Whether it may be executed.
    #[serde(default)]
    pub executable: bool,
}

/// Without what is in it, which is nobody's business in a log.
impl std::fmt::Debug for InputFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InputFile({:?}, {} bytes, executable {})", self.path, self.bytes.len(), self.executable)
    }
}

/// Bytes of all files and their paths.
pub fn weight(files: &[InputFile]) -> usize {
    files.iter().map(|file| file.path.len() + file.bytes.len()).sum()
}

/// Whether a path says exactly one place below a folder.
pub fn is_below(path: &str) -> bool {
    let fine = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= MAX_FILE_NAME_BYTES;
    path.len() <= MAX_FILE_PATH_BYTES && !path.contains('\0') && path.split('/').all(fine)
}

/// Every thing wrong with a job's files: which one, and what.
pub fn problems(files: &[InputFile]) -> Vec<(usize, String)> {
    let mut problems = Vec::new();
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let mut seen = BTreeSet::new();
    for (at, InputFile { path, .. }) in files.iter().enumerate() {
        let mut folders = path.match_indices('/').map(|(slash, _)| &path[..slash]);
        let on_the_way = folders.rfind(|folder| paths.contains(folder));
        if !is_below(path) {
            let detail = format!(
                "a file's path is relative to /job, of at most {MAX_FILE_PATH_BYTES} bytes ({MAX_FILE_NAME_BYTES} a name), without `.`, `..`, `//` and a `/` at its end"
            );
            problems.push((at, detail));
        } else if !seen.insert(path) {
            problems.push((at, format!("`{path}` is there twice: give it once")));
        } else if let Some(file) = on_the_way {
            problems.push((at, format!("`{file}` is a file and cannot be a folder, too")));
        }
    }
    problems
}

/// Bytes as base64 where people may read them, and as they are elsewhere.
mod content {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.serialize_str(&STANDARD.encode(bytes)) } else { bytes.serialize(to) }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        if !from.is_human_readable() {
            return Vec::deserialize(from);
        }
        STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> InputFile {
        InputFile { path: path.into(), bytes: vec![0, 255, b'a'], executable: true }
    }

    #[test]
    fn a_path_stays_below_and_says_one_place() {
        for path in ["a", "a/b.txt", "..a", "a b/ü"] {
            assert!(is_below(path), "{path}");
        }
        let long = "x".repeat(256);
        for path in ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a\0", long.as_str()] {
            assert!(!is_below(path), "{path}");
        }
    }

    #[test]
    fn no_two_files_are_in_one_place() {
        assert!(problems(&[file("a/b"), file("a/c"), file("b")]).is_empty());
        let twice = problems(&[file("a"), file("a")]);
        assert!(matches!(twice.as_slice(), [(1, why)] if why.contains("twice")), "{twice:?}");
        let through = problems(&[file("a/b/c"), file("a/b")]);
        assert!(matches!(through.as_slice(), [(0, why)] if why.contains("`a/b` is a file")), "{through:?}");
    }

    #[test]
    fn bytes_survive_json_and_frames() {
        let json = serde_json::to_string(&file("a")).unwrap();
        assert!(json.contains(r#""AP9h""#), "{json}");
        assert_eq!(serde_json::from_str::<InputFile>(&json).unwrap(), file("a"));
        let frame = postcard::to_allocvec(&file("a")).unwrap();
        assert_eq!(postcard::from_bytes::<InputFile>(&frame).unwrap(), file("a"));
    }
}
