//! What stands in a cell: for people in units, for machines as a number or a text.

use callboard_actors::model::time::{parse_rfc3339, short_duration};
use serde_json::Value;

use super::super::style::{marked, plain};
use super::Looks;

/// What stands in a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing: an empty cell, `null`.
    Nothing,
    /// Any text, of whomever.
    Text(String),
    /// A word that may have a colour, as a status.
    Word(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// Milliseconds.
    Millis(f64),
    /// A size.
    Bytes(u64),
    /// A moment, RFC 3339 in UTC.
    Time(String),
    /// Yes or no.
    Flag(bool),
    /// A value with parts: in JSON as it is, elsewhere as this text.
    Whole(String, Value),
}

impl Cell {
    /// Text, or nothing.
    pub fn text(text: Option<&str>) -> Self {
        text.map_or(Self::Nothing, |text| Self::Text(text.to_owned()))
    }

    /// A moment, or nothing.
    pub fn time(time: Option<&str>) -> Self {
        time.map_or(Self::Nothing, |time| Self::Time(time.to_owned()))
    }

    /// Milliseconds, or nothing.
    pub fn millis(ms: Option<f64>) -> Self {
        ms.map_or(Self::Nothing, Self::Millis)
    }

    /// For people: one line without control characters, perhaps with marks of colour.
    pub(super) fn people(&self, looks: &Looks) -> String {
        match self {
            Self::Word(word) if looks.colours => marked(&plain(word)),
            Self::Millis(ms) => short_duration(ms.max(0.0) as u64),
            Self::Bytes(bytes) => short_bytes(*bytes),
            Self::Number(number) => format!("{number:.1}"),
            Self::Time(time) if !looks.utc => age(time, looks.now_ms).unwrap_or_else(|| plain(time)),
            Self::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
            other => plain(&other.machine()),
        }
    }

    /// For machines: the exact value without a unit; its column's name says which.
    pub(super) fn machine(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Text(text) | Self::Word(text) | Self::Time(text) | Self::Whole(text, _) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Number(number) | Self::Millis(number) => number.to_string(),
            Self::Bytes(bytes) => bytes.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }

    /// Whether its text is somebody's own, not a number or a time.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Word(_) | Self::Time(_) | Self::Whole(..))
    }

    /// In JSON.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Text(text) | Self::Word(text) | Self::Time(text) => Value::from(text.as_str()),
            Self::Integer(number) => Value::from(*number),
            Self::Number(number) | Self::Millis(number) => Value::from(*number),
            Self::Bytes(bytes) => Value::from(*bytes),
            Self::Flag(flag) => Value::from(*flag),
            Self::Whole(_, value) => value.clone(),
        }
    }
}

/// How long ago it was.
fn age(time: &str, now_ms: i64) -> Option<String> {
    let at = parse_rfc3339(time)?;
    Some(short_duration(now_ms.saturating_sub(at).max(0) as u64))
}

/// A size as people read it: `512B`, `1.5KiB`, `20.0MiB`.
pub fn short_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1}{}", UNITS[unit])
}
