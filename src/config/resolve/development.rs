//! What only developers of this program set, by variables that are in no file of settings.

use super::{ConfigError, Environment};

/// Whether every message to the local runner is written down and read again.
pub(super) const SERIALISE: &str = "CALLBOARD_SERIALISE_MESSAGES";

pub(super) fn serialises(environment: &Environment) -> Result<bool, ConfigError> {
    match environment.get(SERIALISE) {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(other) => Err(ConfigError::Variable {
            name: SERIALISE.into(),
            what: format!("`{other}` is neither 1 nor 0: leave it out unless you develop callboard"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_off_unless_somebody_says_so_and_what_is_not_understood_is_refused() {
        let said = |value| serialises(&Environment::of([(SERIALISE, value)]));
        assert_eq!(serialises(&Environment::of([])), Ok(false));
        assert_eq!(
            (said("1"), said("true"), said("0"), said("")),
            (Ok(true), Ok(true), Ok(false), Ok(false))
        );
        assert!(said("yes").unwrap_err().to_string().starts_with("CALLBOARD_SERIALISE_MESSAGES: `yes`"));
    }
}
