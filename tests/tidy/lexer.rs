//! Turns Rust source into flat sequences of tokens with line numbers; comments are gone and a string is one
//! token. Knows the shape of items and of `use` trees, but no rule of the house.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// One token: an identifier, one character of punctuation, a bracket, or a whole literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tok {
    pub text: String,
    pub line: usize,
    /// How many inline `mod name { .. }` enclose it.
    pub inline_mods: usize,
}

/// A lexed file.
#[derive(Debug, Default)]
pub struct Lexed {
    /// All tokens but the `use` declarations.
    pub body: Vec<Tok>,
    /// One full path for every leaf of every `use` declaration, such as `std :: env :: var as v`.
    pub uses: Vec<Vec<Tok>>,
    /// Lines taken by the test items that were left out.
    pub test_lines: Vec<RangeInclusive<usize>>,
    /// Names of `mod name;` declarations that are only compiled for tests.
    pub test_mods: Vec<String>,
    /// The whole file is only compiled for tests.
    pub all_test: bool,
}

impl Lexed {
    /// The body and every imported path, to search one after the other.
    pub fn sequences(&self) -> impl Iterator<Item = &[Tok]> {
        std::iter::once(self.body.as_slice()).chain(self.uses.iter().map(Vec::as_slice))
    }
}

/// Lexes source, leaving out what only tests compile unless `keep_tests`.
pub fn lex(source: &str, keep_tests: bool) -> Result<Lexed, String> {
    let stream = TokenStream::from_str(source).map_err(|error| error.to_string())?;
    let mut walk = Walk { keep_tests, inline_mods: 0, out: Lexed::default() };
    walk.stream(stream);
    Ok(walk.out)
}

/// The texts of the tokens of a short pattern, such as `Instant::now`.
pub fn texts(pattern: &str) -> Vec<String> {
    let lexed = lex(pattern, true).expect("a pattern is written in tokens");
    lexed.body.into_iter().map(|tok| tok.text).collect()
}

struct Walk {
    keep_tests: bool,
    inline_mods: usize,
    out: Lexed,
}

impl Walk {
    fn stream(&mut self, stream: TokenStream) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while at < trees.len() {
            at = match self.test_item(&trees[at..]).or_else(|| self.use_item(&trees[at..])) {
                Some(length) => at + length,
                None => {
                    self.tree(&trees, at);
                    at + 1
                }
            };
        }
    }

    fn tree(&mut self, trees: &[TokenTree], at: usize) {
        match &trees[at] {
            TokenTree::Group(group) => {
                let inline_mod = at >= 2 && is(&trees[at - 2], "mod") && is_brace(&trees[at]);
                self.inline_mods += usize::from(inline_mod);
                self.group(group);
                self.inline_mods -= usize::from(inline_mod);
            }
            leaf => {
                let tok = self.tok(leaf.to_string(), leaf.span().start().line);
                self.out.body.push(tok);
            }
        }
    }

    fn group(&mut self, group: &Group) {
        let (open, close) = brackets(group.delimiter());
        let first = self.tok(open.to_owned(), group.span_open().start().line);
        self.out.body.push(first);
        self.stream(group.stream());
        let last = self.tok(close.to_owned(), group.span_close().end().line);
        self.out.body.push(last);
    }

    fn tok(&self, text: String, line: usize) -> Tok {
        Tok { text, line, inline_mods: self.inline_mods }
    }

    /// The number of trees of the item that starts here, if only tests compile it.
    fn test_item(&mut self, trees: &[TokenTree]) -> Option<usize> {
        if self.keep_tests {
            return None;
        }
        if let [hash, bang, TokenTree::Group(attribute), ..] = trees
            && is(hash, "#")
            && is(bang, "!")
            && is_test_attribute(attribute)
        {
            self.out.all_test |= self.inline_mods == 0;
            return Some(trees.len());
        }
        let attributes = attributes(trees);
        let count = attributes.len() * 2;
        if !attributes.into_iter().any(is_test_attribute) {
            return None;
        }
        let length = count + item_length(&trees[count..]);
        let lines = trees[0].span().start().line..=trees[length - 1].span().end().line;
        self.out.test_lines.push(lines);
        self.out.test_mods.extend(declared_mod(&trees[count..length]));
        Some(length)
    }

    /// The number of trees of the `use` declaration that starts here; its paths are recorded.
    fn use_item(&mut self, trees: &[TokenTree]) -> Option<usize> {
        if !is(&trees[0], "use") || trees.get(1).is_none_or(|next| is(next, "<")) {
            return None;
        }
        let end = trees.iter().position(|tree| is(tree, ";"))?;
        self.leaves(&[], &trees[1..end]);
        Some(end + 1)
    }

    fn leaves(&mut self, prefix: &[Tok], trees: &[TokenTree]) {
        let mut path = prefix.to_vec();
        for tree in trees {
            match tree {
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for branch in inner.split(|tree| is(tree, ",")).filter(|branch| !branch.is_empty()) {
                        self.leaves(&path, branch);
                    }
                    return;
                }
                leaf => path.push(self.tok(leaf.to_string(), leaf.span().start().line)),
            }
        }
        self.out.uses.push(path);
    }
}

