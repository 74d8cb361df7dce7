//! A certificate that is read again when its files have changed, so that a renewal needs no restart.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Identity, TlsError, certified};

/// What tells one state of a file from the next.
type Stamp = Option<(SystemTime, u64)>;

/// The resolver.
#[derive(Debug)]
pub(super) struct Renewing {
    identity: Identity,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    key: Arc<CertifiedKey>,
    stamps: [Stamp; 2],
}

impl Renewing {
    /// Reads it for the first time.
    pub fn load(identity: Identity) -> Result<Self, TlsError> {
        let stamps = stamps(&identity);
        let key = Arc::new(certified(&identity)?);
        Ok(Self { identity, held: Mutex::new(Held { key, stamps }) })
    }

    /// The certificate as its files have it now. What cannot be used, as between the two halves of a renewal, leaves the
    /// former one in force.
    fn current(&self) -> Arc<CertifiedKey> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.identity);
        if stamps != held.stamps {
            held.stamps = stamps;
            let cert = self.identity.cert.display();
            match certified(&self.identity) {
                Ok(key) => {
                    log::info!(cert:%; "the certificate has been renewed");
                    held.key = Arc::new(key);
                }
                Err(error) => log::error!("the former certificate stays in force: {error}"),
            }
        }
        Arc::clone(&held.key)
    }
}

impl ResolvesServerCert for Renewing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl ResolvesClientCert for Renewing {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn stamps(identity: &Identity) -> [Stamp; 2] {
    let stamp = |path: &Path| {
        let about = std::fs::metadata(path).ok()?;
        Some((about.modified().ok()?, about.len()))
    };
    [stamp(&identity.cert), stamp(&identity.key)]
}
