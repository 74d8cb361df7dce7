//! Keeping tokens: a seam of its own, so that another place for them need not keep jobs. It knows hashes, no secrets.

use super::StoreFuture;
use crate::model::access::{TokenOp, TokenRecord};

/// Durable records of tokens.
pub trait TokenStore: Send + Sync {
    /// Every token, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`](super::StoreError).
    fn tokens(&self) -> StoreFuture<Vec<TokenRecord>>;

    /// Makes these changes, all or none, and resolves when they are durable. What is changed of a token that is not
    /// there, or was revoked already, changes nothing.
    ///
    /// # Errors
    /// [`StoreError`](super::StoreError); then nothing was changed.
    fn change_tokens(&self, ops: Vec<TokenOp>) -> StoreFuture<()>;
}
