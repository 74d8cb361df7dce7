//! Skipping a test out loud: one line that the harness does not swallow, or a failure where what is missing was promised.

use std::io::Write;

/// Says that `test` was skipped.
pub fn skipped(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// Skips `test` for want of `need`.
///
/// # Panics
/// When `CALLBOARD_REQUIRE` names it.
pub fn missing(test: &str, need: &str, why: &str) {
    let promised = std::env::var("CALLBOARD_REQUIRE").unwrap_or_default();
    assert!(!promised.split(',').any(|it| it.trim() == need), "{test}: {why}, and `{need}` was promised");
    skipped(test, why);
}
