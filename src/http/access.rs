//! Who comes in: the tokens in memory, the rule when one is demanded, and what a caller may do. It knows no route and no
//! header; the records behind it are the platform's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use callboard_actors::clock::{self, Moment};
use callboard_actors::model::access::{Scope, Scopes, TokenLabel, TokenOp, TokenRecord, token_parts};
use callboard_actors::model::{NodeId, Tenant, View};
use callboard_actors::protocol::gateway::NodeTokens;
use callboard_actors::protocol::{LookupError, PlatformHandle};
use tokio::sync::{Mutex, watch};

use self::peers::Peers;
use super::door::TokenHash;

mod change;
mod needs;
mod pass;
mod peers;
mod visit;

pub use change::{Draft, Refused};
pub use pass::Pass;
pub use peers::{DEFAULT_FAILURES_PER_MINUTE, Peer};
pub use visit::Visit;

/// How often the times at which tokens were last shown are stored.
pub const STORE_USES: Duration = Duration::from_secs(60);

/// Times are kept to the minute: then a token that is shown a thousand times a second is written once.
const USE_STEP_MS: i64 = 60_000;

/// No time.
const NEVER: i64 = i64::MIN;

/// The tokens of one door, shared by all its threads.
#[derive(Debug)]
pub struct Access {
    /// The token of `--token-file`: an operator's, never listed.
    file: Option<TokenHash>,
    /// Whether callers must show a token. Once a token was made this stays true, even if all are void.
    demanded: AtomicBool,
    tokens: RwLock<HashMap<String, Arc<Token>>>,
    /// Tokens are changed one after another, so that the rules against locking everybody out hold.
    changing: Mutex<()>,
    /// Told whenever a token is revoked, and when the first one is made.
    ended: watch::Sender<()>,
    peers: Peers,
    /// What the times of `peers` count from.
    begun: Moment,
    /// Tells the tokens of runners.
    nodes: Option<Arc<dyn NodeTokens>>,
}

/// A token in memory. What changes of it changes in place, for every request at once.
#[derive(Debug)]
struct Token {
    record: TokenRecord,
    label: Arc<TokenLabel>,
    revoked_at_ms: AtomicI64,
    used_at_ms: AtomicI64,
    stored_use_ms: AtomicI64,
}

/// Why a caller does not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// No token was shown.
    Missing,
    /// No token of this text is known.
    Unknown,
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
    /// The address has failed too often: whatever it shows is not looked at.
    Blocked {
        /// For how long, in milliseconds.
        left_ms: u64,
    },
}

/// Reasons of a [`Stop`], in the order of [`Stop::index`].
pub const STOP_REASONS: [&str; 5] = ["missing", "unknown", "revoked", "expired", "blocked"];

impl Stop {
    /// Its place in [`STOP_REASONS`].
    pub fn index(self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Unknown => 1,
            Self::Revoked => 2,
            Self::Expired => 3,
            Self::Blocked { .. } => 4,
        }
    }
}

/// Somebody who was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turned {
    /// Why.
    pub stop: Stop,
    /// Whether this is the failure from which on the address is not heard.
    pub now_blocked: bool,
}

/// Who a caller is, for the audit log.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The token's id; `operator` for the server's own.
    pub token_id: &'a str,
    /// Its name.
    pub token_name: Option<&'a str>,
    /// Whose jobs it may touch.
    pub tenant: Tenant,
}

/// Who shows a token.
#[derive(Clone, Debug)]
enum Who {
    /// Nobody needs to.
    Anyone,
    /// Whoever has the server's own token.
    Operator,
    /// A runner that was let in.
    Node(NodeId),
    /// The holder of this one.
    Holder(Arc<Token>),
}

/// A caller who came in.
#[derive(Clone, Debug)]
pub struct Caller {
    who: Who,
    /// What it may do.
    pub scopes: Scopes,
    /// How it sees jobs.
    pub view: View,
}

impl Caller {
    fn anyone() -> Self {
        Self { who: Who::Anyone, scopes: Scopes::ALL, view: View::FULL }
    }

