//! The JSON shapes of `/v1/tokens`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::whole::whole_or_null;

/// Body of `POST /v1/tokens`: a role or scopes, `user` when neither is named.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenWanted {
    /// A name for people, at most 128 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whose jobs it may touch: a-z, 0-9, `_` and `-`, at most 63; `default` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// `admin`, `user`, `viewer`, `monitor` or `runner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Of `submit`, `read`, `cancel`, `admin`, `metrics` and `runner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// How long it holds, in milliseconds; without end when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole_or_null")]
    pub expires_in_ms: Option<u64>,
}

/// A token without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenBody {
    /// Its public part.
    pub id: String,
    /// A name for people.
    pub name: Option<String>,
    /// Whose jobs it may touch; with the scope `admin`, whose jobs it submits.
    pub tenant: String,
    /// What it allows.
    pub scopes: Vec<String>,
    /// `active`, `expired` or `revoked`.
    pub status: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC; null when it has no end.
    pub expires_at: Option<String>,
    /// RFC 3339, UTC, to the minute; null when it was never shown.
    pub last_used_at: Option<String>,
    /// RFC 3339, UTC.
    pub revoked_at: Option<String>,
}

/// Answer of `POST /v1/tokens`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenMade {
    /// The text to send as `Authorization: Bearer`. It is shown here and nowhere else.
    pub token: String,
    /// What it is.
    #[serde(flatten)]
    pub about: TokenBody,
}

/// Answer of `GET /v1/tokens`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenListBody {
    /// The tokens, the oldest first.
    pub items: Vec<TokenBody>,
}
