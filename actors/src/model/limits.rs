//! Every limit that protects the platform has a name and a default here. Nothing here enforces them.

use super::resources::ResourceLimits;
use super::spec::{OnDisconnect, OnLost};

/// Largest JSON body of a request, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// Largest body of a batch submit, in bytes.
pub const MAX_BATCH_BODY_BYTES: usize = 8 << 20;
/// Most jobs in one batch submit.
pub const MAX_BATCH_JOBS: usize = 1000;
/// Longest command, in bytes: what Linux takes as one argument, less its terminator.
pub const MAX_COMMAND_BYTES: usize = 128 * 1024 - 1;
/// Most elements of an argument vector.
pub const MAX_ARGV: usize = 1024;
/// Largest environment, in bytes of `NAME=value` with terminators.
pub const MAX_ENV_BYTES: usize = 256 * 1024;
/// Most environment variables.
pub const MAX_ENV_NAMES: usize = 512;
/// Longest job name, in bytes.
pub const MAX_NAME_BYTES: usize = 200;
/// Longest folder name, in bytes.
pub const MAX_CWD_BYTES: usize = 4095;
/// Most standard input that travels inside a job's spec, in bytes.
pub const MAX_INLINE_INPUT_BYTES: usize = 256 * 1024;
/// Longest Idempotency-Key, in bytes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;
/// Longest note that a cancel carries, in bytes.
pub const MAX_NOTE_BYTES: usize = 200;
/// Time limit of a job submitted by the original's `POST /jobs` without one, in seconds.
pub const COMPAT_DEFAULT_TIMEOUT_S: u64 = 30;
/// Longest time limit that the original's `POST /jobs` takes, in seconds.
pub const COMPAT_MAX_TIMEOUT_S: u64 = 300;
/// Longest that a request may wait for a job, in milliseconds.
pub const MAX_WAIT_MS: u64 = 300_000;
/// Most rows of one list page.
pub const MAX_PAGE: usize = 500;
/// Rows of a list page when nothing is asked.
pub const DEFAULT_PAGE: usize = 50;
/// Most bytes of one read of output.
pub const MAX_READ_BYTES: usize = 1 << 20;
/// Streamed input that a node holds for a job that does not read it, in bytes.
pub const MAX_INPUT_BUFFER_BYTES: usize = 256 * 1024;
/// Most admission rules.
pub const MAX_RULES: usize = 128;
/// Most entries of one list of an admission rule.
pub const MAX_RULE_WORDS: usize = 64;
/// Longest entry of a list of an admission rule, in bytes.
pub const MAX_RULE_WORD_BYTES: usize = 1024;
/// Longest name of an admission rule, in bytes.
pub const MAX_RULE_NAME_BYTES: usize = 64;
/// Longest reason of an admission rule, in bytes.
pub const MAX_RULE_REASON_BYTES: usize = 500;
/// Most memory of the compiled patterns of one list of an admission rule, in bytes.
pub const MAX_RULE_REGEX_BYTES: usize = 1 << 20;
/// Memory with which matching such a list is sped up, in bytes for each thread.
pub const MAX_RULE_DFA_BYTES: usize = 256 << 10;

/// Time between TERM and KILL of a job when nobody says otherwise, in milliseconds.
pub const DEFAULT_GRACE_MS: u64 = 10_000;

/// The limits that an operator may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most jobs that wait or run; a submit beyond it is refused with 503.
    pub max_live_jobs: usize,
    /// Most requests from outside that are being worked on by the actors; beyond it 429.
    pub max_in_flight: usize,
    /// Most requests that wait for a job's end.
    pub max_waiters: usize,
    /// Time limit of a `/v1` job that names none, in milliseconds; none means no limit.
    pub default_timeout_ms: Option<u64>,
    /// Longest time limit that `/v1` takes, in milliseconds.
    pub max_timeout_ms: u64,
    /// Time between TERM and KILL when the job names none, in milliseconds.
    pub default_grace_ms: u64,
    /// Longest time between TERM and KILL that a job may ask for, in milliseconds.
    pub max_grace_ms: u64,
    /// Output kept from the beginning of each stream, in bytes.
    pub output_head_bytes: u64,
    /// Output kept from the end of each stream, in bytes.
    pub output_tail_bytes: u64,
    /// Output of one stream at which a job is killed, in bytes.
    pub output_hard_bytes: u64,
    /// Output of one stream that is kept in the job's record and not in a file, in bytes.
    pub output_inline_bytes: u64,
    /// Artifacts that are kept of one job, in bytes.
    pub artifacts_bytes: u64,
    /// What a job may use that asks for nothing.
    pub default_job: ResourceLimits,
    /// The most that a job may ask for.
    pub max_job: ResourceLimits,
    /// Attempts lost with their node before a job is given up.
    pub max_lost: u16,
    /// What becomes of a job whose node is lost, when it does not say.
    pub default_on_lost: OnLost,
    /// What a node does that has lost its coordinator, when the job does not say.
    pub default_on_disconnect: OnDisconnect,
    /// Age at which a finished job is forgotten, in milliseconds; 0 keeps it for ever.
    pub retention_age_ms: u64,
    /// Finished jobs that are kept; older ones are forgotten; 0 keeps them all.
    pub retention_count: u64,
    /// What finished jobs may occupy, in bytes; beyond it the longest finished are forgotten; 0 is no limit.
    pub retention_bytes: u64,
    /// How long an Idempotency-Key is remembered, in milliseconds.
    pub idempotency_ttl_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_live_jobs: 2_000_000,
            max_in_flight: 4096,
            max_waiters: 16_384,
            default_timeout_ms: None,
            max_timeout_ms: 30 * 24 * 3_600_000,
            default_grace_ms: DEFAULT_GRACE_MS,
            max_grace_ms: 600_000,
            output_head_bytes: 10 << 20,
            output_tail_bytes: 64 << 10,
            output_hard_bytes: 640 << 20,
            output_inline_bytes: 16 << 10,
            artifacts_bytes: 256 << 20,
            default_job: ResourceLimits::default(),
            max_job: ResourceLimits::default(),
            max_lost: 3,
            default_on_lost: OnLost::Requeue,
            default_on_disconnect: OnDisconnect::Keep,
            retention_age_ms: 30 * 24 * 3_600_000,
            retention_count: 1_000_000,
            retention_bytes: 10 << 30,
            idempotency_ttl_ms: 24 * 3_600_000,
        }
    }
}
