//! Reads a token from its file, the same way for a server and for its clients. It refuses to know what it opens.

use std::path::Path;

use super::ConfigError;

/// Longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 4096;

/// The token that a file holds: its one line, without the spaces around it.
///
/// # Errors
/// When the file cannot be read, or holds anything but one line of visible ASCII.
pub fn read_token(path: &Path) -> Result<String, ConfigError> {
    let wrong = |what: &str| ConfigError::Token { path: path.display().to_string(), what: what.to_owned() };
    let text = std::fs::read_to_string(path).map_err(|error| {
        wrong(&format!("cannot be read: {error}: name a readable file with --token-file"))
    })?;
    check_token(&text, &path.display().to_string())
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
        Err(wrong("holds more than 4096 bytes: that is no token"))
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
}
