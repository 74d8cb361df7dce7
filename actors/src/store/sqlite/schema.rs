//! The tables, their versions, and how a connection to them is set up. It knows no operation and no query.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::{Durability, SqliteOptions, codec};
use crate::clock;
use crate::model::{ClusterId, Term};
use crate::store::{StoreError, StoreIdentity};

/// Marks the file as ours: `CALL` in ASCII.
const APPLICATION_ID: i32 = 0x4341_4c4c;

/// Statement number N brings a database of version N to version N + 1. Released ones never change.
const MIGRATIONS: &[&str] = &[include_str!("schema/v1.sql"), include_str!("schema/v2.sql")];

/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 64;

/// The log file is cut back to this when it starts over, in bytes.
const WAL_KEPT_BYTES: i64 = 64 << 20;

/// Opens the one connection that writes, brings the tables up to date and begins a new term.
pub(super) fn open_writer(
    database: &Path,
    options: &SqliteOptions,
) -> Result<(Connection, StoreIdentity), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = connect(database, flags, options, options.cache_kib)?;
    let version = version_of(&connection)?;
    configure_writer(&connection, options)?;
    migrate(&mut connection, version)?;
    let identity = begin_term(&mut connection)?;
    Ok((connection, identity))
}

/// Opens a connection that can only read.
pub(super) fn open_reader(database: &Path, options: &SqliteOptions) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    connect(database, flags, options, options.cache_kib / 4)
}

fn connect(
    database: &Path,
    flags: OpenFlags,
    options: &SqliteOptions,
    cache_kib: u32,
) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(Duration::from_millis(options.busy_timeout_ms))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Plans must not depend on values: without this SQLite parses and plans a cached statement anew at each binding.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// The version of the tables; 0 for an empty file. Refuses what is not ours before anything is changed.
fn version_of(connection: &Connection) -> Result<usize, StoreError> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let application_id = number("application_id")?;
    let version = number("user_version")?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application_id == 0 && version == 0 && tables == 0 {
        return Ok(0);
    }
    if application_id != APPLICATION_ID {
        return Err(StoreError::Corrupt { detail: "the file is a database of another program".into() });
    }
    let found = u32::try_from(version).unwrap_or(0);
    let known = MIGRATIONS.len() as u32;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    if tables_of(connection)? != tables_at(found as usize)? {
        return Err(StoreError::Corrupt {
            detail: format!(
                "its tables are not those of version {found}: a build that was never released made them, or another \
                 program changed them; move the file away or use another data folder"
            ),
        });
    }
    Ok(found as usize)
}

/// What every table and index was made by, in the order of their names.
fn tables_of(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let all = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
    connection.prepare(all)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// The same of a database that was brought to `version` and never touched otherwise.
fn tables_at(version: usize) -> rusqlite::Result<Vec<(String, String)>> {
    let connection = Connection::open_in_memory()?;
    for migration in &MIGRATIONS[..version] {
        connection.execute_batch(migration)?;
    }
    tables_of(&connection)
}

fn configure_writer(connection: &Connection, options: &SqliteOptions) -> Result<(), StoreError> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::failed(format!(
            "the file system cannot hold a write-ahead log (journal mode stayed {mode})"
        )));
    }
    let synchronous = match options.durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)?;
    if let Some(max_bytes) = options.max_bytes {
        let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = codec::signed(max_bytes) / page_bytes.max(1);
        connection.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(())
}

fn migrate(connection: &mut Connection, version: usize) -> Result<(), StoreError> {
    if version == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for migration in &MIGRATIONS[version..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    transaction.commit()?;
    log::info!(from = version, to = MIGRATIONS.len(); "job database schema brought up to date");
    Ok(())
}

fn begin_term(connection: &mut Connection) -> Result<StoreIdentity, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let next = "UPDATE meta SET term = term + 1 RETURNING cluster_id, term";
    let known = transaction.query_row(next, [], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?))).optional()?;
    let (cluster, term) = match known {
        Some((cluster, term)) => (ClusterId::from_bytes(cluster), term),
        None => {
            let cluster = clock::new_cluster_id();
            let first = "INSERT INTO meta (one, cluster_id, term) VALUES (1, ?1, 1)";
            transaction.execute(first, [cluster.as_bytes()])?;
            (cluster, 1)
        }
    };
    transaction.commit()?;
    Ok(StoreIdentity { cluster, term: Term(term.unsigned_abs()) })
}
