//! Reads the file of settings and says where in it something is wrong. It refuses to know which settings there are.

use std::io::Read;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::client::{check_context_name, check_no_password};
use super::{ClientSection, ConfigError, FileConfig};

/// Most bytes of a file of settings: far more than all of them need.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads a TOML file.
pub(super) fn read(path: &Path) -> Result<FileConfig, ConfigError> {
    parse(&text(path)?, &path.display().to_string())
}

/// Reads a file's text.
pub(super) fn text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |why: String| ConfigError::Unreadable { path: path.display().to_string(), why };
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut text = String::new();
    // A device has no size and no end.
    let read = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(unreadable(format!("at most {MAX_FILE_BYTES} bytes are read, and it has more")));
    }
    Ok(text)
}

/// Reads the text of a file; `path` only names it.
///
/// # Errors
/// [`ConfigError::File`] with the line that is wrong.
pub fn parse(text: &str, path: &str) -> Result<FileConfig, ConfigError> {
    parse_at(text).map_err(|(line, what)| ConfigError::File { path: path.to_owned(), line, what })
}

/// Reads a text, or says its first mistake: the line, from 1, and what is wrong.
pub(super) fn parse_at(text: &str) -> Result<FileConfig, (usize, String)> {
    let wrong = |at: usize, what: &str| (line_of(text, at), one_line(what));
    let read = toml::from_str::<FileConfig>(text);
    let read = read.map_err(|error| wrong(error.span().map_or(0, |span| span.start), error.message()))?;
    if let Some((path, why)) = wrong_client(&read) {
        return Err(wrong(place_of(text, &path), &why));
    }
    // Here, where it is known which line is meant.
    match read.admission.compile() {
        Ok(_) => Ok(read),
        Err(error) => Err(wrong(read.admission.place_of(&error), &error.to_string())),
    }
}

/// What no command of a client could do with: the keys of its place, and why. A server that is merely of no use is for
/// those that ask it.
fn wrong_client(file: &FileConfig) -> Option<(Vec<&str>, String)> {
    let server = |section: &ClientSection| check_no_password(section.server.as_deref()?).err();
    let client = server(&file.client).map(|why| (vec!["client", "server"], why));
    client.or_else(|| {
        file.contexts.iter().find_map(|(name, context)| match check_context_name(name) {
            Err(why) => Some((vec!["contexts", name], why)),
            Ok(()) => server(context).map(|why| (vec!["contexts", name, "server"], why)),
        })
    })
}

/// Where in a text the key stands; 0 when it is not found.
fn place_of(text: &str, path: &[&str]) -> usize {
    let Ok(whole) = DeTable::parse(text) else { return 0 };
    let (mut table, mut at) = (whole.get_ref(), 0);
    for name in path {
        let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == name) else { return at };
        at = key.span().start;
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return at,
        }
    }
    at
}

pub(super) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

pub(super) fn one_line(message: &str) -> String {
    message.replace("unknown field", "unknown key").lines().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ByteCount, Millis, OptionalMillis};

    #[test]
    fn a_file_is_read_with_human_units() {
        let text = "[server]\nbind = 'localhost:9000'\nslots = 3\n[limits]\noutput_head = '1MiB'\n\
                    default_timeout = 'none'\nmax_timeout = 3600\n";
        let file = parse(text, "c.toml").unwrap();
        assert_eq!(file.server.slots, Some(3));
        assert_eq!(file.server.bind.unwrap().0.len(), 1);
        assert_eq!(file.limits.output_head, Some(ByteCount(1 << 20)));
        assert_eq!(file.limits.default_timeout, Some(OptionalMillis(None)));
        assert_eq!(file.limits.max_timeout, Some(Millis(3_600_000)));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_file_and_line() {
        for (text, line, word) in [
            ("[server]\nslots = 1\nslotz = 4\n", 3, "`slotz`"),
            ("[limits]\n\nmax_lost = 'many'\n", 3, "many"),
            ("[serve]\n", 1, "`serve`"),
            ("[server]\nbind = ['nonsense']\n", 2, "nonsense"),
            ("[limits]\nmax_grace = '5 fortnights'\n", 2, "fortnights"),
            ("[contexts.a]\n[contexts.'a b']\n", 2, "`a b`"),
            ("[contexts]\n'' = {}\n", 2, "letters"),
            ("[client]\ncolor = 'auto'\nserver = 'http://u:pw@h'\n", 3, "--token-file"),
            ("[contexts]\np.server = 'u:pw@h'\n", 2, "--token-file"),
        ] {
            let shown = parse(text, "c.toml").unwrap_err().to_string();
            assert!(shown.starts_with(&format!("c.toml:{line}: ")), "{shown}");
            assert!(shown.contains(word) && !shown.contains("pw"), "{shown}");
            assert_eq!(shown.lines().count(), 1, "{shown}");
        }
    }
}
