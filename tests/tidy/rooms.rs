//! Who may import whom. The tables repeat ARCHITECTURE's "Rooms: what each may know"; change both together.

use crate::lexer::Tok;
use crate::report::Problem;
use crate::source::Source;

const RULE: &str = "room";
const LIBRARY: &str = "actors/src";
const NODE: &str = "src";

/// A room and the rooms it may import.
type Row = (&'static str, &'static [&'static str]);

/// Rooms of the library. `clock` is added to every row but those of `NO_CLOCK`.
const LIBRARY_ROOMS: &[Row] = &[
    ("model", &[]),
    ("clock", &["model"]),
    ("policy", &["model"]),
    ("link", &["model", "policy"]),
    ("protocol", &["model", "link"]),
    ("wire", &["model", "link", "protocol"]),
    ("store", &["model"]),
    ("exec", &["model"]),
    ("spool", &["model"]),
    ("secret", &["model"]),
    ("coordinator", &["model", "policy", "protocol", "store", "link", "secret"]),
    ("scheduler", &["model", "policy", "protocol", "link"]),
    ("runner", &["model", "protocol", "exec", "spool", "link", "secret"]),
    ("tls", &[]),
    ("courier", &["wire", "tls"]),
    ("runner_proxy", &["model", "protocol", "wire", "link", "secret", "courier", "exec"]),
    ("uplink", &["model", "protocol", "wire", "link", "secret", "courier"]),
    ("metrics", &["model", "protocol"]),
    ("events", &["protocol"]),
    ("testing", &["model", "protocol", "exec"]),
    ("graph", &[]),
];

const NO_CLOCK: [&str; 4] = ["model", "policy", "link", "protocol"];

/// Rooms of the node.
const NODE_ROOMS: &[Row] = &[
    ("main", &["lib", "cli", "config", "telemetry", "http", "node", "demo", "bench"]),
    ("cli", &["config", "telemetry", "http", "node", "demo", "bench"]),
    ("demo", &["cli", "config", "telemetry", "http", "node"]),
    ("bench", &["cli", "config", "telemetry", "http", "node"]),
    ("node", &["config", "telemetry", "http"]),
    ("http", &["config", "telemetry"]),
    ("telemetry", &["config"]),
    ("config", &[]),
    ("lib", &[]),
];

/// What `http` may know of the library.
const HTTP_OF_LIBRARY: [&str; 4] = ["protocol", "wire", "model", "clock"];

/// Rooms that introduce the others and stand outside the tables.
const OUTSIDE: [&str; 2] = ["lib", "graph"];

/// Every import edge outside the tables.
pub fn check(sources: &[Source]) -> Vec<Problem> {
    sources.iter().filter(|source| !source.is_test).flat_map(check_one).collect()
}

/// The names of the rooms of the library.
pub fn library_rooms() -> impl Iterator<Item = &'static str> {
    LIBRARY_ROOMS.iter().map(|row| row.0)
}

fn check_one(source: &Source) -> Vec<Problem> {
    let library = source.room(LIBRARY).map(|room| (LIBRARY, room, LIBRARY_ROOMS));
    let Some((folder, room, table)) =
        library.or_else(|| source.room(NODE).map(|room| (NODE, room, NODE_ROOMS)))
    else {
        return Vec::new();
    };
    if folder == LIBRARY && OUTSIDE.contains(&room) || folder == NODE && room == "lib" {
        return Vec::new();
    }
    let Some(row) = table.iter().find(|row| row.0 == room) else {
        let what = format!(
            "`{room}` is no room of {folder}/: move the file into one, or add it to the table here and in ARCHITECTURE"
        );
        return vec![Problem::new(RULE, &source.path, 0, what)];
    };
    let judge = Judge { source, folder, table, row };
    source.product.sequences().flat_map(|toks| judge.sequence(toks)).collect()
}

struct Judge<'a> {
    source: &'a Source,
    folder: &'a str,
    table: &'a [Row],
    row: &'a Row,
}

