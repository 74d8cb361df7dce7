//! Commands that the prose mentions between backticks: they and their flags must exist. They are not run, as many are
//! only the beginning of one.

use std::process::{Command, Stdio};

use super::documents;
use crate::process::finish;
use crate::server::BINARY;

#[test]
fn every_command_and_flag_that_the_documents_mention_exists() {
    let mut faults = Vec::new();
    let mut found = 0;
    // The changelog is about the past.
    for (name, text) in documents().into_iter().filter(|(name, _)| !name.ends_with("CHANGELOG.md")) {
        for span in spans(&text).filter(|span| span.starts_with("callboard ")) {
            found += 1;
            faults.extend(fault(span).map(|why| format!("{name}: `{span}`: {why}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(found > 0, "no command was found: are they written in another way?");
}

#[test]
fn what_does_not_exist_is_found() {
    for wrong in
        ["callboard lst", "callboard token make", "callboard list --no-such-flag", "callboard serve|srv"]
    {
        assert!(fault(wrong).is_some(), "{wrong}");
    }
    let right = "callboard token create --role admin --out FILE";
    for right in [
        "callboard config show serve --origin",
        right,
        "callboard COMMAND --help",
        "callboard queue pause|resume",
        "callboard help TOPIC",
    ] {
        assert_eq!(fault(right), None, "{right}");
    }
    let spans: Vec<_> = spans("a `b c` d\n```sh\n`e`\n```\n`f").collect();
    assert_eq!(spans, ["b c"]);
}

/// What stands between backticks, outside of blocks, on one line.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    let prose = text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    prose.flat_map(|line| {
        let parts: Vec<_> = line.split('`').collect();
        let last = parts.len() - 1;
        parts.into_iter().enumerate().filter(move |(at, _)| at % 2 == 1 && *at < last).map(|(_, part)| part)
    })
}

/// What of a mentioned command does not exist.
fn fault(span: &str) -> Option<String> {
    let mut words = span.split_whitespace().skip(1).peekable();
    let mut paths = vec![Vec::new()];
    let lower = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c == '|');
    // Below `help` come topics as well as commands, and it has pages of both.
    words.next_if_eq(&"help");
    while let Some(word) = words.next_if(|word| !word.starts_with('-') && lower(word)) {
        let each =
            |path: &Vec<_>| word.split('|').map(|one| [&path[..], &[one]].concat()).collect::<Vec<_>>();
        paths = paths.iter().flat_map(each).collect();
    }
    let flags: Vec<_> = words.filter(|word| word.starts_with("--")).collect();
    paths.iter().find_map(|path| {
        let (ended_well, page) = page_of(path);
        let name = |flag: &str| flag.split(['=', '[', ',']).next().unwrap_or_default().to_owned();
        let known =
            |flag: &str| page.split(|c: char| c.is_whitespace() || c == ',').any(|word| word == name(flag));
        match flags.iter().find(|flag| !known(flag)) {
            _ if !ended_well => Some(format!("there is no page of `callboard help {}`", path.join(" "))),
            Some(flag) => Some(format!("its help has no {flag}")),
            None => None,
        }
    })
}

/// The page of a command, without the arguments that stand behind one which has no commands below it.
fn page_of(path: &[&str]) -> (bool, String) {
    for length in (0..=path.len()).rev() {
        let (found, page) = help(&path[..length]);
        if found {
            return (length == path.len() || !page.contains("\nCommands:\n"), page);
        }
    }
    (false, String::new())
}

fn help(path: &[&str]) -> (bool, String) {
    let mut command = Command::new(BINARY);
    command.arg("help").args(path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = finish(command.spawn().unwrap(), None);
    (done.status.success(), String::from_utf8(done.stdout).unwrap())
}
