//! What a token is and what it allows. The secret is never here, only its hash; how a request shows a token is not known.

use std::fmt;
use std::str::FromStr;

use super::tenant::Tenant;

/// Longest name of a token, in bytes.
pub const MAX_TOKEN_NAME_BYTES: usize = 128;
/// Most tokens that are remembered, the revoked and expired ones included.
pub const MAX_TOKENS: usize = 1000;
/// Hexadecimal digits of a token's id.
pub const TOKEN_ID_DIGITS: usize = 16;
/// Hexadecimal digits of a token's secret: 32 bytes.
pub const TOKEN_SECRET_DIGITS: usize = 64;

/// One thing that a token may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Submit and repeat jobs, and write their input.
    Submit,
    /// See jobs and their output.
    Read,
    /// Cancel and forget jobs.
    Cancel,
    /// Everything, for every tenant.
    Admin,
    /// Read the metrics.
    Metrics,
    /// Run commands on a runner node.
    Runner,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] =
        [Self::Submit, Self::Read, Self::Cancel, Self::Admin, Self::Metrics, Self::Runner];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::Cancel => "cancel",
            Self::Admin => "admin",
            Self::Metrics => "metrics",
            Self::Runner => "runner",
        }
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

/// A word that is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no scope: use submit, read, cancel, admin, metrics and runner, with commas between them")]
pub struct BadScope(pub String);

impl Scopes {
    /// No scope.
    pub const NONE: Self = Self(0);
    /// Every scope.
    pub const ALL: Self = Self(0b11_1111);

    /// A set of these.
    pub const fn of(scopes: &[Scope]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < scopes.len() {
            bits |= 1 << scopes[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Whether it has this one.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// Whether a caller with these may do what needs one of `needed`; nothing needed is nothing to lack, and admin
    /// lacks nothing.
    pub fn allow(self, needed: Self) -> bool {
        needed == Self::NONE || self.has(Scope::Admin) || self.0 & needed.0 != 0
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its scopes.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.iter().map(Scope::as_str).collect();
        f.write_str(&words.join(","))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Scopes {
    type Err = BadScope;

    fn from_str(text: &str) -> Result<Self, BadScope> {
        let read = |word: &str| {
            let scope = Scope::ALL.into_iter().find(|scope| scope.as_str() == word);
            scope.ok_or_else(|| BadScope(word.chars().take(40).collect()))
        };
        let scopes = text.split(',').map(|word| read(word.trim())).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::of(&scopes))
    }
}

/// A role is a name for a set of scopes.
pub const ROLES: [(&str, Scopes); 5] = [
    ("admin", Scopes::ALL),
    ("user", Scopes::of(&[Scope::Submit, Scope::Read, Scope::Cancel])),
    ("viewer", Scopes::of(&[Scope::Read])),
    ("monitor", Scopes::of(&[Scope::Metrics])),
    ("runner", Scopes::of(&[Scope::Runner])),
];

/// The scopes of a role.
pub fn role(name: &str) -> Option<Scopes> {
    ROLES.into_iter().find(|(role, _)| *role == name).map(|(_, scopes)| scopes)
}

/// Everything that is remembered of one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its public part: lower-case hexadecimal digits.
    pub id: String,
    /// A name for people.
    pub name: Option<String>,
    /// SHA-256 of the secret as it is written.
    pub hash: [u8; 32],
    /// Whose jobs it may touch.
    pub tenant: Tenant,
    /// What it allows.
    pub scopes: Scopes,
    /// When it was made, Unix milliseconds.
    pub created_at_ms: i64,
    /// From when on it is void, Unix milliseconds.
    pub expires_at_ms: Option<i64>,
    /// When it was last shown, Unix milliseconds, to the minute.
    pub last_used_at_ms: Option<i64>,
    /// Since when it is revoked, Unix milliseconds.
    pub revoked_at_ms: Option<i64>,
}

impl TokenRecord {
    /// Whether it opens anything at this time.
    pub fn is_valid(&self, now_ms: i64) -> bool {
        self.revoked_at_ms.is_none() && self.expires_at_ms.is_none_or(|expires| now_ms < expires)
    }
}

/// What a token is called: all that an admission rule may know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLabel {
    /// Its public part.
    pub id: String,
    /// Its name for people.
    pub name: Option<String>,
}

/// One change of the tokens. Several are one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenOp {
    /// A new token.
    Add(Box<TokenRecord>),
    /// It opens nothing any more, since this time.
    Revoke {
        /// Which.
        id: String,
        /// Unix milliseconds.
        at_ms: i64,
    },
    /// It was shown at this time.
    Touch {
        /// Which.
        id: String,
        /// Unix milliseconds.
        at_ms: i64,
    },
    /// It is forgotten altogether.
    Forget {
        /// Which.
        id: String,
    },
}

/// What every token begins with, so that tools find one that leaked.
pub const TOKEN_PREFIX: &str = "callboard_";

/// The two parts of a token as a client shows it, `callboard_ID_SECRET`; none when it is not of this form.
pub fn token_parts(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix(TOKEN_PREFIX)?.split_once('_')?;
    let hex = |part: &str, digits| {
        part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    (hex(id, TOKEN_ID_DIGITS) && hex(secret, TOKEN_SECRET_DIGITS)).then_some((id, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_they_are_written_and_admin_lacks_nothing() {
        let scopes: Scopes = "submit, read".parse().unwrap();
        assert_eq!(scopes.to_string(), "submit,read");
        assert_eq!(Scopes::ALL.to_string().parse(), Ok(Scopes::ALL));
        assert_eq!(Scopes::of(&Scope::ALL), Scopes::ALL);
        assert!("submit,root".parse::<Scopes>().is_err() && "".parse::<Scopes>().is_err());
        let read = Scopes::of(&[Scope::Read]);
        assert!(
            scopes.allow(read) && !scopes.allow(Scopes::of(&[Scope::Cancel])) && scopes.allow(Scopes::NONE)
        );
        assert!(Scope::ALL.into_iter().all(|scope| role("admin").unwrap().allow(Scopes::of(&[scope]))));
        assert!(Scopes::of(&[Scope::Admin]).allow(read));
        assert_eq!(role("root"), None);
    }

    #[test]
    fn a_token_has_two_parts_of_fixed_length() {
        let (id, secret) = ("0123456789abcdef", "a".repeat(64));
        let text = format!("callboard_{id}_{secret}");
        assert_eq!(token_parts(&text), Some((id, secret.as_str())));
        for wrong in
            ["", "callboard_", "callboard__", &text[1..], &text[..text.len() - 1], &text.to_uppercase()]
        {
            assert_eq!(token_parts(wrong), None, "{wrong}");
        }
    }
}
