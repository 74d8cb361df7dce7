//! The secret variables of a submit's body. What reads them never repeats a value, and what writes them shows `***`: so
//! that no refusal, no log line and no hash of a body holds one.

use std::fmt;

use callboard_actors::model::SecretEnv;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// An object of names and values.
#[derive(Clone, Default)]
pub struct SecretBody(SecretEnv);

impl SecretBody {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the variables out.
    pub fn take(&mut self) -> SecretEnv {
        std::mem::take(&mut self.0)
    }

    /// The variables as they go to a server: for a client that sends them.
    pub fn exposed(&self) -> Value {
        let pairs = self.0.expose().map(|(name, value)| (name.to_owned(), value.into()));
        Value::Object(pairs.collect::<Map<_, _>>())
    }
}

impl From<SecretEnv> for SecretBody {
    fn from(values: SecretEnv) -> Self {
        Self(values)
    }
}

impl fmt::Debug for SecretBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for SecretBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.names().map(|name| (name, "***")))
    }
}

impl<'de> Deserialize<'de> for SecretBody {
    /// Through a value of any shape: serde's own words about a wrong type repeat what was there.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Value::Object(pairs) = Value::deserialize(deserializer)? else {
            return Err(D::Error::custom("secret_env is an object of names and strings"));
        };
        let mut values = SecretEnv::default();
        for (name, value) in pairs {
            let Value::String(value) = value else {
                let shown: String = name.chars().take(40).collect();
                return Err(D::Error::custom(format!(
                    "the value of `{shown}` in secret_env is not a string"
                )));
            };
            values.insert(name, value);
        }
        Ok(Self(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_refusal_repeats_a_value() {
        for text in
            [r#""hunter2""#, r#"{"A":{"b":"hunter2"}}"#, r#"["hunter2"]"#, r#"{"A":4711}"#, "4711", "null"]
        {
            let refusal = serde_json::from_str::<SecretBody>(text).unwrap_err().to_string();
            assert!(!refusal.contains("hunter2") && !refusal.contains("4711"), "{refusal}");
            assert!(refusal.contains("secret_env"), "{refusal}");
        }
    }

    #[test]
    fn what_was_read_is_written_without_its_values() {
        let body: SecretBody = serde_json::from_str(r#"{"B":"hunter2","A":""}"#).unwrap();
        assert_eq!(serde_json::to_string(&body).unwrap(), r#"{"A":"***","B":"***"}"#);
        assert!(!format!("{body:?}").contains("hunter2"));
        assert_eq!(body.exposed().to_string(), r#"{"A":"","B":"hunter2"}"#);
    }
}
