//! `[limits]`. It refuses to know defaults.

use serde::Deserialize;

use super::{ByteCount, Cpus, Millis, OptionalMillis, from_variable};
use crate::config::units::{DisconnectPolicy, LostPolicy};
use crate::config::{ConfigError, Environment};

section! {
    /// `[limits]`: what protects the node.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
    pub struct LimitsSection {
        /// Most jobs that wait or run.
        pub max_live_jobs: Option<usize> = "CALLBOARD_MAX_LIVE_JOBS",
        /// Most requests that the actors work on.
        pub max_in_flight: Option<usize> = "CALLBOARD_MAX_IN_FLIGHT",
        /// Most requests that wait for a job's end.
        pub max_waiters: Option<usize> = "CALLBOARD_MAX_WAITERS",
        /// Time limit of a job that names none, or `none`.
        pub default_timeout: Option<OptionalMillis> = "CALLBOARD_DEFAULT_TIMEOUT",
        /// Longest time limit that a job may ask for.
        pub max_timeout: Option<Millis> = "CALLBOARD_MAX_TIMEOUT",
        /// Time between TERM and KILL when the job names none.
        pub default_grace: Option<Millis> = "CALLBOARD_DEFAULT_GRACE",
        /// Longest time between TERM and KILL that a job may ask for.
        pub max_grace: Option<Millis> = "CALLBOARD_MAX_GRACE",
        /// Memory of a job that names none.
        pub default_memory: Option<ByteCount> = "CALLBOARD_DEFAULT_MEMORY",
        /// The most memory that a job may ask for.
        pub max_memory: Option<ByteCount> = "CALLBOARD_MAX_MEMORY",
        /// CPUs of a job that names none.
        pub default_cpus: Option<Cpus> = "CALLBOARD_DEFAULT_CPUS",
        /// The most CPUs that a job may ask for.
        pub max_cpus: Option<Cpus> = "CALLBOARD_MAX_CPUS",
        /// Processes and threads of a job that names none.
        pub default_processes: Option<u32> = "CALLBOARD_DEFAULT_PROCESSES",
        /// The most processes and threads that a job may ask for.
        pub max_processes: Option<u32> = "CALLBOARD_MAX_PROCESSES",
        /// Scratch room of a job that names none.
        pub default_disk: Option<ByteCount> = "CALLBOARD_DEFAULT_DISK",
        /// The most scratch room that a job may ask for.
        pub max_disk: Option<ByteCount> = "CALLBOARD_MAX_DISK",
        /// Open files of a job that names none.
        pub default_open_files: Option<u32> = "CALLBOARD_DEFAULT_OPEN_FILES",
        /// The most open files that a job may ask for.
        pub max_open_files: Option<u32> = "CALLBOARD_MAX_OPEN_FILES",
        /// Output kept from the beginning of each stream.
        pub output_head: Option<ByteCount> = "CALLBOARD_OUTPUT_HEAD",
        /// Output kept from the end of each stream.
        pub output_tail: Option<ByteCount> = "CALLBOARD_OUTPUT_TAIL",
        /// Output of one stream at which a job is killed.
        pub output_hard: Option<ByteCount> = "CALLBOARD_OUTPUT_HARD",
        /// Output of one stream that is kept in the job's record.
        pub output_inline: Option<ByteCount> = "CALLBOARD_OUTPUT_INLINE",
        /// Artifacts that are kept of one job.
        pub max_artifacts: Option<ByteCount> = "CALLBOARD_MAX_ARTIFACTS",
        /// Attempts lost with their node before a job is given up.
        pub max_lost: Option<u16> = "CALLBOARD_MAX_LOST",
        /// What becomes of a job whose node is lost, when it does not say.
        pub default_on_lost: Option<LostPolicy> = "CALLBOARD_DEFAULT_ON_LOST",
        /// What a node does with a job when it has lost its coordinator, when the job does not say.
        pub default_on_disconnect: Option<DisconnectPolicy> = "CALLBOARD_DEFAULT_ON_DISCONNECT",
        /// Age at which a finished job is forgotten; 0 keeps it for ever.
        pub retention_age: Option<Millis> = "CALLBOARD_RETENTION_AGE",
        /// Finished jobs that are kept; 0 keeps them all.
        pub retention_count: Option<u64> = "CALLBOARD_RETENTION_COUNT",
        /// What finished jobs may occupy; 0 is no limit.
        pub retention_bytes: Option<ByteCount> = "CALLBOARD_RETENTION_BYTES",
        /// How long an Idempotency-Key is remembered.
        pub idempotency_ttl: Option<Millis> = "CALLBOARD_IDEMPOTENCY_TTL",
    }
}
