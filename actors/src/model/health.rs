//! Plain flags about the platform that doors read without a message. Who sets them decides what they mean.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::secret::SecretError;

/// Flags of one platform.
#[derive(Debug, Default)]
pub struct HealthBoard {
    draining: AtomicBool,
    store_failing: AtomicBool,
    stopped: AtomicBool,
    secret_fault: Mutex<Option<SecretError>>,
}

impl HealthBoard {
    /// Intake has ended; waiting requests should be answered now.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether intake has ended.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The last commit failed (true) or succeeded (false).
    pub fn set_store_failing(&self, failing: bool) {
        self.store_failing.store(failing, Ordering::Release);
    }

    /// Whether the last commit failed.
    pub fn is_store_failing(&self) -> bool {
        self.store_failing.load(Ordering::Acquire)
    }

    /// Secret variables could not be sealed or opened. It stands until the next start.
    pub fn note_secret_fault(&self, fault: &SecretError) {
        *self.secret_fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.clone());
    }

    /// What last went wrong with secret variables, in words.
    pub fn secret_fault(&self) -> Option<String> {
        let fault = self.secret_fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.as_ref().map(ToString::to_string)
    }

    /// An actor is gone, or all were stopped.
    pub fn set_stopped(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Whether the actors are gone.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// Where a platform keeps its records, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSummary {
    /// `sqlite` or `memory`.
    pub kind: &'static str,
    /// `full`, `normal` or `none`.
    pub durability: &'static str,
    /// The data folder, for people; none for memory.
    pub path: Option<String>,
}
