//! What a request rests on after it was let in. A request may take long, and what let it in may end meanwhile: so it is
//! judged again before it changes anything, and while it is answered.

use std::sync::Arc;
use std::time::Duration;

use callboard_actors::clock;

use super::{Access, Caller, Stop, Token, USE_STEP_MS, Who};

/// Ends when the token of its caller does; of a caller without a token, when tokens begin to be demanded.
#[derive(Clone, Debug, Default)]
pub struct Pass(Option<(Arc<Access>, Ground)>);

#[derive(Clone, Debug)]
enum Ground {
    /// Nobody is asked.
    Open,
    /// The caller holds this one.
    Token(Arc<Token>),
}

impl Pass {
    /// Of whoever is nobody's holder: the caller of an open door, or whoever has the server's own token, which never ends.
    pub fn plain(access: &Arc<Access>) -> Self {
        let open = access.file.is_none();
        Self(open.then(|| (Arc::clone(access), Ground::Open)))
    }

    pub(super) fn of(access: &Arc<Access>, caller: &Caller) -> Self {
        match &caller.who {
            Who::Holder(token) => Self(Some((Arc::clone(access), Ground::Token(Arc::clone(token))))),
            Who::Anyone | Who::Operator | Who::Node(_) => Self::plain(access),
        }
    }

    /// Whether it still holds.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check(&self) -> Result<(), Stop> {
        match &self.0 {
            None => Ok(()),
            Some((access, Ground::Open)) => {
                if access.is_demanded() {
                    Err(Stop::Missing)
                } else {
                    Ok(())
                }
            }
            Some((_, Ground::Token(token))) => token.judge(clock::now_ms()),
        }
    }

    /// Resolves when it holds no longer, with the reason.
    pub async fn ended(&self) -> Stop {
        let Some((access, ground)) = &self.0 else {
            return std::future::pending().await;
        };
        let mut ended = access.ended.subscribe();
        loop {
            if let Err(stop) = self.check() {
                return stop;
            }
            let expires_at_ms = match ground {
                Ground::Open => None,
                Ground::Token(token) => token.record.expires_at_ms,
            };
            // The clock may be set meanwhile, so a far end is looked at again.
            let left_ms = expires_at_ms.map_or(i64::MAX, |expires| expires - clock::now_ms());
            let nap = Duration::from_millis(left_ms.clamp(1, USE_STEP_MS).unsigned_abs());
            tokio::select! {
                // The sender lives in `access`, which is held here.
                _ = ended.changed() => {}
                () = tokio::time::sleep(nap) => {}
            }
        }
    }
}
