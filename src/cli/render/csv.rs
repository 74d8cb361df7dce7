//! Comma-separated values as RFC 4180 has them. A text that a spreadsheet would take for a formula gets an apostrophe
//! in front.

use csv::{Terminator, WriterBuilder};

use super::super::exit::Failure;
use super::super::style::plain;
use super::{Cell, Column, Looks};

/// Beginnings that a spreadsheet takes for a formula, and the mark itself, so that it can be taken away again: of a
/// text that begins with an apostrophe, the first one is ours.
const GUARDED: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\''];

/// The rows, after the names of the columns.
pub(super) fn text<R>(rows: &[R], columns: &[&Column<R>], looks: &Looks) -> Result<String, Failure> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    let failed = |error: csv::Error| Failure::new(1, error.to_string());
    if looks.headers {
        writer.write_record(columns.iter().map(|column| column.key())).map_err(failed)?;
    }
    for row in rows {
        writer.write_record(columns.iter().map(|column| value(&column.cell(row), looks))).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| Failure::new(1, error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| Failure::new(1, error.to_string()))
}

/// The text of a cell. Into a file it goes as it is, onto a terminal without what could steer it.
fn value(cell: &Cell, looks: &Looks) -> String {
    let text = cell.machine();
    let text = if looks.terminal { plain(&text) } else { text };
    if cell.is_foreign() && text.starts_with(GUARDED) { format!("'{text}") } else { text }
}