    fn operator() -> Self {
        Self { who: Who::Operator, ..Self::anyone() }
    }

    fn node(node: NodeId) -> Self {
        let scopes = Scopes::of(&[Scope::Runner]);
        Self { who: Who::Node(node), scopes, view: View { tenant: Tenant::DEFAULT, everything: false } }
    }

    /// Whether it may speak for this node: the node itself may, and whoever may do everything.
    pub fn speaks_for(&self, node: NodeId) -> bool {
        match &self.who {
            Who::Node(own) => *own == node,
            Who::Anyone | Who::Operator => true,
            Who::Holder(_) => self.scopes.has(Scope::Admin),
        }
    }

    /// Whether it may let this node in: whoever has a token for that, and a node that was let in before.
    pub fn introduces(&self, node: NodeId) -> bool {
        !matches!(&self.who, Who::Node(own) if *own != node)
    }

    fn holder(token: Arc<Token>) -> Self {
        let (scopes, tenant) = (token.record.scopes, token.record.tenant);
        let view = View { tenant, everything: scopes.has(Scope::Admin) };
        Self { who: Who::Holder(token), scopes, view }
    }

    /// Who it is; none where nobody needs to say.
    pub fn identity(&self) -> Option<Identity<'_>> {
        match &self.who {
            Who::Anyone => None,
            Who::Operator => {
                Some(Identity { token_id: "operator", token_name: None, tenant: Tenant::DEFAULT })
            }
            Who::Node(_) => Some(Identity { token_id: "runner", token_name: None, tenant: Tenant::DEFAULT }),
            Who::Holder(token) => Some(Identity {
                token_id: &token.record.id,
                token_name: token.record.name.as_deref(),
                tenant: token.record.tenant,
            }),
        }
    }

    /// The token that it holds, if it is one of those that were made.
    fn label(&self) -> Option<Arc<TokenLabel>> {
        match &self.who {
            Who::Holder(token) => Some(Arc::clone(&token.label)),
            Who::Anyone | Who::Operator | Who::Node(_) => None,
        }
    }

    /// Whether its rights are those of an open door, and nothing can take them away.
    fn is_plain(&self) -> bool {
        !matches!(self.who, Who::Holder(_))
    }
}

impl Token {
    fn of(record: TokenRecord) -> Self {
        let at = |time: Option<i64>| AtomicI64::new(time.unwrap_or(NEVER));
        let label = TokenLabel { id: record.id.clone(), name: record.name.clone() };
        Self {
            label: Arc::new(label),
            revoked_at_ms: at(record.revoked_at_ms),
            used_at_ms: at(record.last_used_at_ms),
            stored_use_ms: at(record.last_used_at_ms),
            record,
        }
    }

    /// As it is now.
    fn snapshot(&self) -> TokenRecord {
        let time = |at: &AtomicI64| Some(at.load(Ordering::Acquire)).filter(|at| *at != NEVER);
        TokenRecord {
            revoked_at_ms: time(&self.revoked_at_ms),
            last_used_at_ms: time(&self.used_at_ms),
            ..self.record.clone()
        }
    }

    fn judge(&self, now_ms: i64) -> Result<(), Stop> {
        if self.revoked_at_ms.load(Ordering::Acquire) != NEVER {
            return Err(Stop::Revoked);
        }
        match self.record.expires_at_ms {
            Some(expires) if expires <= now_ms => Err(Stop::Expired),
            _ => Ok(()),
        }
    }

    fn is_admin(&self, now_ms: i64) -> bool {
        self.record.scopes.has(Scope::Admin) && self.judge(now_ms).is_ok()
    }
}

impl Access {
    /// A door that demands this token, or none.
    pub fn new(file: Option<TokenHash>) -> Self {
        Self {
            demanded: AtomicBool::new(file.is_some()),
            file,
            tokens: RwLock::default(),
            changing: Mutex::default(),
            ended: watch::Sender::new(()),
            peers: Peers::new(DEFAULT_FAILURES_PER_MINUTE),
            begun: clock::moment(),
            nodes: None,
        }
    }

