//! Takes out of what was printed what differs from run to run: ids, times, figures that depend on the machine.

use serde_json::Value;

/// Members whose values are never twice the same.
const FIGURES: &[&str] = &[
    "runtime_ms",
    "waited_ms",
    "cpu_user_ms",
    "cpu_system_ms",
    "cpu_ms",
    "peak_memory_bytes",
    "run_p50_ms",
    "run_p95_ms",
    "run_max_ms",
    "wait_ms",
    "run_ms",
    "windows",
    "store_bytes",
    "host_id",
    "job_uid",
    "version",
    "client",
];

/// JSON over several lines.
pub fn json(mut value: Value) -> String {
    walk(&mut value);
    serde_json::to_string_pretty(&value).unwrap()
}

fn walk(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                if FIGURES.contains(&key.as_str()) && !value.is_null() {
                    *value = "[..]".into();
                } else {
                    walk(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(walk),
        Value::String(word) => *word = redacted(word),
        _ => {}
    }
}

/// Text, whose columns keep their order but not their widths.
pub fn text(said: &str) -> String {
    let lines = said.lines().map(|line| {
        // How much memory there was, is told in too many ways.
        let line = if line.starts_with("used:") { "used: [..]" } else { line };
        line.split_whitespace().map(redacted).collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// CSV without quotes.
pub fn csv(said: &str) -> String {
    let header: Vec<&str> = said.lines().next().unwrap_or_default().split(',').collect();
    let cell = |(name, cell): (&&str, &str)| {
        if FIGURES.contains(name) && !cell.is_empty() { "[..]".to_owned() } else { redacted(cell) }
    };
    let row = |line: &str| header.iter().zip(line.split(',')).map(cell).collect::<Vec<_>>().join(",");
    let rows = said.lines().skip(1).map(row);
    std::iter::once(header.join(",")).chain(rows).collect::<Vec<_>>().join("\n")
}

fn redacted(word: &str) -> String {
    let core = word.trim_end_matches([',', ';']);
    let digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let shape: String = word.chars().map(|c| if c.is_ascii_hexdigit() { 'x' } else { c }).collect();
    let is_event =
        word.split_once('-').is_some_and(|(life, seq)| life.len() == 13 && digits(life) && digits(seq));
    let units = ["ms", "/s", "s", "KiB", "MiB", "B", ""];
    let is_figure = units.iter().any(|unit| {
        let number = core.strip_suffix(unit).filter(|number| digits(number));
        // Small whole numbers without a unit are counts, and counts are what is held.
        number.is_some_and(|number| !unit.is_empty() || number.contains('.') || number.len() > 5)
    });
    match shape.as_str() {
        "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" => "[id]".into(),
        "xxxxxxxxxxxxxxxx" => "[token]".into(),
        shape if shape.starts_with("xxxx-xx-xxTxx:xx:xx") && word.ends_with('Z') => "[time]".into(),
        _ if is_event => "[event]".into(),
        _ if is_figure => word.replace(core, "[n]"),
        _ => word.into(),
    }
}

#[test]
fn only_what_differs_is_taken_out() {
    for (word, shown) in [
        ("01a21226-4d06-7636-a591-b3481de17efb", "[id]"),
        ("2026-11-25T10:00:29.696Z", "[time]"),
        ("1795600828657-17", "[event]"),
        ("12ms,", "[n],"),
        ("3.594/s", "[n]"),
        ("60000", "60000"),
        ("5414912", "[n]"),
        ("42", "42"),
        ("good", "good"),
        ("exit_code", "exit_code"),
    ] {
        assert_eq!(redacted(word), shown, "{word}");
    }
}
