//! Tables: columns side by side, cut to a terminal where there is one and in full where there is none.

use comfy_table::{CellAlignment, Table, presets};
use unicode_width::UnicodeWidthChar;

use super::super::style::{is_mark, marked, painted};
use super::column::Room;
use super::{Column, Looks};
use crate::config::OutputForm;

/// Columns between two columns of a table.
const GAP: usize = 2;
/// Least columns that a text is cut to.
const LEAST: usize = 8;
/// Characters of a time-ordered id that hold its time to the millisecond, and the count within it.
const ID_CHARS: usize = 18;

/// The rows as a table.
pub(super) fn table<R>(rows: &[R], columns: &[&Column<R>], looks: &Looks) -> String {
    let titles = columns.iter().map(|column| column.title().to_owned()).collect();
    let cells = |row| columns.iter().map(|column| column.cell(row).people(looks)).collect();
    let mut lines: Vec<Vec<String>> = Vec::with_capacity(rows.len() + 1);
    lines.extend(looks.headers.then_some(titles));
    lines.extend(rows.iter().map(cells));
    if let Some(width) = looks.width {
        let rooms: Vec<Room> = columns.iter().map(|column| column.room()).collect();
        fit(&mut lines, &rooms, width, looks);
    }
    even_marks(&mut lines, columns.len());
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_rows(lines);
    // From the first column on, so that the lines are as easy to cut as those of other commands.
    for (column, shape) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, GAP as u16));
        column.set_cell_alignment(if shape.is_right() { CellAlignment::Right } else { CellAlignment::Left });
    }
    let shown = table.trim_fmt();
    let cut = |line: &str| looks.width.map_or_else(|| line.to_owned(), |width| cut(line, width));
    shown.lines().map(|line| painted(&cut(line)) + "\n").collect()
}

/// Marks are counted as columns until they are painted: where one cell of a column has them, each has, its title too.
fn even_marks(lines: &mut [Vec<String>], columns: usize) {
    let has_mark = |cell: &str| cell.contains(is_mark);
    for at in (0..columns).filter(|at| lines.iter().any(|line| has_mark(&line[*at]))).collect::<Vec<_>>() {
        for line in lines.iter_mut().filter(|line| !has_mark(&line[at])) {
            line[at] = marked(&line[at]);
        }
    }
}

/// Makes the lines as wide as the terminal, if that is possible: ids first, then the longest texts.
fn fit(lines: &mut [Vec<String>], rooms: &[Room], width: usize, looks: &Looks) {
    let mut widths = widths(lines, rooms.len());
    let total = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    if total(&widths) > width && looks.form == OutputForm::Table {
        for at in (0..rooms.len()).filter(|at| rooms[*at] == Room::Id) {
            shorten_ids(lines, at, usize::from(looks.headers));
        }
        widths = self::widths(lines, rooms.len());
    }
    while total(&widths) > width {
        let flexible = (0..rooms.len()).filter(|at| rooms[*at] == Room::Flexible && widths[*at] > LEAST);
        let Some(longest) = flexible.max_by_key(|at| widths[*at]) else { break };
        let others = total(&widths) - widths[longest];
        let second = (0..rooms.len()).filter(|at| *at != longest && rooms[*at] == Room::Flexible);
        let second = second.map(|at| widths[at]).max().unwrap_or(LEAST).max(LEAST);
        // Down to the next longest at a time, so that each gives what it has more than the others.
        let floor = if second < widths[longest] { second } else { widths[longest] - 1 };
        widths[longest] = width.saturating_sub(others).max(floor);
    }
    for line in lines {
        for (at, cell) in line.iter_mut().enumerate().filter(|(at, _)| rooms[*at] == Room::Flexible) {
            *cell = cut(cell, widths[at]);
        }
    }
}

fn widths(lines: &[Vec<String>], columns: usize) -> Vec<usize> {
    let widest = |at: usize| lines.iter().map(|line| width_of(&line[at])).max().unwrap_or(0);
    (0..columns).map(widest).collect()
}

/// Cuts a column of ids to the shortest length, from the usual one on, at which those in it differ.
fn shorten_ids(lines: &mut [Vec<String>], at: usize, first: usize) {
    let ids = || lines[first..].iter().map(|line| line[at].as_str()).filter(|id| id.is_ascii());
    let all = ids().collect::<std::collections::BTreeSet<_>>();
    let longest = all.iter().map(|id| id.len()).max().unwrap_or(0);
    let differ = |length: &usize| {
        let cut = ids().map(|id| &id[..id.len().min(*length)]);
        cut.collect::<std::collections::BTreeSet<_>>().len() == all.len()
    };
    let Some(length) = (ID_CHARS..longest).find(differ) else { return };
    for line in &mut lines[first..] {
        if line[at].is_ascii() {
            line[at].truncate(length);
        }
    }
}

/// Columns that a text takes; its marks take none.
fn width_of(text: &str) -> usize {
    text.chars().filter(|c| !is_mark(*c)).filter_map(UnicodeWidthChar::width).sum()
}

/// The beginning of a text that is no wider than this, with a sign that there is more. It keeps all marks, so that no
/// colour goes on behind it.
fn cut(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let most = width.saturating_sub(1);
    let (mut taken, mut full) = (0, false);
    let mut kept = String::new();
    for c in text.chars() {
        if is_mark(c) {
            kept.push(c);
            continue;
        }
        let wide = c.width().unwrap_or(0);
        if !full && taken + wide <= most {
            kept.push(c);
            taken += wide;
        } else if !full {
            full = true;
            kept.push('\u{2026}');
        }
    }
    kept
}
