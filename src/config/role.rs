//! What a node is for. It refuses to know what the two kinds do differently.

/// The kind of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It keeps jobs, and runs them.
    #[default]
    Coordinator,
    /// It runs a command while a client waits for it, and keeps nothing.
    Runner,
}

impl Role {
    /// The role of this name, if it is one.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Coordinator, Self::Runner].into_iter().find(|role| role.as_str() == name)
    }

    /// Its name, as the original's health check has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Runner => "runner",
        }
    }
}
