//! Where a setting comes from, in words.

use std::fmt;
use std::path::PathBuf;

/// Who said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag.
    Flag(&'static str),
    /// A variable.
    Variable(&'static str),
    /// A context of a file.
    Context {
        /// The context.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// A file.
    File {
        /// The file.
        path: PathBuf,
    },
    /// Nobody.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::Context { name, path } => write!(f, "context {name} in {}", path.display()),
            Self::File { path } => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value, and who said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Who said it.
    pub origin: Origin,
}

impl<T> Sourced<Option<T>> {
    /// The same with another value, where there is one.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Sourced<Option<U>> {
        Sourced { value: self.value.map(change), origin: self.origin }
    }

    /// The value, or the default when nobody said one.
    pub(super) fn or_default(self, default: impl FnOnce() -> T) -> Sourced<T> {
        Sourced { value: self.value.unwrap_or_else(default), origin: self.origin }
    }
}
