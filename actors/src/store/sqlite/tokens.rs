//! The table of tokens. It knows neither jobs nor who asks.

use rusqlite::{Connection, Row, params};

use crate::model::access::{Scopes, TokenOp, TokenRecord};
use crate::model::tenant::Tenant;
use crate::store::StoreError;

/// Every token, the oldest first.
pub(super) fn all(connection: &Connection) -> Result<Vec<TokenRecord>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, name, hash, tenant, scopes, created_ms, expires_ms, last_used_ms, revoked_ms \
         FROM token ORDER BY created_ms, id",
    )?;
    let mut rows = statement.query([])?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        tokens.push(record(row)?);
    }
    Ok(tokens)
}

fn record(row: &Row<'_>) -> Result<TokenRecord, StoreError> {
    let scopes: String = row.get(4)?;
    let unreadable = |what: String| StoreError::Corrupt { detail: format!("a token cannot be read: {what}") };
    Ok(TokenRecord {
        id: row.get(0)?,
        name: row.get(1)?,
        hash: row.get(2)?,
        tenant: tenant(row, 3)?,
        scopes: scopes.parse::<Scopes>().map_err(|error| unreadable(error.to_string()))?,
        created_at_ms: row.get(5)?,
        expires_at_ms: row.get(6)?,
        last_used_at_ms: row.get(7)?,
        revoked_at_ms: row.get(8)?,
    })
}

/// The tenant in this column.
pub(super) fn tenant(row: &Row<'_>, at: usize) -> Result<Tenant, StoreError> {
    let Some(name) = row.get_ref(at)?.as_str_or_null().map_err(rusqlite::Error::from)? else {
        return Ok(Tenant::DEFAULT);
    };
    let unreadable = |error| StoreError::Corrupt { detail: format!("a record cannot be read: {error}") };
    Tenant::named(name).map_err(unreadable)
}

/// One change, inside a transaction that someone else begins and commits.
pub(super) fn apply(connection: &Connection, op: &TokenOp) -> Result<(), StoreError> {
    match op {
        TokenOp::Add(token) => connection
            .prepare_cached(
                "INSERT INTO token (id, name, hash, tenant, scopes, created_ms, expires_ms, last_used_ms, revoked_ms) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                token.id,
                token.name,
                token.hash,
                token.tenant.stored(),
                token.scopes.to_string(),
                token.created_at_ms,
                token.expires_at_ms,
                token.last_used_at_ms,
                token.revoked_at_ms,
            ])?,
        TokenOp::Revoke { id, at_ms } => connection
            .prepare_cached("UPDATE token SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL")?
            .execute(params![id, at_ms])?,
        TokenOp::Touch { id, at_ms } => connection
            .prepare_cached("UPDATE token SET last_used_ms = ?2 WHERE id = ?1")?
            .execute(params![id, at_ms])?,
        TokenOp::Forget { id } => {
            connection.prepare_cached("DELETE FROM token WHERE id = ?1")?.execute([id])?
        }
    };
    Ok(())
}
