//! The secret variables of a job: in clear only on their way through memory, and there they are wiped; sealed everywhere
//! else. It refuses to know how they are sealed.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// Secret variables in clear. They are wiped when this is dropped; `Debug` shows their names only, and they cannot be
/// serialized.
#[derive(Clone, Default)]
pub struct SecretEnv(BTreeMap<String, Zeroizing<String>>);

impl SecretEnv {
    /// Adds a variable.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), Zeroizing::new(value.into()));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The names and the values in clear: for whoever seals them, checks them or hands them to the job.
    pub fn expose(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for SecretEnv {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect())
    }
}

impl fmt::Debug for SecretEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.names().map(|name| (name, "***"))).finish()
    }
}

/// Secret variables as a spec carries them: their names, and their values sealed for one job. Its bytes have no meaning
/// without the key.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedEnv {
    names: Vec<String>,
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    sealed: Vec<u8>,
}

impl SealedEnv {
    /// These names, and what was sealed of them.
    pub fn new(names: Vec<String>, sealed: Vec<u8>) -> Self {
        Self { names, sealed }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.sealed.is_empty()
    }

    /// The names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The sealed bytes.
    pub fn sealed(&self) -> &[u8] {
        &self.sealed
    }

    /// Roughly the bytes that it occupies.
    pub fn byte_len(&self) -> usize {
        self.sealed.len() + self.names.iter().map(|name| name.len() + 24).sum::<usize>()
    }
}

impl fmt::Debug for SealedEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.names.iter().map(|name| (name, "***"))).finish()
    }
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD_NO_PAD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD_NO_PAD.decode(text).map_err(|_| D::Error::custom("sealed variables are not base64"))
}

/// Why secret variables cannot be sealed or opened. It never carries a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The key file cannot be read.
    #[error(
        "the key of secret_env cannot be read from {path}: {why}: put the file back, or name it with --secret-key-file"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// The key file holds no key, or shows it to everybody.
    #[error("the key file of secret_env, {path}, {why}")]
    NotAKey {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// A new key cannot be written.
    #[error("a key of secret_env cannot be written to {path}: {why}")]
    Unwritable {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// They were sealed with another key.
    #[error(
        "secret_env was sealed with another key than that of {path}: put the former file back and start the node \
         again, or submit the job anew"
    )]
    OtherKey {
        /// The file.
        path: String,
    },
    /// The sealed bytes are not what was sealed for this job.
    #[error("the sealed secret_env does not belong to this job, or is damaged: submit the job anew")]
    Damaged,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes to seal secret_env with: {why}")]
    NoRandomness {
        /// What the system said.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_form_shows_a_value() {
        let clear: SecretEnv = [("TOKEN".to_owned(), "hunter2".to_owned())].into_iter().collect();
        assert_eq!(format!("{clear:?}"), r#"{"TOKEN": "***"}"#);
        let sealed = SealedEnv::new(vec!["TOKEN".into()], b"hunter2".to_vec());
        assert_eq!(format!("{sealed:?}"), r#"{"TOKEN": "***"}"#);
    }

    #[test]
    fn the_sealed_form_survives_json_and_refuses_what_is_not_base64() {
        let sealed = SealedEnv::new(vec!["A".into(), "B".into()], vec![0, 255, 7]);
        let text = serde_json::to_string(&sealed).unwrap();
        assert_eq!(serde_json::from_str::<SealedEnv>(&text).unwrap(), sealed);
        assert!(serde_json::from_str::<SealedEnv>(r#"{"names":["A"],"sealed":"?"}"#).is_err());
    }
}
