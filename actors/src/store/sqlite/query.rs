//! What can be asked of the tables. Every answer is read in one short transaction, so that it is of one moment and never
//! holds the log back. It changes nothing.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::{codec, tokens};
use crate::model::{AttemptRecord, JobId, JobRecord, JobState, Tenant};
use crate::store::range::{IdRange, Wanted};
use crate::store::{ListQuery, LiveRow, StoreError};

/// One job, in the order in which `record_from` reads it; the two placeholders are for the inline output.
macro_rules! select_job {
    ($stdout:literal, $stderr:literal) => {
        concat!(
            "SELECT j.created_ms, j.retry_of, j.spec, j.input, ",
            "h.state, h.epoch, h.lost, h.started, h.node, h.incarnation, h.started_ms, h.cancel, ",
            "r.epoch, r.reason, r.finished_ms, r.outcome, ",
            $stdout,
            ", ",
            $stderr,
            ", j.tenant",
            " FROM job j LEFT JOIN job_hot h ON h.id = j.id LEFT JOIN job_result r ON r.id = j.id ",
            "WHERE j.id = ?1"
        )
    };
}

const SELECT_JOB: &str = select_job!("r.stdout", "r.stderr");
const SELECT_JOB_WITHOUT_INLINE: &str = select_job!("NULL", "NULL");

const STATE_AT: usize = 4;
const OUTCOME_AT: usize = 12;
const TENANT_AT: usize = 18;

pub(super) fn load_live(
    connection: &Connection,
    after: Option<JobId>,
    limit: usize,
) -> Result<Vec<LiveRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, created_ms, state, epoch, lost, started, node, incarnation, started_ms, cancel, needs \
         FROM job_hot WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    // The empty blob sorts before every id.
    let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes().as_slice());
    let mut rows = statement.query(params![after, rows_limit(limit)])?;
    let mut live = Vec::new();
    while let Some(row) = rows.next()? {
        live.push(LiveRow {
            id: JobId::from_bytes(row.get(0)?),
            created_at_ms: row.get(1)?,
            state: codec::decode_state(row, 2)?,
            needs: codec::decode_needs(row, 10)?,
        });
    }
    Ok(live)
}

pub(super) fn get(connection: &Connection, id: JobId) -> Result<Option<JobRecord>, StoreError> {
    let _moment = connection.unchecked_transaction()?;
    record(connection, SELECT_JOB, id)
}

pub(super) fn tenant_of(connection: &Connection, id: JobId) -> Result<Option<Tenant>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT tenant FROM job WHERE id = ?1")?;
    let found = statement.query_row([id.as_bytes()], |row| Ok(tokens::tenant(row, 0))).optional()?;
    found.transpose()
}

pub(super) fn find(
    connection: &Connection,
    prefix: &str,
    tenant: Option<Tenant>,
    limit: usize,
) -> Result<Vec<JobId>, StoreError> {
    let Some(range) = IdRange::of_prefix(prefix) else {
        return Ok(Vec::new());
    };
    let sql = match tenant {
        None => "SELECT id FROM job WHERE id BETWEEN ?1 AND ?2 AND ?4 IS NULL ORDER BY id LIMIT ?3",
        Some(Tenant::DEFAULT) => {
            "SELECT id FROM job WHERE id BETWEEN ?1 AND ?2 AND tenant IS ?4 AND tenant IS NULL ORDER BY id LIMIT ?3"
        }
        Some(_) => {
            "SELECT id FROM job INDEXED BY job_tenant \
             WHERE tenant = ?4 AND id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3"
        }
    };
    let name = tenant.and_then(Tenant::stored);
    ids(connection, sql, params![range.low.as_bytes(), range.high.as_bytes(), rows_limit(limit), name])
}

pub(super) fn list(connection: &Connection, query: &ListQuery) -> Result<Vec<JobRecord>, StoreError> {
    let Some(range) = IdRange::of_query(query) else {
        return Ok(Vec::new());
    };
    let _moment = connection.unchecked_transaction()?;
    let wanted = Wanted::of_query(query);
    let mut found = match (&query.name, query.tenant) {
        (None, None) if wanted.everything() => in_table(connection, Table::Job, range, query.limit)?,
        (None, None) => by_status(connection, &wanted, range, query.limit)?,
        _ => filtered(connection, query, &wanted, range)?,
    };
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.truncate(query.limit);
    let mut jobs = Vec::with_capacity(found.len());
    for id in found {
        jobs.extend(record(connection, SELECT_JOB_WITHOUT_INLINE, id)?);
    }
    Ok(jobs)
}

/// Tables that are in the order of ids.
#[derive(Clone, Copy)]
enum Table {
    Job,
    Live,
    Ended,
}

