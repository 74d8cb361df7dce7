//! Whether a node is given work, and if not, who says so, since when and why. It refuses to know who may say so.

use serde::{Deserialize, Serialize};

/// Longest reason for a node to be kept from work, in bytes.
pub const MAX_WHY_BYTES: usize = 500;

/// Who keeps a node from work, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cordon {
    /// Who: `operator`, `breaker`, or the name of a token.
    pub by: String,
    /// Why, one line of at most [`MAX_WHY_BYTES`] bytes; empty when nobody said.
    #[serde(default)]
    pub why: String,
    /// Since when, Unix milliseconds.
    pub since_ms: i64,
}

/// Whether a node is given work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eligibility {
    /// It is.
    #[default]
    Eligible,
    /// It is not; what it runs goes on.
    Cordoned(Cordon),
    /// It is not; what it still runs at the deadline is ended there and waits again.
    Draining {
        /// Who wants it, and why.
        cordon: Cordon,
        /// When its patience ends, Unix milliseconds; none waits for every job to end by itself.
        deadline_at_ms: Option<i64>,
    },
    /// It was removed: it may not register until somebody resumes it.
    Removed(Cordon),
}

impl Eligibility {
    /// Its word: `eligible`, `cordoned`, `draining` or `removed`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Eligible => "eligible",
            Self::Cordoned(_) => "cordoned",
            Self::Draining { .. } => "draining",
            Self::Removed(_) => "removed",
        }
    }

    /// Whether it is given work.
    pub fn is_eligible(&self) -> bool {
        matches!(self, Self::Eligible)
    }

    /// Who keeps it from work, when somebody does.
    pub fn cordon(&self) -> Option<&Cordon> {
        match self {
            Self::Eligible => None,
            Self::Cordoned(cordon) | Self::Draining { cordon, .. } | Self::Removed(cordon) => Some(cordon),
        }
    }

    /// When what it runs is ended, Unix milliseconds, when it is.
    pub fn deadline_at_ms(&self) -> Option<i64> {
        match self {
            Self::Draining { deadline_at_ms, .. } => *deadline_at_ms,
            Self::Eligible | Self::Cordoned(_) | Self::Removed(_) => None,
        }
    }
}
