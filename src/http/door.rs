//! What every request handler shares: the platform's handle and the rules of this door. It knows no route.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::web::Bytes;
use callboard_actors::protocol::PlatformHandle;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::access::{Access, Pass};
use super::audit::Quota;
use super::executions::Executions;
use super::meter::HttpMeter;
use crate::config::Role;
use crate::telemetry::AuditLog;

/// Most answers that are composed of long output at once: each may hold as much text as a job's output has.
pub const MAX_COMPOSED_ANSWERS: usize = 4;
/// Most requests that follow output at once.
pub const MAX_FOLLOWERS: usize = 1024;
/// Longest time that a body may take to arrive, unless configured.
pub const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The SHA-256 of a token. The token itself is not kept.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Hashes a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// A hash that was stored.
    pub fn stored(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash, to be stored.
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Whether this is the token, in a time that does not tell how much of it fits.
    pub fn matches(&self, token: &str) -> bool {
        self.0.ct_eq(&Self::of(token).0).into()
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// Which names a request may give the server in `Host`. A page of another site that resolves its own name to our
/// loopback address (DNS rebinding) cannot use any of these.
#[derive(Clone, Debug)]
pub enum HostRule {
    /// Any name: the door is guarded by a token.
    Any,
    /// Loopback's names and addresses, and these, in lower case and without port.
    Only(Vec<String>),
}

impl HostRule {
    /// The rule for a server on `bound`: names are checked on loopback, wherever allowed names are given, and when that is
    /// asked for.
    pub fn for_addresses(bound: &[SocketAddr], allowed: &[String], always: bool) -> Self {
        let loopback_only = bound.iter().all(|address| address.ip().is_loopback());
        if !loopback_only && !always && allowed.is_empty() {
            return Self::Any;
        }
        let named = allowed.iter().map(|name| host_name(name));
        let addresses = bound.iter().map(|address| host_of(address.ip()));
        Self::Only(named.chain(addresses).collect())
    }

    /// Whether `host`, as the header has it, may be used.
    pub fn allows(&self, host: &str) -> bool {
        let Self::Only(names) = self else {
            return true;
        };
        let name = host_name(host);
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let loopback = bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        loopback || name == "localhost" || names.contains(&name)
    }
}

fn host_of(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// The name in `name:port`, in lower case, without a final dot.
fn host_name(host: &str) -> String {
    let name = match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Everything a request handler needs. Cheap to clone; clones share meters and limits.
#[derive(Clone, Debug)]
pub struct Door {
    /// Which routes it has.
    pub role: Role,
    /// The platform.
    pub platform: PlatformHandle,
    /// Who is let in.
    pub access: Arc<Access>,
    /// Where it is noted who does what, if anywhere.
    pub audit: Option<Arc<AuditLog>>,
    /// How many refusals of one caller are noted there.
    pub refusals: Arc<Quota>,
    /// What requests and long answers to this door's caller rest on.
    pub pass: Pass,
    /// Which names the server answers to.
    pub hosts: Arc<HostRule>,
    /// Which machine boot the server lives in.
    pub host_id: Arc<str>,
    /// Version of the program.
    pub version: Arc<str>,
    /// What `/health` warns of beside the platform's own warnings.
    pub warnings: Arc<[String]>,
    /// Longest time that a body may take to arrive.
    pub body_timeout: Duration,
    /// The OpenAPI document, once it was asked for.
    pub document: Arc<OnceLock<Bytes>>,
    /// Counts requests.
    pub meter: Arc<HttpMeter>,
    /// Executions that clients wait for.
    pub executions: Executions,
    /// Permits of [`MAX_COMPOSED_ANSWERS`].
    pub composers: Arc<Semaphore>,
    /// Permits of [`MAX_FOLLOWERS`].
    pub followers: Arc<Semaphore>,
}

impl Door {
    /// A coordinator's door without a token that answers to loopback's names only.
    pub fn new(platform: PlatformHandle, version: &str, host_id: &str) -> Self {
        Self {
            role: Role::Coordinator,
            platform,
            access: Arc::new(Access::new(None)),
            audit: None,
            refusals: Arc::default(),
            pass: Pass::default(),
            hosts: Arc::new(HostRule::Only(Vec::new())),
            host_id: host_id.into(),
            version: version.into(),
            warnings: Arc::new([]),
            body_timeout: DEFAULT_BODY_TIMEOUT,
            document: Arc::default(),
            meter: Arc::default(),
            executions: Executions::default(),
            composers: Arc::new(Semaphore::new(MAX_COMPOSED_ANSWERS)),
            followers: Arc::new(Semaphore::new(MAX_FOLLOWERS)),
        }
    }

    /// Sets what the node is for.
    #[must_use]
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Demands this token, or one of the platform's if it was loaded: see [`Access::load`].
    #[must_use]
    pub fn with_token(mut self, token: TokenHash) -> Self {
        self.access = Arc::new(Access::new(Some(token)).knowing_nodes(&self.platform));
        self
    }

    /// Lets in whom `access` lets in.
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = Arc::new(access);
        self
    }

    /// Notes who does what.
    #[must_use]
    pub fn with_audit(mut self, audit: AuditLog) -> Self {
        self.audit = Some(Arc::new(audit));
        self
    }

    /// Sets the names that the server answers to.
    #[must_use]
    pub fn with_hosts(mut self, hosts: HostRule) -> Self {
        self.hosts = Arc::new(hosts);
        self
    }

    /// Adds warnings for `/health`.
    #[must_use]
    pub fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_answers_to_its_names_on_any_port() {
        let bound = ["127.0.0.1:8000".parse().expect("address")];
        let rule = HostRule::for_addresses(&bound, &["Build.Example:80".into()], false);
        for host in [
            "localhost",
            "LOCALHOST:1",
            "localhost.:8000",
            "127.0.0.1:8000",
            "[::1]",
            "[::1]:9",
            "build.example",
        ] {
            assert!(rule.allows(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "0.0.0.0", "10.0.0.1:8000", "[::2]"] {
            assert!(!rule.allows(host), "{host}");
        }
    }

    #[test]
    fn an_open_door_checks_names_only_when_some_are_given() {
        let bound = ["0.0.0.0:8000".parse().expect("address")];
        assert!(HostRule::for_addresses(&bound, &[], false).allows("any.example"));
        assert!(!HostRule::for_addresses(&bound, &[], true).allows("any.example"));
        assert!(!HostRule::for_addresses(&bound, &["a.example".into()], false).allows("b.example"));
    }

    #[test]
    fn only_the_token_matches() {
        let hash = TokenHash::of("secret");
        assert!(hash.matches("secret"));
        assert!(!hash.matches("secre") && !hash.matches(""));
    }
}
