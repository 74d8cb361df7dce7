//! Whose a job is, and how much of everybody's a caller sees. It refuses to know how a caller proves who it is.

use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, PoisonError, RwLock};

/// Longest name of a tenant, in bytes.
pub const MAX_TENANT_BYTES: usize = 63;

/// The name of the tenant that everything belongs to unless said otherwise.
const DEFAULT_NAME: &str = "default";

/// A tenant. Its name is kept once in this process, so that the four bytes here stand for it wherever a job goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(u32);

/// A text that is no tenant's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tenant is 1 to 63 of a-z, 0-9, `_` and `-`, and begins with a letter or digit")]
pub struct BadTenant;

/// Every name that was ever used here, by its number less one; the default has number 0. Names come from tokens and
/// records only, so they are as few as tenants are.
#[derive(Default)]
struct Names {
    numbers: HashMap<&'static str, u32>,
    names: Vec<&'static str>,
}

static NAMES: LazyLock<RwLock<Names>> = LazyLock::new(RwLock::default);

impl Tenant {
    /// Whom everything belongs to unless said otherwise.
    pub const DEFAULT: Self = Self(0);

    /// The tenant of this name, which is remembered from now on.
    ///
    /// # Errors
    /// [`BadTenant`].
    pub fn named(name: &str) -> Result<Self, BadTenant> {
        if let Some(known) = Self::known(name)? {
            return Ok(known);
        }
        let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = names.numbers.get(name) {
            return Ok(Self(*number));
        }
        let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
        names.names.push(kept);
        let number = names.names.len() as u32;
        names.numbers.insert(kept, number);
        Ok(Self(number))
    }

    /// The tenant of this name, if anything was ever said of it; nothing is remembered.
    ///
    /// # Errors
    /// [`BadTenant`].
    pub fn known(name: &str) -> Result<Option<Self>, BadTenant> {
        if !is_name(name) {
            return Err(BadTenant);
        }
        if name == DEFAULT_NAME {
            return Ok(Some(Self::DEFAULT));
        }
        let names = NAMES.read().unwrap_or_else(PoisonError::into_inner);
        Ok(names.numbers.get(name).copied().map(Self))
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        let Some(at) = (self.0 as usize).checked_sub(1) else {
            return DEFAULT_NAME;
        };
        let names = NAMES.read().unwrap_or_else(PoisonError::into_inner);
        names.names.get(at).copied().unwrap_or(DEFAULT_NAME)
    }

    /// Whether it is the default one.
    pub fn is_default(self) -> bool {
        self == Self::DEFAULT
    }

    /// Its name, none of the default one: that is how records keep it.
    pub fn stored(self) -> Option<&'static str> {
        (!self.is_default()).then(|| self.as_str())
    }
}

fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= MAX_TENANT_BYTES && name.bytes().next().is_some_and(first) && name.bytes().all(inner)
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a caller sees jobs: what it submits belongs to `tenant`, and others' jobs do not exist for it unless it sees
/// everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Whose jobs it submits.
    pub tenant: Tenant,
    /// Whether it sees everybody's jobs.
    pub everything: bool,
}

impl View {
    /// The operator's: everything, for the default tenant.
    pub const FULL: Self = Self { tenant: Tenant::DEFAULT, everything: true };

    /// One tenant's own.
    pub fn of(tenant: Tenant) -> Self {
        Self { tenant, everything: false }
    }

    /// Whether jobs of `tenant` exist for this caller.
    pub fn sees(self, tenant: Tenant) -> bool {
        self.everything || self.tenant == tenant
    }

    /// The only tenant that this caller sees; none when it sees everything.
    pub fn only(self) -> Option<Tenant> {
        (!self.everything).then_some(self.tenant)
    }
}

impl Default for View {
    fn default() -> Self {
        Self::FULL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_one_tenant_and_nonsense_is_refused() {
        let team = Tenant::named("team-1").unwrap();
        assert_eq!(
            (Tenant::named("team-1"), team.as_str(), team.stored()),
            (Ok(team), "team-1", Some("team-1"))
        );
        assert_ne!(Tenant::named("team-2"), Ok(team));
        assert_eq!(Tenant::known("never-named"), Ok(None));
        assert_eq!(Tenant::named("default"), Ok(Tenant::DEFAULT));
        assert_eq!(Tenant::DEFAULT.stored(), None);
        let longest = "a".repeat(MAX_TENANT_BYTES);
        assert!(Tenant::named(&longest).is_ok());
        for name in ["", "-a", "_a", "A", "a b", "a.b", "ä", "a\n", &format!("{longest}a")] {
            assert_eq!(
                (Tenant::named(name), Tenant::known(name)),
                (Err(BadTenant), Err(BadTenant)),
                "{name:?}"
            );
        }
    }

    #[test]
    fn a_view_sees_its_own_and_the_full_one_everything() {
        let (one, other) = (Tenant::named("one").unwrap(), Tenant::named("other").unwrap());
        assert!(
            View::of(one).sees(one) && !View::of(one).sees(other) && !View::of(one).sees(Tenant::DEFAULT)
        );
        assert!(View::FULL.sees(one) && View::FULL.only().is_none());
    }
}