    /// Does not hear an address for a minute after so many failures within one; 0 hears everybody.
    #[must_use]
    pub fn limited_to(mut self, failures_per_minute: u32) -> Self {
        self.peers = Peers::new(failures_per_minute);
        self
    }

    /// The same, which knows the tokens of this platform's runners.
    #[must_use]
    pub fn knowing_nodes(self, platform: &PlatformHandle) -> Self {
        Self { nodes: Some(Arc::clone(&platform.doors().gateway.tokens)), ..self }
    }

    /// The same with every token that the platform remembers.
    ///
    /// # Errors
    /// [`LookupError`] when they cannot be read: then nobody may be let in.
    pub async fn load(file: Option<TokenHash>, platform: &PlatformHandle) -> Result<Self, LookupError> {
        let access = Self::new(file).knowing_nodes(platform);
        platform.tokens().await?.into_iter().for_each(|record| access.insert(record));
        Ok(access)
    }

    /// Whether callers must show a token.
    pub fn is_demanded(&self) -> bool {
        self.demanded.load(Ordering::Acquire)
    }

    /// Who at this address shows this, or why nobody comes in. A failure is held against the address.
    ///
    /// # Errors
    /// [`Turned`].
    pub fn admit(&self, peer: Peer, shown: Option<&str>) -> Result<Caller, Turned> {
        if !self.is_demanded() {
            return Ok(Caller::anyone());
        }
        let now_ms = self.begun.elapsed_ms();
        if let Some(left_ms) = self.peers.blocked_for_ms(peer, now_ms) {
            return Err(Turned { stop: Stop::Blocked { left_ms }, now_blocked: false });
        }
        self.judge(shown).map_err(|stop| Turned { stop, now_blocked: self.peers.failed(peer, now_ms) })
    }

    /// Who shows this, or why nobody comes in.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn judge(&self, shown: Option<&str>) -> Result<Caller, Stop> {
        if !self.is_demanded() {
            return Ok(Caller::anyone());
        }
        let shown = shown.ok_or(Stop::Missing)?;
        if self.file.is_some_and(|file| file.matches(shown)) {
            return Ok(Caller::operator());
        }
        if let Some(node) = self.nodes.as_ref().and_then(|nodes| nodes.node_of(shown)) {
            return Ok(Caller::node(node));
        }
        let (id, secret) = token_parts(shown).ok_or(Stop::Unknown)?;
        let token = self.token(id).filter(|token| TokenHash::stored(token.record.hash).matches(secret));
        let token = token.ok_or(Stop::Unknown)?;
        let now_ms = clock::now_ms();
        token.judge(now_ms)?;
        token.used_at_ms.store(now_ms - now_ms.rem_euclid(USE_STEP_MS), Ordering::Release);
        Ok(Caller::holder(token))
    }

    /// Stores when tokens were last shown, of those that were shown since.
    pub async fn store_uses(&self, platform: &PlatformHandle) {
        let mut ops = Vec::new();
        for token in self.all() {
            let at_ms = token.used_at_ms.load(Ordering::Acquire);
            if token.stored_use_ms.swap(at_ms, Ordering::AcqRel) != at_ms {
                ops.push(TokenOp::Touch { id: token.record.id.clone(), at_ms });
            }
        }
        if !ops.is_empty()
            && let Err(error) = platform.change_tokens(ops).await
        {
            log::warn!("when tokens were last used cannot be stored: {error}");
        }
    }

    fn token(&self, id: &str) -> Option<Arc<Token>> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Every token, the oldest first.
    fn all(&self) -> Vec<Arc<Token>> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = tokens.values().cloned().collect();
        all.sort_by(|one, other| {
            let key = |token: &Arc<Token>| (token.record.created_at_ms, token.record.id.clone());
            key(one).cmp(&key(other))
        });
        all
    }

    fn insert(&self, record: TokenRecord) {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(record.id.clone(), Arc::new(Token::of(record)));
        if !self.demanded.swap(true, Ordering::AcqRel) {
            self.ended.send_replace(());
        }
    }
}