impl Judge<'_> {
    fn sequence(&self, toks: &[Tok]) -> Vec<Problem> {
        (0..toks.len()).filter_map(|at| self.path_at(toks, at)).collect()
    }

    /// Judges the path that starts at this token, if one that may leave the room does.
    fn path_at(&self, toks: &[Tok], at: usize) -> Option<Problem> {
        let continues = at >= 2 && toks[at - 2..at].iter().all(|tok| tok.text == ":");
        let rest = &toks[at..];
        let complaint = match toks[at].text.as_str() {
            "crate" => self.judge_root(rest),
            "callboard_actors" if self.folder == LIBRARY => self.judge_root(rest),
            "callboard_actors" if self.row.0 == "http" => judge_library(rest),
            "callboard" if self.folder == NODE && !continues => self.judge_root(rest),
            "super" if !continues || at >= 3 && toks[at - 3].text == "self" => self.judge_super(rest),
            _ => None,
        }?;
        Some(Problem::new(RULE, &self.source.path, toks[at].line, complaint))
    }

    /// `crate::segment..`
    fn judge_root(&self, toks: &[Tok]) -> Option<String> {
        match next_segment(toks) {
            Next::Segment(segment) => self.edge(segment),
            Next::Renamed => Some("the crate root is renamed: write paths in full".to_owned()),
            Next::Nothing => None,
        }
    }

    /// `super::super::segment..`: as many steps up as leave the room end at the crate root.
    fn judge_super(&self, toks: &[Tok]) -> Option<String> {
        let steps =
            (0..).step_by(3).take_while(|&at| toks.get(at).is_some_and(|tok| tok.text == "super")).count();
        let depth = self.file_depth() + toks[0].inline_mods;
        if steps < depth { None } else { self.judge_root(&toks[(steps - 1) * 3..]) }
    }

    /// Modules between the crate root and the top of this file: 1 for `room.rs`, 2 for `room/part.rs`.
    fn file_depth(&self) -> usize {
        if self.row.0 == "main" { 0 } else { self.source.path[self.folder.len()..].matches('/').count() }
    }

    fn edge(&self, to: &str) -> Option<String> {
        let (from, allowed) = self.row;
        let clock = to == "clock" && self.folder == LIBRARY && !NO_CLOCK.contains(from);
        if to == *from || allowed.contains(&to) || clock {
            return None;
        }
        if self.table.iter().any(|row| row.0 == to) {
            return Some(format!("room `{from}` may not import `{to}`: it may know {}", self.known()));
        }
        Some(format!("`{to}` is taken from the crate root: import it from the room it lives in"))
    }

    fn known(&self) -> String {
        let (from, allowed) = self.row;
        let clock = (self.folder == LIBRARY && !NO_CLOCK.contains(from)).then_some("clock");
        let names: Vec<&str> = allowed.iter().copied().chain(clock).collect();
        if names.is_empty() { "no other room".to_owned() } else { names.join(", ") }
    }
}

fn judge_library(toks: &[Tok]) -> Option<String> {
    let known = HTTP_OF_LIBRARY.join(", ");
    match next_segment(toks) {
        Next::Segment(segment) if HTTP_OF_LIBRARY.contains(&segment) => None,
        Next::Segment(segment) => {
            Some(format!("`http` may not take `callboard_actors::{segment}`: it may know {known}"))
        }
        Next::Renamed => Some("`callboard_actors` is renamed: write paths in full".to_owned()),
        Next::Nothing => None,
    }
}

enum Next<'a> {
    Segment(&'a str),
    Renamed,
    Nothing,
}

/// What follows the first token of a path.
fn next_segment(toks: &[Tok]) -> Next<'_> {
    let text = |at: usize| toks.get(at).map(|tok| tok.text.as_str());
    match (text(1), text(2), text(3)) {
        (Some(":"), Some(":"), Some(segment)) => Next::Segment(segment),
        (Some("as"), ..) => Next::Renamed,
        _ => Next::Nothing,
    }
}
