//! The two closed vocabularies of reasons. Every other list yields to these; nothing here knows who decides.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::job::Status;

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every word of the vocabulary, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as it is written in JSON, tables and metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Finds the word's variant.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

vocabulary!(
    /// Why a job ended.
    EndReason {
        /// Its process exited with code 0.
        Exited = "exited",
        /// Its process exited with another code.
        ExitCode = "exit_code",
        /// Its process was killed by a signal that we did not send.
        Signal = "signal",
        /// It ran longer than its limit.
        Timeout = "timeout",
        /// It exceeded its memory limit.
        Oom = "oom",
        /// It wrote more output than the hard limit.
        OutputLimit = "output_limit",
        /// It filled its disk allowance.
        DiskLimit = "disk_limit",
        /// Its program could not be started.
        SpawnError = "spawn_error",
        /// Its sandbox could not be built.
        SandboxError = "sandbox_error",
        /// The isolation that it demanded cannot be had.
        IsolationUnavailable = "isolation_unavailable",
        /// The node that ran it was lost.
        RunnerLost = "runner_lost",
        /// It brought down one node after another.
        Poison = "poison",
        /// A job that it depends on did not succeed.
        DependencyFailed = "dependency_failed",
        /// It could not finish before its deadline.
        Deadline = "deadline",
        /// A user cancelled it.
        User = "user",
        /// A sibling failed first.
        FailFast = "fail_fast",
        /// A more important job took its place.
        Preempted = "preempted",
        /// The platform was shut down.
        Shutdown = "shutdown",
    }
);

vocabulary!(
    /// Why a job waits.
    WaitReason {
        /// Every slot is taken.
        Resources = "resources",
        /// More important jobs are ahead.
        Priority = "priority",
        /// A job that it depends on has not ended.
        Dependency = "dependency",
        /// Someone holds it.
        Held = "held",
        /// Its earliest start has not come.
        NotBefore = "not_before",
        /// It failed and waits for its next try.
        RetryBackoff = "retry_backoff",
        /// Its owner's quota is used up.
        Quota = "quota",
        /// Its group runs as many jobs as it may.
        ConcurrencyLimit = "concurrency_limit",
        /// Its array runs as many tasks as it may.
        ArrayLimit = "array_limit",
        /// Its queue is paused.
        QueuePaused = "queue_paused",
        /// No node could ever run it.
        NoCapableRunner = "no_capable_runner",
        /// The free slots are reserved.
        Reserved = "reserved",
    }
);

impl EndReason {
    /// The public status word under which a job with this reason is shown.
    pub fn status(self) -> Status {
        match self {
            Self::Exited => Status::Completed,
            Self::User | Self::FailFast | Self::Preempted | Self::Shutdown => Status::Cancelled,
            _ => Status::Failed,
        }
    }
}
