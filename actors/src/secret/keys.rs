//! The cipher and the hash, with keys derived from the one key. It knows neither files nor jobs' fates.

use std::collections::BTreeMap;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::key::{Key, KeySource, random};
use crate::model::secret::{SealedEnv, SecretEnv, SecretError};
use crate::model::{JobId, NodeId};

/// First byte of the sealed form: which form it is.
const FORM: u8 = 1;
const KEY_ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

type HmacSha256 = Hmac<Sha256>;

/// What is derived from the key, each for one purpose.
pub(super) struct Keys {
    cipher: XChaCha20Poly1305,
    hash_key: Zeroizing<[u8; 32]>,
    node_key: Zeroizing<[u8; 32]>,
    id: [u8; KEY_ID_BYTES],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn of(key: &Key) -> Self {
        let derive = |purpose: &str| Zeroizing::new(hmac(&**key, &[purpose.as_bytes()]));
        let cipher_key = derive("callboard secret_env cipher 1");
        let id = derive("callboard secret_env key id 1");
        Self {
            cipher: XChaCha20Poly1305::new((&*cipher_key).into()),
            hash_key: derive("callboard secret_env request hash 1"),
            node_key: derive("callboard node token 1"),
            id: std::array::from_fn(|at| id[at]),
        }
    }

    /// `FORM, key id, nonce, ciphertext with tag`.
    pub(super) fn seal(&self, job: JobId, values: &SecretEnv) -> Result<Vec<u8>, SecretError> {
        let mut nonce = [0; NONCE_BYTES];
        random(&mut nonce)?;
        let plain: BTreeMap<&str, &str> = values.expose().collect();
        let room = plain.iter().map(|(name, value)| name.len() + value.len() + 20).sum::<usize>() + 10;
        // Room for all of it: a buffer that grows would leave copies behind.
        let plain =
            postcard::to_extend(&plain, Vec::with_capacity(room)).map_err(|_| SecretError::Damaged)?;
        let plain = Zeroizing::new(plain);
        let payload = Payload { msg: &plain, aad: job.as_bytes() };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| SecretError::Damaged)?;
        Ok([&[FORM][..], &self.id, &nonce, &sealed].concat())
    }

    pub(super) fn open(
        &self,
        job: JobId,
        env: &SealedEnv,
        source: &KeySource,
    ) -> Result<SecretEnv, SecretError> {
        let parts = Parts::read(env.sealed()).ok_or(SecretError::Damaged)?;
        if parts.key_id != self.id {
            return Err(SecretError::OtherKey { path: source.shown() });
        }
        let payload = Payload { msg: parts.sealed, aad: job.as_bytes() };
        let plain = self.cipher.decrypt(&XNonce::from(parts.nonce), payload);
        let plain = Zeroizing::new(plain.map_err(|_| SecretError::Damaged)?);
        let values = read_plain(&plain).ok_or(SecretError::Damaged)?;
        // What is shown as its names is what it has.
        if values.names().eq(env.names().iter().map(String::as_str)) {
            Ok(values)
        } else {
            Err(SecretError::Damaged)
        }
    }

    /// What proves that this node was let in.
    pub(super) fn node_tag(&self, node: NodeId) -> [u8; 32] {
        hmac(&*self.node_key, &[node.as_bytes()])
    }

    pub(super) fn hash(&self, hash: &[u8; 32], values: &SecretEnv) -> [u8; 32] {
        let mut mac = keyed(&*self.hash_key);
        mac.update(hash);
        for text in values.expose().flat_map(|(name, value)| [name, value]) {
            mac.update(&(text.len() as u64).to_le_bytes());
            mac.update(text.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }
}

/// The sealed form, taken apart.
struct Parts<'a> {
    key_id: [u8; KEY_ID_BYTES],
    nonce: [u8; NONCE_BYTES],
    sealed: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[FORM])?;
        let (key_id, rest) = rest.split_first_chunk()?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        (sealed.len() > TAG_BYTES).then_some(Self { key_id: *key_id, nonce: *nonce, sealed })
    }
}

fn read_plain(plain: &[u8]) -> Option<SecretEnv> {
    let (pairs, rest) = postcard::take_from_bytes::<BTreeMap<&str, &str>>(plain).ok()?;
    rest.is_empty().then(|| pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
}

/// Reads any bytes as a record's JSON, as the sealed form, and as what stands in it once it is open; whether they were
/// one of them.
#[cfg(feature = "testing")]
pub fn decode_sealed(bytes: &[u8]) -> bool {
    let record = serde_json::from_slice::<SealedEnv>(bytes).is_ok();
    record | Parts::read(bytes).is_some() | read_plain(bytes).is_some()
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed(key);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes a key of any length")
}
