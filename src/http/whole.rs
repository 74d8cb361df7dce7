//! Whole numbers as JSON writes them: `30` and `30.0` are one number, and what is described as an integer takes both.
//! It knows no field.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Unexpected, Visitor};

/// Above it, a JSON number with a point no longer counts in ones.
const LARGEST: f64 = 9_007_199_254_740_992.0;

/// Reads a number that may be null.
///
/// # Errors
/// When it is neither null nor a whole number from 0 on.
pub fn whole_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    from.deserialize_option(WholeOrNull)
}

struct WholeOrNull;

impl<'de> Visitor<'de> for WholeOrNull {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        let refuse = |_| Error::invalid_value(Unexpected::Signed(number), &self);
        u64::try_from(number).map(Some).map_err(refuse)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        if number.fract() == 0.0 && (0.0..=LARGEST).contains(&number) {
            return Ok(Some(number as u64));
        }
        Err(Error::invalid_value(Unexpected::Float(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_taken_however_it_is_written() {
        let read = |text: &str| whole_or_null(&mut serde_json::Deserializer::from_str(text));
        for (text, number) in
            [("30", 30), ("30.0", 30), ("3e1", 30), ("-0.0", 0), ("18446744073709551615", u64::MAX)]
        {
            assert_eq!(read(text).ok(), Some(Some(number)), "{text}");
        }
        assert_eq!(read("null").ok(), Some(None));
        for text in ["1.5", "-1", "-1.0", "1e300", "18446744073709551616", "\"30\"", "true", "[]"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
