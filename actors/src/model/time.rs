//! Times as people write them. Inside, a time is Unix milliseconds and a duration carries its unit in its name.

use chrono::{DateTime, SecondsFormat, Utc};

/// Writes Unix milliseconds as RFC 3339 in UTC with milliseconds, for example `2026-11-24T16:40:00.123Z`.
pub fn rfc3339(unix_ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(unix_ms)
        .unwrap_or(DateTime::<Utc>::UNIX_EPOCH)
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Reads RFC 3339 into Unix milliseconds.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}

/// Why a duration could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration: write seconds (`90`) or units (`500ms`, `1m30s`, `2h`, `1d`)")]
pub struct DurationError(pub String);

/// Reads a duration: bare seconds (`90`, `1.5`) or numbers with units `ms s m h d` (`1m30s`). Result in milliseconds.
pub fn parse_duration_ms(text: &str) -> Result<u64, DurationError> {
    let refuse = || DurationError(text.chars().take(40).collect());
    let trimmed = text.trim();
    if let Ok(seconds) = trimmed.parse::<f64>() {
        return bounded_ms(seconds * 1000.0).ok_or_else(refuse);
    }
    let mut rest = trimmed;
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refuse)?;
        let number: f64 = rest[..digits].parse().map_err(|_| refuse())?;
        rest = &rest[digits..];
        let unit_len = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit_ms = match &rest[..unit_len] {
            "ms" => 1.0,
            "s" => 1000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return Err(refuse()),
        };
        total += number * unit_ms;
        rest = &rest[unit_len..];
    }
    if trimmed.is_empty() { Err(refuse()) } else { bounded_ms(total).ok_or_else(refuse) }
}

fn bounded_ms(ms: f64) -> Option<u64> {
    // A hundred years: far beyond any sensible limit, and far from overflow when added to a time.
    (ms.is_finite() && (0.0..=3.2e12).contains(&ms)).then_some(ms.round() as u64)
}

/// Writes milliseconds the short way people read them: `850ms`, `1.25s`, `3m20s`, `2h05m`, `4d03h`.
pub fn short_duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{:02}s", ms / 1000, ms % 1000 / 10),
        60_000..3_600_000 => format!("{}m{:02}s", ms / 60_000, ms / 1000 % 60),
        3_600_000..86_400_000 => format!("{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
        _ => format!("{}d{:02}h", ms / 86_400_000, ms / 3_600_000 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in
            [("90", 90_000), ("1.5", 1500), ("1m30s", 90_000), ("500ms", 500), ("2h", 7_200_000)]
        {
            assert_eq!(parse_duration_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "s", "5x", "-1", "1e400", "NaN", "inf", "5m3", "9999999999999h"] {
            assert!(parse_duration_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_survive_a_round_trip() {
        assert_eq!(parse_rfc3339(&rfc3339(1_790_000_000_123)), Some(1_790_000_000_123));
    }
}
