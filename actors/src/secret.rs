//! Seals the secret variables of jobs and opens them again. It owns the key, and knows neither when a job starts nor
//! what becomes of it.
//!
//! XChaCha20-Poly1305 with a random nonce; the job's id is the associated data, so that the values of one job cannot be
//! moved to another. The names and values of a job are sealed together, so that not even their lengths can be told apart.

mod key;
mod keys;
mod node_tokens;

use std::sync::{Arc, OnceLock};

use crate::model::secret::{SealedEnv, SecretEnv, SecretError};
use crate::model::{HealthBoard, JobId, NodeId};

pub use self::key::{KEY_BYTES, KEY_FILE, KeySource};
use self::keys::Keys;
#[cfg(feature = "testing")]
pub use self::keys::decode_sealed;

/// Seals and opens. The key is read, or made, when it is first needed.
#[derive(Debug)]
pub struct Vault {
    source: KeySource,
    keys: OnceLock<Keys>,
    board: Arc<HealthBoard>,
}

impl Vault {
    /// A vault whose key comes from there; what goes wrong with it is written on the board.
    pub fn new(source: KeySource, board: Arc<HealthBoard>) -> Self {
        Self { source, keys: OnceLock::new(), board }
    }

    /// The same for several owners; what is wrong with a key that should be there is told at once.
    pub fn shared(source: KeySource, board: &Arc<HealthBoard>) -> Arc<Self> {
        let vault = Self::new(source, Arc::clone(board));
        vault.look();
        Arc::new(vault)
    }

    /// Reads a key that should be there, so that its absence is told before a job needs it. A key that was never
    /// needed is not missed.
    pub fn look(&self) {
        if self.source.is_expected() {
            let _ = self.noted(self.existing());
        }
    }

    /// Makes sure that there is a key, durably, before anything rests on it.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn ready(&self) -> Result<(), SecretError> {
        self.noted(self.any()).map(drop)
    }

    /// Seals the variables of a job.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn seal(&self, job: JobId, values: &SecretEnv) -> Result<SealedEnv, SecretError> {
        if values.is_empty() {
            return Ok(SealedEnv::default());
        }
        let sealed = self.any().and_then(|keys| keys.seal(job, values));
        let names = values.names().map(str::to_owned).collect();
        Ok(SealedEnv::new(names, self.noted(sealed)?))
    }

    /// Opens the variables that were sealed for a job.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn open(&self, job: JobId, sealed: &SealedEnv) -> Result<SecretEnv, SecretError> {
        if sealed.is_empty() {
            return Ok(SecretEnv::default());
        }
        let opened = self.existing().and_then(|keys| keys.open(job, sealed, &self.source));
        self.noted(opened)
    }

    /// The hash of a request whose secret values are no part of `hash` yet. It is keyed: whoever reads it cannot try
    /// values out.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn request_hash(&self, hash: &[u8; 32], values: &SecretEnv) -> Result<[u8; 32], SecretError> {
        if values.is_empty() {
            return Ok(*hash);
        }
        Ok(self.noted(self.any())?.hash(hash, values))
    }

    /// What proves that this node was let in: only whoever has the key can make it.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn node_tag(&self, node: NodeId) -> Result<[u8; 32], SecretError> {
        Ok(self.noted(self.any())?.node_tag(node))
    }

    fn existing(&self) -> Result<&Keys, SecretError> {
        self.keys_or(KeySource::read)
    }

    fn any(&self) -> Result<&Keys, SecretError> {
        self.keys_or(KeySource::read_or_make)
    }

    fn keys_or(
        &self,
        get: impl FnOnce(&KeySource) -> Result<key::Key, SecretError>,
    ) -> Result<&Keys, SecretError> {
        if let Some(keys) = self.keys.get() {
            return Ok(keys);
        }
        let key = get(&self.source)?;
        Ok(self.keys.get_or_init(|| Keys::of(&key)))
    }

    fn noted<T>(&self, result: Result<T, SecretError>) -> Result<T, SecretError> {
        if let Err(error) = &result {
            self.board.note_secret_fault(error);
        }
        result
    }
}

#[cfg(test)]
mod tests;
