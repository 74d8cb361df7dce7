//! JSON that may be shown on a terminal: what could steer one is written as an escape, which is the same value.

use serde::Serialize;

use super::super::exit::Failure;
use super::super::style::steers;

/// One JSON value on a line of its own.
///
/// # Errors
/// When it is no JSON value.
pub fn json_line(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::new(1, error.to_string()))?;
    Ok(escaped(text) + "\n")
}

/// JSON text without characters that could steer a terminal. They stand in strings only, where an escape says the same.
fn escaped(text: String) -> String {
    if !text.contains(steers) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| safe += &format!("\\u{unit:04x}"));
        } else {
            safe.push(c);
        }
    }
    safe
}
