//! A rule that was checked, in the form in which jobs are held against it. It refuses to know the other rules.

use std::cell::OnceCell;

use regex::{RegexBuilder, RegexSet, RegexSetBuilder};

use super::{Asker, Rule, RuleFault};
use crate::model::limits::{
    MAX_RULE_DFA_BYTES, MAX_RULE_NAME_BYTES, MAX_RULE_REASON_BYTES, MAX_RULE_REGEX_BYTES,
    MAX_RULE_WORD_BYTES, MAX_RULE_WORDS,
};
use crate::model::spec::{CommandLine, JobSpec};

/// What runs a shell line.
const SHELL: &str = "/bin/sh";

/// A job that is judged. Its command is written out once, when the first rule asks.
pub(super) struct Asked<'a> {
    asker: Asker<'a>,
    spec: &'a JobSpec,
    line: OnceCell<String>,
}

impl<'a> Asked<'a> {
    pub(super) fn new(asker: Asker<'a>, spec: &'a JobSpec) -> Self {
        Self { asker, spec, line: OnceCell::new() }
    }

    fn line(&self) -> &str {
        match &self.spec.command {
            CommandLine::Shell(line) => line,
            CommandLine::Argv(_) => self.line.get_or_init(|| self.spec.command.display()),
        }
    }

    fn is_shell(&self) -> bool {
        matches!(self.spec.command, CommandLine::Shell(_))
    }

    fn program(&self) -> &str {
        match &self.spec.command {
            CommandLine::Shell(_) => SHELL,
            CommandLine::Argv(argv) => argv.first().map_or("", String::as_str),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Compiled {
    pub(super) rule: Rule,
    matchers: Vec<Matcher>,
}

/// One thing that a rule names.
#[derive(Clone, Debug)]
enum Matcher {
    Tenant(RegexSet),
    Token(RegexSet),
    Command(RegexSet),
    Program(RegexSet),
    Shell(bool),
    Variable(RegexSet),
    Folder(Vec<Vec<String>>),
}

impl Compiled {
    pub(super) fn new(rule: Rule) -> Result<Self, RuleFault> {
        let shown = |text: &str, max| (1..=max).contains(&text.len()) && !text.chars().any(char::is_control);
        if !shown(&rule.reason, MAX_RULE_REASON_BYTES) {
            return Err(RuleFault::Reason);
        }
        if rule.name.as_deref().is_some_and(|name| !shown(name, MAX_RULE_NAME_BYTES)) {
            return Err(RuleFault::Name);
        }
        // What is cheap to look at comes first: the patterns may be spared.
        let matchers = [
            rule.shell.map(|shell| Ok(Matcher::Shell(shell))),
            words("tenants", rule.tenants.as_ref()).map(|words| tenants(words?)),
            words("tokens", rule.tokens.as_ref()).map(|words| tokens(words?)),
            words("programs", rule.programs.as_ref()).map(|words| programs(words?)),
            words("cwd", rule.cwd.as_ref()).map(|words| folders(words?)),
            words("env", rule.env.as_ref()).map(|words| variables(words?)),
            words("commands", rule.commands.as_ref()).map(|words| commands(words?)),
        ];
        let matchers = matchers.into_iter().flatten().collect::<Result<_, _>>()?;
        Ok(Self { rule, matchers })
    }

    pub(super) fn fits(&self, asked: &Asked<'_>) -> bool {
        self.matchers.iter().all(|matcher| matcher.fits(asked))
    }
}

impl Matcher {
    fn fits(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Tenant(patterns) => patterns.is_match(asked.asker.tenant.as_str()),
            Self::Token(patterns) => asked.asker.token.is_some_and(|token| {
                patterns.is_match(&token.id)
                    || token.name.as_deref().is_some_and(|name| patterns.is_match(name))
            }),
            Self::Command(patterns) => patterns.is_match(asked.line()),
            // Nothing in a pattern fits a slash but a slash: a name is never taken for a path, nor a path for a name.
            Self::Program(patterns) => {
                let path = asked.program();
                let name = path.rsplit('/').next().unwrap_or(path);
                patterns.is_match(path) || patterns.is_match(name)
            }
            Self::Shell(shell) => *shell == asked.is_shell(),
            Self::Variable(patterns) => asked.spec.env.keys().any(|name| patterns.is_match(name)),
            Self::Folder(folders) => asked.spec.cwd.as_deref().is_some_and(|cwd| {
                let cwd = parts(cwd);
                folders.iter().any(|folder| cwd.iter().take(folder.len()).eq(folder))
            }),
        }
    }
}

fn words<'a>(list: &'static str, words: Option<&'a Vec<String>>) -> Option<Result<&'a [String], RuleFault>> {
    let words = words?;
    let long = words.iter().find(|word| word.len() > MAX_RULE_WORD_BYTES);
    Some(match long {
        _ if words.is_empty() => Err(RuleFault::Empty { list }),
        _ if words.len() > MAX_RULE_WORDS => Err(RuleFault::TooManyWords { list }),
        Some(word) => Err(RuleFault::LongWord { list, start: word.chars().take(40).collect() }),
        None => Ok(words),
    })
}

fn commands(patterns: &[String]) -> Result<Matcher, RuleFault> {
    for pattern in patterns {
        // One by one, because a set does not say which one is wrong.
        let read = RegexBuilder::new(pattern).size_limit(MAX_RULE_REGEX_BYTES).build();
        read.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => RuleFault::TooLarge { list: "commands" },
            other => RuleFault::Pattern { pattern: pattern.clone(), why: last_line(&other) },
        })?;
    }
    set("commands", patterns).map(Matcher::Command)
}

