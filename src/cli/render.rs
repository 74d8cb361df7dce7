//! Rows of anything in every form of output: a table, a wide one, JSON, JSON lines, names, CSV. A command says which
//! columns its rows have and what stands in them; everything else is done here. It knows no job and no server.

use callboard_actors::clock;
use serde::{Serialize, Serializer};

use super::exit::{Failure, USAGE};
use super::style::plain;
use crate::config::OutputForm;

mod cell;
mod column;
mod csv;
mod json;
mod layout;

pub use cell::{Cell, short_bytes};
pub use column::Column;
pub use json::json_line;

/// How rows are to look, settled once for a command.
#[derive(Clone, Debug)]
pub struct Looks {
    /// The form.
    pub form: OutputForm,
    /// The columns that were asked for, in order; empty when it is left to the form.
    pub fields: Vec<String>,
    /// Whether tables and CSV begin with the names of their columns.
    pub headers: bool,
    /// Whether tables have times in full instead of ages.
    pub utc: bool,
    /// Whether there is colour.
    pub colours: bool,
    /// Whether standard output is a terminal.
    pub terminal: bool,
    /// Columns of the terminal, when there is one.
    pub width: Option<usize>,
    /// The time that ages are counted to, in milliseconds since 1970.
    pub now_ms: i64,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            form: OutputForm::Table,
            fields: Vec::new(),
            headers: true,
            utc: false,
            colours: false,
            terminal: false,
            width: None,
            now_ms: clock::now_ms(),
        }
    }
}

impl Looks {
    /// Whether a command says it in its usual words for people: no form and no columns were asked for.
    pub fn usual(&self) -> bool {
        self.form == OutputForm::Table && self.fields.is_empty()
    }

    /// The same for what comes after the first rows: column names are not repeated.
    #[must_use]
    pub fn continued(&self) -> Self {
        Self { headers: false, ..self.clone() }
    }
}

/// The rows as text that ends with a line end, or with nothing when there is nothing to say. In JSON they are an array,
/// or the one object when no more could come (`several` is false).
///
/// # Errors
/// A usage error when a column was asked for that there is none of.
pub fn rows<R: Serialize>(
    rows: &[R],
    columns: &[Column<R>],
    several: bool,
    looks: &Looks,
) -> Result<String, Failure> {
    let chosen = choose(columns, looks)?;
    let object = |row| Object { row, chosen: (!looks.fields.is_empty()).then_some(chosen.as_slice()) };
    match looks.form {
        OutputForm::Table | OutputForm::Wide => Ok(layout::table(rows, &chosen, looks)),
        OutputForm::Csv => csv::text(rows, &chosen, looks),
        OutputForm::Name => Ok(rows.iter().map(|row| name(columns, row) + "\n").collect()),
        OutputForm::Jsonl => rows.iter().map(|row| json_line(&object(row))).collect(),
        OutputForm::Json => match rows {
            [row] if !several => json_line(&object(row)),
            rows => json_line(&rows.iter().map(object).collect::<Vec<_>>()),
        },
    }
}

/// What a row is called: the text of its first column.
fn name<R>(columns: &[Column<R>], row: &R) -> String {
    columns.first().map(|column| plain(&column.cell(row).machine())).unwrap_or_default()
}

/// The columns that are shown, in their order.
fn choose<'a, R>(columns: &'a [Column<R>], looks: &Looks) -> Result<Vec<&'a Column<R>>, Failure> {
    if looks.fields.is_empty() {
        return Ok(columns.iter().filter(|column| column.is_in(looks.form)).collect());
    }
    let mut chosen: Vec<&Column<R>> = Vec::new();
    for field in &looks.fields {
        let column = columns.iter().find(|column| column.key() == field).ok_or_else(|| {
            let known: Vec<&str> = columns.iter().map(Column::key).collect();
            Failure::new(USAGE, format!("--fields: there is no `{field}`: known are {}", known.join(",")))
        })?;
        if chosen.iter().any(|other| other.key() == field) {
            return Err(Failure::new(USAGE, format!("--fields: `{field}` is named twice")));
        }
        chosen.push(column);
    }
    Ok(chosen)
}

/// A row in JSON: the whole of it, or the chosen columns in their order.
struct Object<'a, R> {
    row: &'a R,
    chosen: Option<&'a [&'a Column<R>]>,
}

impl<R: Serialize> Serialize for Object<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.chosen {
            None => self.row.serialize(serializer),
            Some(chosen) => serializer
                .collect_map(chosen.iter().map(|column| (column.key(), column.cell(self.row).json()))),
        }
    }
}

#[cfg(test)]
mod tests;
