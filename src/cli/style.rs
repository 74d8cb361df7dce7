//! How words look on a terminal: colour where it is wanted, and nothing in them that could steer it. It knows no job.

use crate::config::ColorWhen;

/// Colours, and the private characters that stand for them while a table is laid out: escape codes would be counted
/// as columns.
const COLOURS: [(char, &str); 6] = [
    ('\u{e000}', "\x1b[39m"),
    ('\u{e001}', "\x1b[32m"),
    ('\u{e002}', "\x1b[31m"),
    ('\u{e003}', "\x1b[33m"),
    ('\u{e004}', "\x1b[36m"),
    (END, "\x1b[0m"),
];
const END: char = '\u{e00f}';

/// Settles for this process when there is colour, the log lines of a server included.
pub fn choose(color: ColorWhen) {
    match color {
        ColorWhen::Auto => {}
        ColorWhen::Always => anstream::ColorChoice::Always.write_global(),
        ColorWhen::Never => anstream::ColorChoice::Never.write_global(),
    }
}

/// Whether standard output wants colour.
pub fn on_stdout() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}

/// Text of a job or a server on one line, without anything that moves a cursor, turns the writing around or poses as
/// our own colour.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if steers(c) || is_mark(c) { ' ' } else { c }).collect()
}

/// Whether a terminal would do something else than show it: move, change, or turn the writing around.
pub fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether it stands for a colour. [`plain`] leaves no text of others with one.
pub fn is_mark(c: char) -> bool {
    COLOURS.iter().any(|(mark, _)| *mark == c)
}

/// A status with the marks of its colour, for [`painted`]; any other word in the colour of the text around it, so
/// that a header is as wide as what stands below it.
pub fn marked(word: &str) -> String {
    let colour = match word {
        "completed" => 1,
        "failed" => 2,
        "cancelled" => 3,
        "running" => 4,
        _ => 0,
    };
    format!("{}{word}{END}", COLOURS[colour].0)
}

/// Marks become colours.
pub fn painted(text: &str) -> String {
    COLOURS.iter().fold(text.to_owned(), |text, (mark, code)| text.replace(*mark, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_text_cannot_steer_the_terminal() {
        assert_eq!(plain("a\x1b[31mb\nc\u{9b}d\u{202e}e\u{e001}é"), "a [31mb c d e é");
    }

    #[test]
    fn each_status_but_pending_has_a_colour_of_its_own() {
        let shown = ["completed", "failed", "cancelled", "running"].map(|word| painted(&marked(word)));
        let codes: std::collections::BTreeSet<_> = shown.iter().map(|word| &word[..5]).collect();
        assert_eq!(codes.len(), 4);
        assert!(shown.iter().all(|word| word.ends_with("\x1b[0m")));
        assert_eq!(painted(&marked("pending")), "\x1b[39mpending\x1b[0m");
    }
}
