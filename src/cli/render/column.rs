//! Columns: what each is called, where it is shown, what stands in it.

use super::Cell;
use crate::config::OutputForm;

/// One column of rows `R`. The first column of a list of them names its rows.
pub struct Column<R> {
    key: &'static str,
    title: &'static str,
    shown: Shown,
    room: Room,
    right: bool,
    cell: fn(&R) -> Cell,
}

/// Where a column is, when nobody asks for columns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// In each form that has columns.
    Always,
    /// In wide tables and CSV.
    Wide,
    /// In tables, where it says in short what others say in CSV.
    People,
    /// In CSV.
    Machine,
    /// Nowhere.
    Asked,
}

/// What becomes of a column when a terminal is narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It is as wide as what stands in it.
    Fixed,
    /// Its texts are cut.
    Flexible,
    /// It holds ids, which are cut to what still tells them apart.
    Id,
}

impl<R> Column<R> {
    /// A column in every form. `key` is its name in `--fields`, CSV and JSON, `title` the one in tables.
    pub const fn new(key: &'static str, title: &'static str, cell: fn(&R) -> Cell) -> Self {
        Self { key, title, shown: Shown::Always, room: Room::Fixed, right: false, cell }
    }

    const fn shown(self, shown: Shown) -> Self {
        Self { shown, ..self }
    }

    /// In wide tables and CSV only.
    pub const fn wide(self) -> Self {
        self.shown(Shown::Wide)
    }

    /// In tables only.
    pub const fn people(self) -> Self {
        self.shown(Shown::People)
    }

    /// In CSV only.
    pub const fn machine(self) -> Self {
        self.shown(Shown::Machine)
    }

    /// Only where `--fields` names it.
    pub const fn asked(self) -> Self {
        self.shown(Shown::Asked)
    }

    /// Its cells stand at the right, as numbers do.
    pub const fn right(self) -> Self {
        Self { right: true, ..self }
    }

    /// Its texts are cut when the terminal is narrow.
    pub const fn flexible(self) -> Self {
        Self { room: Room::Flexible, ..self }
    }

    /// It holds time-ordered ids, which a narrow terminal shows as far as they differ.
    pub const fn id(self) -> Self {
        Self { room: Room::Id, ..self }
    }

    /// Its name.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// Its title.
    pub(super) fn title(&self) -> &'static str {
        self.title
    }

    /// Whether it is at the right.
    pub(super) fn is_right(&self) -> bool {
        self.right
    }

    /// What becomes of it on a narrow terminal.
    pub(super) fn room(&self) -> Room {
        self.room
    }

    /// What stands in it.
    pub(super) fn cell(&self, row: &R) -> Cell {
        (self.cell)(row)
    }

    /// Whether a form has it unasked.
    pub(super) fn is_in(&self, form: OutputForm) -> bool {
        match form {
            OutputForm::Table => matches!(self.shown, Shown::Always | Shown::People),
            OutputForm::Wide => matches!(self.shown, Shown::Always | Shown::People | Shown::Wide),
            OutputForm::Csv => matches!(self.shown, Shown::Always | Shown::Wide | Shown::Machine),
            OutputForm::Json | OutputForm::Jsonl | OutputForm::Name => false,
        }
    }
}