fn is(tree: &TokenTree, text: &str) -> bool {
    match tree {
        TokenTree::Ident(ident) => ident == text,
        TokenTree::Punct(punct) => text.len() == 1 && text.starts_with(punct.as_char()),
        _ => false,
    }
}

fn is_brace(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

fn brackets(delimiter: Delimiter) -> (&'static str, &'static str) {
    match delimiter {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    }
}

/// The groups of the `#[..]` at the start; each is two trees long.
fn attributes(trees: &[TokenTree]) -> Vec<&Group> {
    let pairs = trees.chunks_exact(2).map_while(|pair| match pair {
        [hash, TokenTree::Group(group)] if is(hash, "#") && group.delimiter() == Delimiter::Bracket => {
            Some(group)
        }
        _ => None,
    });
    pairs.collect()
}

/// `#[test]`, `#[actix::test]`, `#[bench]`, or a `cfg` that names `test` other than in `not(..)`. So
/// `cfg(any(test, feature = "testing"))` counts as a test.
fn is_test_attribute(attribute: &Group) -> bool {
    let trees: Vec<TokenTree> = attribute.stream().into_iter().collect();
    let path_end = trees.iter().take_while(|tree| !matches!(tree, TokenTree::Group(_)) && !is(tree, "="));
    let last = path_end.last();
    match (trees.first(), trees.get(1)) {
        (Some(cfg), Some(TokenTree::Group(condition))) if is(cfg, "cfg") => names_test(condition),
        _ => last.is_some_and(|tree| is(tree, "test") || is(tree, "bench")),
    }
}

fn names_test(condition: &Group) -> bool {
    let trees: Vec<TokenTree> = condition.stream().into_iter().collect();
    trees.iter().enumerate().any(|(at, tree)| match tree {
        TokenTree::Group(inner) => !(at > 0 && is(&trees[at - 1], "not")) && names_test(inner),
        tree => is(tree, "test"),
    })
}

/// The number of trees up to the end of the item, field, variant or statement that starts here.
fn item_length(trees: &[TokenTree]) -> usize {
    const ENDS_WITH_SEMICOLON: [&str; 4] = ["use", "static", "let", "type"];
    let keyword = trees.iter().position(|tree| !is(tree, "pub") && !matches!(tree, TokenTree::Group(_)));
    let start = keyword.unwrap_or(0);
    let is_value = |at: usize| is(&trees[at], "const") && !trees.get(at + 1).is_some_and(is_function_word);
    let to_semicolon = start < trees.len()
        && (is_value(start) || ENDS_WITH_SEMICOLON.iter().any(|word| is(&trees[start], word)));
    let keywords =
        ["fn", "mod", "struct", "enum", "union", "impl", "trait", "unsafe", "async", "extern", "const"];
    let plain = start < trees.len() && !keywords.iter().any(|word| is(&trees[start], word));
    let ends =
        |tree: &TokenTree| is(tree, ";") || !to_semicolon && (is_brace(tree) || plain && is(tree, ","));
    trees.iter().position(ends).map_or(trees.len(), |at| at + 1)
}

fn is_function_word(tree: &TokenTree) -> bool {
    ["fn", "unsafe", "async", "extern"].iter().any(|word| is(tree, word))
}

/// The name in `mod name;`, with or without a visibility.
fn declared_mod(item: &[TokenTree]) -> Option<String> {
    match item {
        [.., keyword, name, end] if is(keyword, "mod") && is(end, ";") => Some(name.to_string()),
        _ => None,
    }
}
