//! What of a stranger's path may be written down. It knows no route.

/// Most of a path that is noted, in bytes.
const MAX_SHOWN_PATH_BYTES: usize = 200;
/// Longest part of a path, between two slashes, that is noted, in bytes. The ids of ours are shorter, and the secret of a
/// token is longer, however it is escaped.
const MAX_SHOWN_PART_BYTES: usize = 48;
/// What stands in its place.
const HIDDEN: &str = "***";
/// What a token begins with.
const TOKEN_MARK: &str = "callboard_";

/// A path as it may be noted: what may be a token is not in it, and it has an end.
pub fn path(path: &str) -> String {
    let mut shown = String::new();
    for (number, part) in path.split('/').enumerate() {
        if number > 0 {
            shown.push('/');
        }
        let secret = part.len() > MAX_SHOWN_PART_BYTES || names_token(part);
        shown.push_str(if secret { HIDDEN } else { part });
        if shown.len() > MAX_SHOWN_PATH_BYTES {
            break;
        }
    }
    shown.truncate(shown.floor_char_boundary(MAX_SHOWN_PATH_BYTES));
    shown
}

/// Whether a text may have a token in it.
pub fn names_token(text: &str) -> bool {
    text.to_ascii_lowercase().contains(TOKEN_MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_is_shown_and_ids_are() {
        let token = format!("callboard_0123456789abcdef_{}", "0af3".repeat(16));
        for secret in [token.clone(), token.to_uppercase(), token.replace('_', "%5f"), token[27..].into()] {
            assert_eq!(path(&format!("/v1/tokens/{secret}")), "/v1/tokens/***");
            assert_eq!(path(&format!("/{secret}/x;{secret}/logs")), "/***/***/logs");
        }
        assert_eq!(path("/v1/tokens/callboard_0_1"), "/v1/tokens/***");
        for plain in ["", "/", "*", "/v1/jobs/01900000-0000-7000-8000-000000000000/logs", "//a//"] {
            assert_eq!(path(plain), plain);
        }
    }

    #[test]
    fn a_path_has_an_end() {
        assert_eq!(path(&"/a".repeat(100_000)).len(), MAX_SHOWN_PATH_BYTES);
        assert!(path(&"/ä".repeat(1000)).len() <= MAX_SHOWN_PATH_BYTES);
    }
}
