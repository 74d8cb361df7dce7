//! Every mistake of a file of settings at once, each with its line and its key.

use callboard_actors::model::rules::Rule;
use serde::Deserialize;
use toml::de::{DeArray, DeTable, DeValue, ValueDeserializer};

use super::FileConfig;
use super::client::check_server;
use super::file::{line_of, one_line, parse_at};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// The key with its sections, for example `server.slots`; none where the file is no TOML.
    pub key: Option<String>,
    /// What is wrong and what is known.
    pub what: String,
}

/// The mistakes of a text, in its order: of its syntax, or when there are none, of its keys one by one, or when there are
/// none of them either, of what they come to.
pub fn mistakes(text: &str) -> Vec<Mistake> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut found: Vec<Mistake> = errors
        .iter()
        .map(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            Mistake { line, key: None, what: one_line(error.message()) }
        })
        .collect();
    if found.is_empty() {
        Checker { text, path: Vec::new(), found: &mut found }.table(table.get_ref());
    }
    if found.is_empty() {
        found.extend(parse_at(text).err().map(|(line, what)| Mistake { line, key: None, what }));
    }
    found.sort_by_key(|mistake| mistake.line);
    found
}

/// Tries every key alone, so that one mistake does not hide the next.
struct Checker<'a> {
    text: &'a str,
    path: Vec<String>,
    found: &'a mut Vec<Mistake>,
}

impl Checker<'_> {
    fn table(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            self.path.push(key.get_ref().to_string());
            let line = line_of(self.text, key.span().start);
            match value.get_ref() {
                DeValue::Table(inner) => {
                    // Whether there is such a section at all, before what is in it.
                    if self.accepted(line, "{}") {
                        self.table(inner);
                    }
                }
                DeValue::Array(rules) if self.path == ["admission", "rules"] => self.rules(rules),
                _ => {
                    let written = self.text.get(value.span()).unwrap_or_default().to_owned();
                    self.accepted(line, &written);
                }
            }
            self.path.pop();
        }
    }

    /// A rule is tried as a whole: its keys mean nothing alone.
    fn rules(&mut self, rules: &DeArray<'_>) {
        for rule in rules {
            if let Err(error) = Rule::deserialize(ValueDeserializer::from(rule.clone())) {
                let at = error.span().unwrap_or_else(|| rule.span());
                let (line, what) = (line_of(self.text, at.start), one_line(error.message()));
                self.found.push(Mistake { line, key: Some(self.path.join(".")), what });
            }
        }
    }

    /// Whether a file with nothing but this key and value would do.
    fn accepted(&mut self, line: usize, value: &str) -> bool {
        let key: Vec<String> =
            self.path.iter().map(|part| toml::Value::from(part.as_str()).to_string()).collect();
        let key = key.join(".");
        let alone = parse_at(&format!("{key} = {value}\n"));
        let what = match alone {
            Err((_, what)) => Some(what),
            Ok(file) => self.beyond_types(&file),
        };
        let fine = what.is_none();
        self.found.extend(what.map(|what| Mistake { line, key: Some(self.path.join(".")), what }));
        fine
    }

    /// What is wrong with a value of the right type.
    fn beyond_types(&self, file: &FileConfig) -> Option<String> {
        let server = match self.path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["client", "server"] => file.client.server.as_deref(),
            ["contexts", name, "server"] => file.contexts.get(*name)?.server.as_deref(),
            _ => None,
        };
        check_server(server?).err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_named_with_its_line_and_key() {
        let text = "current_context = 'p'\ncolour = 1\n[server]\nslots = 1\nslotz = 4\nbind = 'x'\n\n[serve]\na = 1\n\
                    [contexts.p]\nserver = 'ftp://h'\ntoken = 's'\n[contexts.'a b']\n[log]\nlevel = 'loud'\n";
        let found: Vec<_> = mistakes(text).into_iter().map(|m| (m.line, m.key.unwrap())).collect();
        let key = |line: usize, key: &str| (line, key.to_owned());
        let wanted = [
            key(2, "colour"),
            key(5, "server.slotz"),
            key(6, "server.bind"),
            key(8, "serve"),
            key(11, "contexts.p.server"),
            key(12, "contexts.p.token"),
            key(13, "contexts.a b"),
            key(15, "log.level"),
        ];
        assert_eq!(found, wanted);
        assert!(mistakes(text)[1].what.contains("unknown key `slotz`"));
        assert_eq!(mistakes("[server]\nslots = 1\n"), []);
    }

    #[test]
    fn every_rule_is_tried_and_then_what_they_come_to() {
        let rule = |more: &str| format!("[[admission.rules]]\naction = 'deny'\nreason = 'x'\n{more}\n");
        let text = format!("{}{}{}", rule("shel = true"), rule("shell = true"), rule("env = 3"));
        let found: Vec<_> = mistakes(&text).into_iter().map(|m| (m.line, m.key.unwrap())).collect();
        assert_eq!(found, [(4, "admission.rules".to_owned()), (12, "admission.rules".to_owned())]);
        let missing = mistakes("[admission]\ndefault = 'deny'\nrules = [{ action = 'deny' }]\n");
        assert!(
            missing.len() == 1 && missing[0].line == 3 && missing[0].what.contains("reason"),
            "{missing:?}"
        );
        let found = mistakes(&format!("{}{}", rule("shell = true"), rule("commands = ['(']")));
        assert!(found.len() == 1 && found[0].line == 5 && found[0].key.is_none(), "{found:?}");
        assert_eq!(mistakes(&rule("commands = ['^a']")), []);
    }

    #[test]
    fn what_is_no_toml_is_said_with_its_line() {
        let found = mistakes("[server]\nslots = = 1\nbind = 'localhost:1\n");
        assert!(found.len() >= 2 && found.iter().all(|mistake| mistake.key.is_none()), "{found:?}");
        assert_eq!((found[0].line, found.last().unwrap().line), (2, 3), "{found:?}");
    }
}
