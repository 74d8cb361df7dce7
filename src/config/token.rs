//! Reads a token from its file, the same way for a server and for its clients. It refuses to know what it opens.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::ConfigError;

/// Longest token and longest file of one, in bytes.
const MAX_TOKEN_BYTES: usize = 4096;
const TOO_LONG: &str = "holds more than 4096 bytes: that is no token";

/// The token that a file holds: its one line, without the spaces around it.
///
/// # Errors
/// When the file cannot be read, or holds anything but one line of visible ASCII.
pub fn read_token(path: &Path) -> Result<String, ConfigError> {
    let wrong = |what: &str| ConfigError::Token { path: path.display().to_string(), what: what.to_owned() };
    let unreadable = |error: std::io::Error| {
        wrong(&format!("cannot be read: {error}: name a readable file with --token-file"))
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = Vec::new();
    // A device has no size and no end.
    file.take(MAX_TOKEN_BYTES as u64 + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() > MAX_TOKEN_BYTES {
        return Err(wrong(TOO_LONG));
    }
    check_token(&String::from_utf8_lossy(&text), &path.display().to_string())
}

/// Whether others than its owner may read or change a file; of pipes and devices that means nothing.
pub fn is_open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o077 != 0)
}

/// The token in `text`, which came from `source`, without the spaces around it.
///
/// # Errors
/// When it is anything but one line of visible ASCII.
pub fn check_token(text: &str, source: &str) -> Result<String, ConfigError> {
    let wrong = |what: &str| ConfigError::Token { path: source.to_owned(), what: what.to_owned() };
    let token = text.trim();
    if token.is_empty() {
        Err(wrong("is empty: put the token on its first line"))
    } else if token.len() > MAX_TOKEN_BYTES {
        Err(wrong(TOO_LONG))
    } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err(wrong("must hold one token: visible ASCII characters on one line"))
    } else {
        Ok(token.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_of_visible_characters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for (text, fine) in [("s3cret\n", true), ("", false), ("\n\n", false), ("a\nb", false), ("é", false)]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_token(&path).is_ok(), fine, "{text:?}");
        }
        assert!(read_token(&folder.path().join("absent")).is_err());
    }

    #[test]
    fn no_more_of_a_file_is_read_than_a_token_can_be_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for (length, fine) in [(MAX_TOKEN_BYTES, true), (MAX_TOKEN_BYTES + 1, false)] {
            std::fs::write(&path, "x".repeat(length)).unwrap();
            assert_eq!(read_token(&path).is_ok(), fine, "{length}");
        }
        // It has no end.
        let endless = read_token(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(endless.contains(TOO_LONG), "{endless}");
    }

    #[test]
    fn a_file_that_others_may_read_or_change_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "s3cret").unwrap();
        for (mode, open) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o620, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_open_to_others(&path), open, "{mode:o}");
        }
        assert!(!is_open_to_others(Path::new("/dev/null")));
    }
}