/// The newest ids of a table.
fn in_table(
    connection: &Connection,
    table: Table,
    range: IdRange,
    limit: usize,
) -> Result<Vec<JobId>, StoreError> {
    let sql = match table {
        Table::Job => "SELECT id FROM job WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT ?3",
        Table::Live => "SELECT id FROM job_hot WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT ?3",
        Table::Ended => "SELECT id FROM job_result WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT ?3",
    };
    let bounds = params![range.low.as_bytes(), range.high.as_bytes(), rows_limit(limit)];
    ids(connection, sql, bounds)
}

/// The newest ids of each place that is wanted: more than enough for a page, in no order.
fn by_status(
    connection: &Connection,
    wanted: &Wanted,
    range: IdRange,
    limit: usize,
) -> Result<Vec<JobId>, StoreError> {
    let mut found = Vec::new();
    if wanted.live {
        found.extend(in_table(connection, Table::Live, range, limit)?);
    }
    if wanted.every_end() {
        found.extend(in_table(connection, Table::Ended, range, limit)?);
        return Ok(found);
    }
    for status in &wanted.ended {
        found.extend(ids(
            connection,
            "SELECT id FROM job_result WHERE status = ?1 AND id BETWEEN ?2 AND ?3 \
             ORDER BY id DESC LIMIT ?4",
            params![
                codec::status_number(*status),
                range.low.as_bytes(),
                range.high.as_bytes(),
                rows_limit(limit),
            ],
        )?);
    }
    Ok(found)
}

/// The newest ids of this name or tenant; of each, where it is kept is looked up only when that matters.
fn filtered(
    connection: &Connection,
    query: &ListQuery,
    wanted: &Wanted,
    range: IdRange,
) -> Result<Vec<JobId>, StoreError> {
    let ended = |at: usize| wanted.ended.get(at).map_or(-1, |status| codec::status_number(*status));
    let (index, named) = match (&query.name, query.tenant) {
        (Some(_), _) => (" INDEXED BY job_name", "name = ?1"),
        (None, Some(tenant)) if !tenant.is_default() => (" INDEXED BY job_tenant", "?1 IS NULL"),
        (None, _) => ("", "?1 IS NULL"),
    };
    let owned = match query.tenant {
        None => "?10 IS NULL",
        Some(tenant) if tenant.is_default() => "tenant IS NULL AND ?10 IS NULL",
        Some(_) => "tenant = ?10",
    };
    let sql = format!(
        "SELECT id FROM job{index} WHERE {named} AND {owned} AND id BETWEEN ?2 AND ?3 AND (?4 \
         OR coalesce((SELECT status FROM job_result r WHERE r.id = job.id), 9) IN (?5, ?6, ?7, ?8)) \
         ORDER BY id DESC LIMIT ?9"
    );
    ids(
        connection,
        &sql,
        params![
            query.name,
            range.low.as_bytes(),
            range.high.as_bytes(),
            wanted.everything(),
            ended(0),
            ended(1),
            ended(2),
            if wanted.live { 9 } else { -1 },
            rows_limit(query.limit),
            query.tenant.and_then(Tenant::stored),
        ],
    )
}

fn ids(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<JobId>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(params, |row| row.get(0).map(JobId::from_bytes))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn record(connection: &Connection, select: &str, id: JobId) -> Result<Option<JobRecord>, StoreError> {
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([id.as_bytes()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    record_from(row, id, attempts(connection, id)?).map(Some)
}

fn record_from(row: &Row<'_>, id: JobId, attempts: Vec<AttemptRecord>) -> Result<JobRecord, StoreError> {
    let is_live = row.get::<_, Option<i64>>(STATE_AT)?.is_some();
    let state = if is_live {
        codec::decode_state(row, STATE_AT)?
    } else {
        JobState::Ended(Box::new(codec::decode_outcome(row, OUTCOME_AT)?))
    };
    Ok(JobRecord {
        id,
        created_at_ms: row.get(0)?,
        tenant: tokens::tenant(row, TENANT_AT)?,
        retry_of: row.get::<_, Option<[u8; 16]>>(1)?.map(JobId::from_bytes),
        spec: Arc::new(codec::decode_spec(row, 2)?),
        state,
        attempts,
    })
}

fn attempts(connection: &Connection, job: JobId) -> Result<Vec<AttemptRecord>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT epoch, node, fate, why, at_ms FROM attempt_log WHERE job = ?1 ORDER BY seq",
    )?;
    let mut rows = statement.query([job.as_bytes()])?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        attempts.push(codec::decode_attempt(row)?);
    }
    Ok(attempts)
}

fn rows_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
