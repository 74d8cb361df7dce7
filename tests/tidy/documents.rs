//! What the documents owe the code: every message is in PROTOCOL.md, every setting and limit in CONFIGURATION.md.

use crate::lexer::Tok;
use crate::report::Problem;
use crate::source::Source;

const RULE: &str = "document";
pub const PROTOCOL: &str = "docs/PROTOCOL.md";
pub const CONFIGURATION: &str = "docs/CONFIGURATION.md";
const LIMITS: &str = "actors/src/model/limits";

/// Something that a document must name, and where it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owed {
    name: String,
    path: String,
    line: usize,
}

/// Messages of `protocol` that PROTOCOL.md does not name. A missing document names nothing.
pub fn check_messages(sources: &[Source], document: Option<&str>) -> Vec<Problem> {
    let rooms = sources.iter().filter(|source| source.room("actors/src") == Some("protocol"));
    let owed = rooms.flat_map(|source| declared(source, &messages(&source.product.body)));
    missing(owed, PROTOCOL, document, &document.map_or(String::new(), str::to_owned))
}

/// Keys and limits that CONFIGURATION.md does not name in `code`. A missing document names nothing.
pub fn check_settings(sources: &[Source], document: Option<&str>) -> Vec<Problem> {
    let owed = sources.iter().flat_map(|source| {
        let body = &source.product.body;
        let mut names = match source.room("src") {
            Some("config") => keys(body),
            _ if in_limits(&source.path) => constants(body),
            _ => Vec::new(),
        };
        if has_limits_of_its_own(source) {
            names.extend(limits(body));
        }
        declared(source, &names)
    });
    missing(owed, CONFIGURATION, document, &code_of(document.unwrap_or_default()))
}

fn in_limits(path: &str) -> bool {
    path.strip_prefix(LIMITS).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// What the command line draws and what the bench measures with is nobody's setting.
fn has_limits_of_its_own(source: &Source) -> bool {
    let of_node = source.room("src").is_some_and(|room| !["cli", "bench"].contains(&room));
    let of_library = source.room("actors/src").is_some() && !in_limits(&source.path);
    of_node || of_library
}

fn declared(source: &Source, names: &[(String, usize)]) -> Vec<Owed> {
    let owed =
        |(name, line): &(String, usize)| Owed { name: name.clone(), path: source.path.clone(), line: *line };
    if source.is_test { Vec::new() } else { names.iter().map(owed).collect() }
}

fn missing(owed: impl Iterator<Item = Owed>, path: &str, document: Option<&str>, text: &str) -> Vec<Problem> {
    let advice = match document {
        Some(_) => format!("is not in {path}: describe it there"),
        None => format!("is owed to {path}, which does not exist: write it"),
    };
    owed.filter(|owed| owed.name.starts_with('$') || !has_word(text, &owed.name))
        .map(|owed| {
            let what = match owed.name.as_str() {
                name if name.starts_with('$') => {
                    "is named by a macro, where nobody finds it: write it out".to_owned()
                }
                name => format!("`{name}` {advice}"),
            };
            Problem::new(RULE, &owed.path, owed.line, what)
        })
        .collect()
}

fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let free = |at: usize| {
        !text[..at].chars().next_back().is_some_and(part)
            && !text[at + word.len()..].chars().next().is_some_and(part)
    };
    text.match_indices(word).any(|(at, _)| free(at))
}

/// What a Markdown text says in `code` and in fenced blocks, so that a setting called `port` is not found in
/// prose by accident.
fn code_of(markdown: &str) -> String {
    let mut code = String::new();
    let mut fenced = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            code.push_str(line);
        } else {
            code.extend(line.split('`').skip(1).step_by(2).flat_map(|span| [span, " "]));
        }
        code.push('\n');
    }
    code
}

/// Types with `#[rtype(..)]`, with `#[derive(Message)]`, or with `impl Message for ..`.
fn messages(toks: &[Tok]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for at in 0..toks.len() {
        let name = match toks[at].text.as_str() {
            "rtype" if at > 0 && toks[at - 1].text == "[" => type_after(&toks[at..], &["struct", "enum"]),
            "derive" if derives(&toks[at..], "Message") => type_after(&toks[at..], &["struct", "enum"]),
            "Message" if text(toks, at + 1) == "for" => last_segment(&toks[at + 2..]),
            _ => None,
        };
        found.extend(name);
    }
    found.sort_by_key(|(_, line)| *line);
    found.dedup();
    found
}

/// The name after the next of these keywords; `$` and the name if a macro gives it.
fn type_after(toks: &[Tok], keywords: &[&str]) -> Option<(String, usize)> {
    let at = toks.iter().position(|tok| keywords.contains(&tok.text.as_str()))?;
    last_segment(&toks[at + 1..])
}

