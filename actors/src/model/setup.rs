//! What a node is doing when a room cannot be made. It makes none.

use serde::{Deserialize, Serialize};

macro_rules! stages {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $word:literal, $people:literal;)+) => {
        /// A step on the way to a job in its room. The number travels through a pipe.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum SetupStage { $($(#[$doc])* $variant = $number),+ }

        impl SetupStage {
            /// Every one, by number.
            pub const ALL: [Self; [$($number),+].len()] = [$(Self::$variant),+];

            /// The one of a node that tells none.
            pub(crate) fn untold() -> Self {
                Self::Silent
            }

            /// For metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// For people.
            pub fn in_words(self) -> &'static str {
                match self { $(Self::$variant => $people),+ }
            }

            /// The one of this number.
            pub fn from_u8(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

stages! {
    /// Namespaces.
    Namespaces = 1, "namespaces", "new namespaces";
    /// Users and groups.
    Ids = 2, "ids", "mapping users";
    /// The root of its own.
    Mounts = 3, "mounts", "its own root";
    /// `/proc`.
    Proc = 4, "proc", "its own /proc";
    /// The host's root goes.
    Pivot = 5, "pivot", "leaving the host's root";
    /// The loopback.
    Network = 6, "network", "its own network";
    /// Capabilities.
    Rights = 7, "rights", "giving up rights";
    /// Seccomp.
    Filter = 8, "filter", "the filter of system calls";
    /// What `setrlimit` limits.
    Limits = 9, "limits", "its limits";
    /// The folder that it starts in.
    Folder = 10, "folder", "entering its folder";
    /// The program.
    Exec = 11, "exec", "starting the program";
    /// Nothing was heard of it.
    Silent = 12, "silent", "waiting for it";
    /// Control groups.
    Groups = 13, "groups", "its control group";
    /// What of the host comes along.
    Guests = 14, "guests", "bringing in what it asked for";
    /// Landlock.
    Landlock = 15, "landlock", "Landlock";
    /// Nobody is there who could make it.
    Keeper = 16, "keeper", "its keeper";
    /// The files that come with the job.
    Files = 17, "files", "writing the files that come with it";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_has_one_number_and_one_word() {
        for (at, stage) in SetupStage::ALL.into_iter().enumerate() {
            assert_eq!(SetupStage::from_u8(stage as u8), Some(stage));
            assert!(SetupStage::ALL[..at].iter().all(|other| other.as_str() != stage.as_str()));
        }
        assert_eq!((SetupStage::from_u8(0), SetupStage::from_u8(18)), (None, None));
    }
}
