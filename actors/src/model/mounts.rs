//! Folders and files of a host that a job wants in its room, and those that a node lets in. Nothing here looks at a disk.

use serde::{Deserialize, Serialize};

/// Most folders and files that a job may bring in.
pub const MAX_MOUNTS: usize = 16;
/// Most folders and files that a node may allow.
pub const MAX_ALLOWED_MOUNTS: usize = 256;
/// Longest path of a folder or file that is brought in, in bytes.
pub const MAX_MOUNT_BYTES: usize = 4095;

/// Places that are the room's own, with all that is below.
const OWN_TREES: [&str; 5] = ["/proc", "/sys", "/dev", "/etc", "/job"];
/// Places that are the room's own, or the host's programs; folders below may be brought in.
const OWN_PLACES: [&str; 13] = [
    "/", "/tmp", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/opt", "/run", "/var", "/var/tmp",
    "/var/lib",
];

/// A folder or file of the host that a job wants, at the same place in its room.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is.
    pub path: String,
    /// Whether the job must not change it.
    pub read_only: bool,
}

impl Mount {
    /// What is wrong with it, if anything is.
    pub fn problem(&self) -> Option<String> {
        let path = self.path.as_str();
        if !is_plain(path) {
            return Some(format!(
                "a mount is an absolute path of at most {MAX_MOUNT_BYTES} bytes without `.`, `..`, `//` and a `/` at its end"
            ));
        }
        is_own(path)
            .then(|| format!("{path} in a room is the room's own: name a folder below it, or another one"))
    }
}

/// Whether the room has something of its own at this place.
pub fn is_own(path: &str) -> bool {
    OWN_PLACES.contains(&path) || OWN_TREES.iter().any(|tree| below(path, tree).is_some())
}

/// Whether a path is absolute and says exactly one place.
pub fn is_plain(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let fine = |part: &str| !matches!(part, "" | "." | "..");
    path.len() <= MAX_MOUNT_BYTES && !path.contains('\0') && (rest.is_empty() || rest.split('/').all(fine))
}

/// The rest of a path below a folder: empty for the folder itself, none for what is elsewhere.
pub fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    if folder == "/" {
        return path.strip_prefix('/');
    }
    match path.strip_prefix(folder)? {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    }
}

/// What a node lets into rooms: this place and all that is below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedMount {
    /// The place.
    pub path: String,
    /// Whether no job may change it.
    pub read_only: bool,
}

impl AllowedMount {
    /// Everything of the host that the job's user may see.
    pub fn everything() -> Self {
        Self { path: "/".into(), read_only: false }
    }
}

impl std::str::FromStr for AllowedMount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, read_only) = text.strip_suffix(":ro").map_or((text, false), |path| (path, true));
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        let refuse = || {
            format!("`{text}` is no absolute path: write `/data`, or `/data:ro` for what no job may change")
        };
        if is_plain(path) { Ok(Self { path: path.to_owned(), read_only }) } else { Err(refuse()) }
    }
}

impl std::fmt::Display for AllowedMount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.path, if self.read_only { ":ro" } else { "" })
    }
}

/// The innermost place of `allowed` that a path is at or below: it says what may be done there.
pub fn allowance<'a>(allowed: &'a [AllowedMount], path: &str) -> Option<&'a AllowedMount> {
    let fitting = allowed.iter().filter(|it| below(path, &it.path).is_some());
    fitting.max_by_key(|it| it.path.len())
}

/// Why a job may not have a place of the host, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Barred {
    /// The node does not allow it.
    #[error(
        "this node does not let jobs have `{0}`: it would with `--allow-mount {0}` (setting runner.allow_mounts)"
    )]
    NotAllowed(String),
    /// The node allows it to be read only.
    #[error(
        "this node lets jobs only read `{0}`: ask for `--mount {0}:ro`, or give the node `--allow-mount {0}` (setting \
         runner.allow_mounts)"
    )]
    ReadOnly(String),
}

/// The place of `allowed` that lets a job have what it asks for.
///
/// # Errors
/// [`Barred`].
pub fn permit<'a>(mount: &Mount, allowed: &'a [AllowedMount]) -> Result<&'a AllowedMount, Barred> {
    match allowance(allowed, &mount.path) {
        None => Err(Barred::NotAllowed(mount.path.clone())),
        Some(place) if place.read_only && !mount.read_only => Err(Barred::ReadOnly(mount.path.clone())),
        Some(place) => Ok(place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(list: &[&str]) -> Vec<AllowedMount> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_path_says_one_place() {
        for path in ["/", "/data", "/data/a b", "/x/..y"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["", "data", "/data/", "//data", "/data/../etc", "/./x", "/a\0b"] {
            assert!(!is_plain(path), "{path:?}");
        }
    }

    #[test]
    fn the_innermost_allowance_decides() {
        let allowed = allow(&["/data", "/data/in:ro", "/srv/x/"]);
        let says = |path| allowance(&allowed, path).map(ToString::to_string);
        assert_eq!(says("/data"), Some("/data".into()));
        assert_eq!(says("/data/out"), Some("/data".into()));
        assert_eq!(says("/data/in/deep"), Some("/data/in:ro".into()));
        assert_eq!(says("/data/input"), Some("/data".into()));
        assert_eq!(says("/srv/x"), Some("/srv/x".into()));
        assert_eq!(says("/database"), None);
        assert_eq!(allowance(&allow(&["/"]), "/anything").map(|it| it.path.as_str()), Some("/"));
        assert_eq!(allowance(&[], "/data"), None);
    }

    #[test]
    fn what_is_the_room_s_own_cannot_be_brought_in() {
        let problem = |path: &str| Mount { path: path.into(), read_only: true }.problem();
        for path in
            ["/", "/proc", "/proc/1", "/dev/null", "/etc/ssl", "/tmp", "/usr", "/job/x", "x", "/a/../b"]
        {
            assert!(problem(path).is_some(), "{path}");
        }
        for path in ["/tmp/x", "/usr/local/x", "/home/me", "/root", "/processes", "/var/lib/x"] {
            assert_eq!(problem(path), None, "{path}");
        }
    }
}