/// The library draws the pattern and what is wrong below it; the last line says it.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or_default().trim();
    line.trim_start_matches("error: ").to_owned()
}

fn set(list: &'static str, patterns: &[String]) -> Result<RegexSet, RuleFault> {
    let mut builder = RegexSetBuilder::new(patterns);
    let set = builder.size_limit(MAX_RULE_REGEX_BYTES).dfa_size_limit(MAX_RULE_DFA_BYTES).build();
    // Each of them was read before: only all of them together can be too much.
    set.map_err(|_| RuleFault::TooLarge { list })
}

/// Patterns of whole words in which `*` stands for any number of what `any` fits, and `?` for one.
fn globs(list: &'static str, globs: &[String], any: &str) -> Result<RegexSet, RuleFault> {
    let part = |c: char| match c {
        '*' => format!("{any}*"),
        '?' => any.to_owned(),
        _ => regex::escape(c.encode_utf8(&mut [0; 4])),
    };
    let patterns: Vec<_> =
        globs.iter().map(|glob| format!("^{}$", glob.chars().map(part).collect::<String>())).collect();
    set(list, &patterns)
}

/// The first of them that has another character than these, or none at all.
fn misfit(globs: &[String], fine: impl Fn(char) -> bool) -> Option<&String> {
    globs.iter().find(|glob| glob.is_empty() || !glob.chars().all(|c| fine(c) || "*?".contains(c)))
}

fn tenants(words: &[String]) -> Result<Matcher, RuleFault> {
    match misfit(words, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c)) {
        Some(glob) => Err(RuleFault::Tenant(glob.clone())),
        None => globs("tenants", words, ".").map(Matcher::Tenant),
    }
}

fn tokens(words: &[String]) -> Result<Matcher, RuleFault> {
    match misfit(words, |c| !c.is_control()) {
        Some(glob) => Err(RuleFault::Token(glob.clone())),
        None => globs("tokens", words, ".").map(Matcher::Token),
    }
}

fn programs(words: &[String]) -> Result<Matcher, RuleFault> {
    let none = |program: &&String| program.is_empty() || program.ends_with('/') || program.contains('\0');
    match words.iter().find(none) {
        Some(program) => Err(RuleFault::Program(program.clone())),
        None => globs("programs", words, "[^/]").map(Matcher::Program),
    }
}

fn variables(words: &[String]) -> Result<Matcher, RuleFault> {
    match misfit(words, |c| c.is_ascii_alphanumeric() || c == '_') {
        Some(glob) => Err(RuleFault::Variable(glob.clone())),
        None => globs("env", words, ".").map(Matcher::Variable),
    }
}

fn folders(folders: &[String]) -> Result<Matcher, RuleFault> {
    match folders.iter().find(|folder| !folder.starts_with('/') || folder.contains('\0')) {
        Some(folder) => Err(RuleFault::Folder(folder.clone())),
        None => Ok(Matcher::Folder(folders.iter().map(|folder| parts(folder)).collect())),
    }
}

/// The names on the way to a folder, with `.` and `..` resolved as far as that is possible without a disk.
fn parts(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name.to_owned()),
        }
    }
    parts
}
