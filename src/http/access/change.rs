//! Making and revoking tokens, and the rules that keep a way in. A secret is made here, returned once, and kept nowhere.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use callboard_actors::clock;
use callboard_actors::model::Tenant;
use callboard_actors::model::access::{
    MAX_TOKENS, Scope, Scopes, TOKEN_ID_DIGITS, TOKEN_PREFIX, TOKEN_SECRET_DIGITS, TokenOp, TokenRecord,
};
use callboard_actors::protocol::{LookupError, PlatformHandle};

use super::{Access, NEVER, Pass, Stop, Token};
use crate::http::door::TokenHash;

/// A token that is wanted.
#[derive(Clone, Debug)]
pub struct Draft {
    /// A name for people.
    pub name: Option<String>,
    /// Whose jobs it may touch.
    pub tenant: Tenant,
    /// What it allows.
    pub scopes: Scopes,
    /// How long it holds, in milliseconds; for ever when absent.
    pub expires_in_ms: Option<u64>,
}

/// Why the tokens stay as they are.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    /// Nobody could make the next one.
    #[error(
        "this would be the first token, and from then on every request needs one: make an admin's first, with \
         `callboard token create --role admin --out FILE` (`\"role\": \"admin\"`)"
    )]
    FirstIsNoAdmin,
    /// Nobody could make the next one.
    #[error(
        "this is the last valid admin token and there is no --token-file: make another one first, with \
         `callboard token create --role admin --out FILE`"
    )]
    LastAdmin,
    /// Too many.
    #[error("there are {MAX_TOKENS} valid tokens already: revoke some with `callboard token revoke ID`")]
    TooMany,
    /// No such token.
    #[error("there is no such token")]
    NotFound,
    /// Whoever wants it may not any more.
    #[error("the token that this rests on holds no longer")]
    Ended(Stop),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoRandom(String),
    /// The records did not change.
    #[error(transparent)]
    Platform(#[from] LookupError),
}

impl Access {
    /// Makes a token, if `pass` still holds once it is this one's turn. The text is its only copy.
    ///
    /// # Errors
    /// [`Refused`]; then there is no new token.
    pub async fn create(
        &self,
        platform: &PlatformHandle,
        pass: &Pass,
        draft: Draft,
    ) -> Result<(String, TokenRecord), Refused> {
        let _one_at_a_time = self.changing.lock().await;
        pass.check().map_err(Refused::Ended)?;
        if !self.is_demanded() && !draft.scopes.has(Scope::Admin) {
            return Err(Refused::FirstIsNoAdmin);
        }
        let now_ms = clock::now_ms();
        let mut ops = self.make_room(now_ms)?;
        let (id, secret) =
            (random_hex::<{ TOKEN_ID_DIGITS / 2 }>()?, random_hex::<{ TOKEN_SECRET_DIGITS / 2 }>()?);
        let record = TokenRecord {
            id,
            name: draft.name,
            hash: TokenHash::of(&secret).bytes(),
            tenant: draft.tenant,
            scopes: draft.scopes,
            created_at_ms: now_ms,
            expires_at_ms: draft.expires_in_ms.map(|ms| now_ms.saturating_add_unsigned(ms)),
            last_used_at_ms: None,
            revoked_at_ms: None,
        };
        let forgotten = ops.iter().filter_map(|op| match op {
            TokenOp::Forget { id } => Some(id.clone()),
            _ => None,
        });
        let forgotten: Vec<String> = forgotten.collect();
        ops.push(TokenOp::Add(Box::new(record.clone())));
        platform.change_tokens(ops).await?;
        self.insert(record.clone());
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        forgotten.iter().for_each(|id| drop(tokens.remove(id)));
        Ok((format!("{TOKEN_PREFIX}{}_{secret}", record.id), record))
    }

    /// Where there is no room for another, the void token that is oldest is forgotten.
    fn make_room(&self, now_ms: i64) -> Result<Vec<TokenOp>, Refused> {
        let all = self.all();
        if all.len() < MAX_TOKENS {
            return Ok(Vec::new());
        }
        let void = all.iter().find(|token| token.judge(now_ms).is_err()).ok_or(Refused::TooMany)?;
        Ok(vec![TokenOp::Forget { id: void.record.id.clone() }])
    }

    /// Revokes a token, if `pass` still holds once it is this one's turn: when this resolves, no request is let in by it. Repeating it is harmless.
    ///
    /// # Errors
    /// [`Refused`]; then the token is as valid as before.
    pub async fn revoke(&self, platform: &PlatformHandle, pass: &Pass, id: &str) -> Result<(), Refused> {
        let _one_at_a_time = self.changing.lock().await;
        pass.check().map_err(Refused::Ended)?;
        let token = self.token(id).ok_or(Refused::NotFound)?;
        let now_ms = clock::now_ms();
        if token.revoked_at_ms.load(Ordering::Acquire) != NEVER {
            return Ok(());
        }
        let admin_remains = |other: &Arc<Token>| other.record.id != id && other.is_admin(now_ms);
        if self.file.is_none() && token.is_admin(now_ms) && !self.all().iter().any(admin_remains) {
            return Err(Refused::LastAdmin);
        }
        platform.change_tokens(vec![TokenOp::Revoke { id: id.to_owned(), at_ms: now_ms }]).await?;
        token.revoked_at_ms.store(now_ms, Ordering::Release);
        self.ended.send_replace(());
        Ok(())
    }

    /// Every token as it is now, the oldest first.
    pub fn list(&self) -> Vec<TokenRecord> {
        self.all().iter().map(|token| token.snapshot()).collect()
    }
}

fn random_hex<const BYTES: usize>() -> Result<String, Refused> {
    let mut bytes = [0_u8; BYTES];
    let mut filled = 0;
    while filled < BYTES {
        let got = rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty());
        filled += got.map_err(|error| Refused::NoRandom(error.to_string()))?;
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
