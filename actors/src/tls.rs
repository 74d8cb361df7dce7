//! What a connection with TLS is proven with: certificates and keys out of PEM files, whom a dialling side believes, what a
//! listening side shows. It opens no connection and knows no message.

mod renewing;
mod skip;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use renewing::Renewing;

/// Most bytes of a file of certificates or of a key.
pub const MAX_PEM_BYTES: u64 = 1 << 20;
/// The one protocol that is spoken within.
const ALPN: &[u8] = b"http/1.1";

/// Why files cannot be used for TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("{path}: {why}: name a readable PEM file")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// There is nothing in it of what is looked for.
    #[error("{path}: holds no {wanted} in PEM: {hint}")]
    Nothing {
        /// Which file.
        path: String,
        /// What is looked for.
        wanted: &'static str,
        /// What the file should hold.
        hint: &'static str,
    },
    /// The key is another certificate's.
    #[error("{key} is not the key of the first certificate in {cert}: name the two that belong together")]
    Mismatch {
        /// The certificate.
        cert: String,
        /// The key.
        key: String,
    },
    /// It is read, and cannot be used.
    #[error("{path}: cannot be used: {why}")]
    Unusable {
        /// Which file.
        path: String,
        /// Why.
        why: String,
    },
    /// The system trusts nobody.
    #[error("this system has no certificates of authorities: name the one of the peer's")]
    NoRoots,
}

/// A certificate, with those that lead to its authority after it, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PEM file of the certificates.
    pub cert: PathBuf,
    /// PEM file of the key.
    pub key: PathBuf,
}

/// By which files a dialling side knows its peers, and makes itself known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustFiles {
    /// Authorities that are believed, and no others; those of the system when absent.
    pub ca: Option<PathBuf>,
    /// What is shown to a peer that asks for it; read again when its files change.
    pub identity: Option<Identity>,
    /// Whether everybody is believed: then TLS keeps listeners out, and nobody who stands in between.
    pub skips_verify: bool,
}

/// Whom a dialling side believes. Without any, only plain HTTP is spoken.
#[derive(Clone, Default)]
pub struct Trust(Option<Arc<ClientConfig>>);

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Trust").field(&self.0.is_some()).finish()
    }
}

impl Trust {
    /// What is needed to dial these addresses: nothing is read when none of them is with TLS.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn to<'a>(urls: impl IntoIterator<Item = &'a str>, files: &TrustFiles) -> Result<Self, TlsError> {
        let is_wanted = urls.into_iter().any(speaks_tls);
        Ok(Self(is_wanted.then(|| client(files)).transpose()?.map(Arc::new)))
    }

    /// For whoever opens connections.
    pub(crate) fn config(&self) -> Option<Arc<ClientConfig>> {
        self.0.clone()
    }
}

/// Whether an address is one with TLS.
pub fn speaks_tls(url: &str) -> bool {
    url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

fn client(files: &TrustFiles) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let path = || files.ca.as_deref().map_or_else(|| "TLS".into(), shown);
    let builder =
        builder.with_safe_default_protocol_versions().map_err(|error| unusable(path(), error))?.dangerous();
    let builder = if files.skips_verify {
        builder.with_custom_certificate_verifier(Arc::new(skip::NoVerify::new(provider)))
    } else {
        let roots = match &files.ca {
            Some(path) => authorities(path)?,
            None => of_system()?,
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().map_err(|error| unusable(path(), error))?;
        builder.with_custom_certificate_verifier(verifier)
    };
    let mut config = match &files.identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(Renewing::load(identity.clone())?)),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// What a listening side shows, and whom it wants to be shown: a certificate of an authority in `client_ca`, where there is
/// one. Files of the identity that change are read again with the next connection.
///
/// # Errors
/// [`TlsError`].
pub fn server(identity: &Identity, client_ca: Option<&Path>) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let resolver = Renewing::load(identity.clone())?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(shown(&identity.cert), error))?;
    let builder = match client_ca {
        Some(path) => {
            let roots = Arc::new(authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| unusable(shown(path), error))?)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// What to do about a handshake that failed so, in the words of the library that made it.
pub fn advice(why: &str) -> Option<&'static str> {
    [
        ("UnknownIssuer", "its certificate is of no authority that is believed here: name that one's file"),
        ("not valid for name", "its certificate is for another name: dial it by a name that stands there"),
        ("certificate expired", "its certificate has expired, or a clock is wrong: renew it"),
        ("not valid yet", "its certificate is not valid yet, or a clock is wrong"),
        (
            "extended key usage",
            "its certificate is not for servers: make one with extendedKeyUsage=serverAuth",
        ),
        (
            "CertificateExpired",
            "the certificate that it was shown has expired, or a clock is wrong: renew it",
        ),
        ("CertificateRequired", "it wants to be shown a certificate of an authority of its own"),
        ("UnknownCA", "it does not believe the authority of the certificate that it was shown"),
        ("InvalidContentType", "it does not speak TLS: write http://"),
        ("CaUsedAsEndEntity", "its certificate is an authority's own: make one for it, signed by that"),
    ]
    .into_iter()
    .find(|(word, _)| why.contains(word))
    .map(|(_, advice)| advice)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn of_system() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // One that cannot be read is one less.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(shown(path), error))?;
    }
    Ok(roots)
}

fn certified(identity: &Identity) -> Result<CertifiedKey, TlsError> {
    let (chain, key) = (certificates(&identity.cert)?, private_key(&identity.key)?);
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Mismatch { cert: shown(&identity.cert), key: shown(&identity.key) }
        }
        error => unusable(shown(&identity.key), error),
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| unusable(shown(path), error))?;
    if found.is_empty() {
        let hint = "it should begin with -----BEGIN CERTIFICATE-----";
        return Err(TlsError::Nothing { path: shown(path), wanted: "certificate", hint });
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        PemError::NoItemsFound => {
            let hint = "it should hold -----BEGIN PRIVATE KEY-----, not encrypted";
            TlsError::Nothing { path: shown(path), wanted: "key", hint }
        }
        error => unusable(shown(path), error),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    use std::io::Read;
    let unreadable = |why: std::io::Error| TlsError::Unreadable { path: shown(path), why: why.to_string() };
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // A device has no size and no end.
    file.take(MAX_PEM_BYTES + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_PEM_BYTES {
        return Err(unusable(shown(path), format!("more than {MAX_PEM_BYTES} bytes")));
    }
    Ok(text)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn unusable(path: String, why: impl std::fmt::Display) -> TlsError {
    TlsError::Unusable { path, why: why.to_string() }
}