/// The last name of the path at the start, before its generics.
fn last_segment(toks: &[Tok]) -> Option<(String, usize)> {
    let is_name = |tok: &&Tok| tok.text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let path = toks
        .iter()
        .take_while(|tok| is_name(tok) && tok.text != "where" || [":", "$"].contains(&tok.text.as_str()));
    let path: Vec<&Tok> = path.collect();
    let name = path.iter().rev().find(|tok| is_name(tok))?;
    let dollar = if path[0].text == "$" { "$" } else { "" };
    Some((format!("{dollar}{}", name.text), name.line))
}

/// Whether the `derive(..)` at the start lists this trait.
fn derives(toks: &[Tok], name: &str) -> bool {
    text(toks, 1) == "(" && toks.iter().skip(2).take_while(|tok| tok.text != ")").any(|tok| tok.text == name)
}

/// `pub const NAME`.
fn constants(toks: &[Tok]) -> Vec<(String, usize)> {
    let public =
        |window: &&[Tok]| window[0].text == "pub" && window[1].text == "const" && window[2].text != "fn";
    toks.windows(3).filter(public).map(|window| (window[2].text.clone(), window[2].line)).collect()
}

/// `const MAX_..`, whoever may see it.
fn limits(toks: &[Tok]) -> Vec<(String, usize)> {
    let limit = |pair: &&[Tok]| pair[0].text == "const" && pair[1].text.starts_with("MAX_");
    toks.windows(2).filter(limit).map(|pair| (pair[1].text.clone(), pair[1].line)).collect()
}

/// The fields that serde reads into structs called `..Config` or `..Section`, by the names that it reads.
fn keys(toks: &[Tok]) -> Vec<(String, usize)> {
    let structs = (0..toks.len()).filter(|&at| text(toks, at) == "struct");
    structs.flat_map(|at| keys_of_struct(toks, at)).collect()
}

fn keys_of_struct(toks: &[Tok], at: usize) -> Vec<(String, usize)> {
    let name = text(toks, at + 1);
    let head = attributes_before(toks, at);
    let by_hand = toks.windows(2).any(|pair| pair[0].text == "for" && pair[1].text == name)
        && toks.iter().any(|tok| tok.text == "Deserialize");
    let derived = (0..head.len()).any(|at| text(head, at) == "derive" && derives(&head[at..], "Deserialize"));
    let open =
        toks[at..].iter().position(|tok| ["{", "(", ";"].contains(&tok.text.as_str())).map(|open| at + open);
    match open {
        Some(open) if text(toks, open) == "{" && (name.ends_with("Config") || name.ends_with("Section")) => {
            if derived || by_hand {
                fields(&toks[open + 1..], is_kebab(head))
            } else {
                Vec::new()
            }
        }
        _ => Vec::new(),
    }
}

fn is_kebab(head: &[Tok]) -> bool {
    head.iter().any(|tok| tok.text == "rename_all") && head.iter().any(|tok| tok.text == "\"kebab-case\"")
}

/// From the end of the item before to here.
fn attributes_before(toks: &[Tok], at: usize) -> &[Tok] {
    let ends = |tok: &Tok| tok.text == ";" || tok.text == "}";
    let start = toks[..at].iter().rposition(ends).map_or(0, |end| end + 1);
    &toks[start..at]
}

/// The names of the fields of the struct whose first field starts here.
fn fields(toks: &[Tok], kebab: bool) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, tok) in toks.iter().enumerate() {
        match tok.text.as_str() {
            "}" if depth == 0 => break,
            "(" | "[" | "{" | "<" => depth += 1,
            ">" if text(toks, at.wrapping_sub(1)) == "-" => {}
            ")" | "]" | "}" | ">" => depth = depth.saturating_sub(1),
            "," if depth == 0 => start = at + 1,
            ":" if depth == 0 && at > start && text(toks, at + 1) != ":" && text(toks, at - 1) != ":" => {
                found.extend(field(&toks[start..at], kebab));
            }
            _ => {}
        }
    }
    found
}

/// The name that serde reads for a field, given its attributes, visibility and name.
fn field(toks: &[Tok], kebab: bool) -> Option<(String, usize)> {
    let (name, attributes) = toks.split_last()?;
    let has = |word: &str| attributes.iter().any(|tok| tok.text == word);
    if has("skip") || has("skip_deserializing") || has("flatten") {
        return None;
    }
    let rename =
        (0..attributes.len()).find(|&at| text(attributes, at) == "rename" && text(attributes, at + 1) == "=");
    let name = match rename {
        Some(at) => (text(attributes, at + 2).trim_matches('"').to_owned(), name.line),
        None if kebab => (name.text.replace('_', "-"), name.line),
        None => (name.text.clone(), name.line),
    };
    Some(name)
}

fn text(toks: &[Tok], at: usize) -> &str {
    toks.get(at).map_or("", |tok| tok.text.as_str())
}
