//! Forgetting finished jobs, and the sums of what is left. Live jobs have no row in the one table that it looks at.

use rusqlite::{Connection, OptionalExtension, params};

use super::apply::{Applied, Applier};
use super::codec;
use crate::model::{JobId, StoreTotals};
use crate::store::{FinishedQuery, FinishedRow, OpResult, Pruned, StoreError};

/// What is counted of the records.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) live: u64,
    /// By the number of the status in its column, which is its place in [`StoreTotals::ENDS`].
    pub(super) by_end: [u64; 3],
    pub(super) bytes: u64,
}

impl Sums {
    /// Counts once, at the opening.
    pub(super) fn count(connection: &Connection) -> Result<Self, StoreError> {
        let mut sums = Self::default();
        let live: i64 = connection.query_row("SELECT count(*) FROM job_hot", [], |row| row.get(0))?;
        sums.live = codec::unsigned(live);
        let mut statement = connection.prepare(
            "SELECT status, count(*), sum(bytes) FROM job_result INDEXED BY job_result_finished GROUP BY status",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (count, bytes): (i64, i64) = (row.get(1)?, row.get(2)?);
            if let Some(place) = place(row.get(0)?) {
                sums.by_end[place] += codec::unsigned(count);
            }
            sums.bytes += codec::unsigned(bytes);
        }
        Ok(sums)
    }

    /// One more has ended with this status.
    pub(super) fn ended(&mut self, status: i64, bytes: u64) {
        if let Some(place) = place(status) {
            self.by_end[place] += 1;
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn forgotten(&mut self, status: i64, bytes: u64) {
        if let Some(place) = place(status) {
            self.by_end[place] = self.by_end[place].saturating_sub(1);
        }
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn finished(&self) -> u64 {
        self.by_end.iter().sum()
    }

    /// The same for others to see.
    pub(super) fn totals(&self, size_bytes: u64) -> StoreTotals {
        StoreTotals {
            live: self.live,
            finished: self.finished(),
            ended: self.by_end,
            retained_bytes: self.bytes,
            size_bytes,
        }
    }
}

fn place(status: i64) -> Option<usize> {
    usize::try_from(status).ok().filter(|place| *place < StoreTotals::ENDS.len())
}

impl Applier<'_> {
    pub(super) fn delete(&mut self, job: JobId) -> Applied {
        Ok(if self.forget(job)?.is_some() { OpResult::Done } else { OpResult::NotFound })
    }

    pub(super) fn forget_all(&mut self, jobs: &[JobId]) -> Applied {
        let mut pruned = Pruned::default();
        for job in jobs {
            if let Some(bytes) = self.forget(*job)? {
                pruned.jobs.push(*job);
                pruned.bytes = pruned.bytes.saturating_add(bytes);
            }
        }
        Ok(OpResult::Pruned(pruned))
    }

    /// What the job occupied, if there was such a finished one.
    fn forget(&mut self, job: JobId) -> Result<Option<u64>, StoreError> {
        let gone = self
            .prepared("DELETE FROM job_result WHERE id = ?1 RETURNING status, bytes")?
            .query_row([job.as_bytes()], |row| Ok((row.get(0)?, row.get(1).map(codec::unsigned)?)))
            .optional()?;
        let Some((status, bytes)) = gone else {
            return Ok(None);
        };
        self.prepared("DELETE FROM job WHERE id = ?1")?.execute([job.as_bytes()])?;
        self.prepared("DELETE FROM attempt_log WHERE job = ?1")?.execute([job.as_bytes()])?;
        self.sums.forgotten(status, bytes);
        Ok(Some(bytes))
    }

    pub(super) fn prune(
        &mut self,
        before_ms: Option<i64>,
        keep: Option<u64>,
        keep_bytes: Option<u64>,
        limit: u32,
    ) -> Applied {
        let excess = keep.map_or(0, |keep| self.sums.finished().saturating_sub(keep));
        let oldest: Vec<FinishedRow> = self
            .prepared("SELECT id, finished_ms, bytes FROM job_result ORDER BY finished_ms, id LIMIT ?1")?
            .query_map([limit], finished_row)?
            .collect::<Result<_, _>>()?;
        let mut pruned = Pruned::default();
        for (at, row) in (0_u64..).zip(oldest) {
            let too_old = before_ms.is_some_and(|before| row.finished_at_ms < before);
            let too_much = keep_bytes.is_some_and(|keep| self.sums.bytes > keep);
            if at >= excess && !too_old && !too_much {
                break;
            }
            if let Some(bytes) = self.forget(row.id)? {
                pruned.jobs.push(row.id);
                pruned.bytes = pruned.bytes.saturating_add(bytes);
            }
        }
        Ok(OpResult::Pruned(pruned))
    }

    pub(super) fn prune_keys(&self, before_ms: i64, limit: u32) -> Result<(), StoreError> {
        self.prepared(
            "DELETE FROM idempotency WHERE (tenant, key) IN \
             (SELECT tenant, key FROM idempotency WHERE created_ms < ?1 ORDER BY created_ms LIMIT ?2)",
        )?
        .execute(params![before_ms, limit])?;
        Ok(())
    }
}

/// A page of finished jobs in the order of their ends: one index has it all.
pub(super) fn finished(
    connection: &Connection,
    query: &FinishedQuery,
) -> Result<Vec<FinishedRow>, StoreError> {
    let wants = |at: usize| {
        let wanted = query.statuses.is_empty() || query.statuses.contains(&StoreTotals::ENDS[at]);
        if wanted { codec::status_number(StoreTotals::ENDS[at]) } else { -1 }
    };
    let (after_ms, after_id) = query.after.map_or((i64::MIN, [0; 16]), |(ms, id)| (ms, *id.as_bytes()));
    let mut statement = connection.prepare_cached(
        "SELECT id, finished_ms, bytes FROM job_result INDEXED BY job_result_finished \
         WHERE (finished_ms, id) > (?1, ?2) AND finished_ms < ?3 AND status IN (?4, ?5, ?6) \
         ORDER BY finished_ms, id LIMIT ?7",
    )?;
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(
        params![after_ms, after_id, query.before_ms, wants(0), wants(1), wants(2), limit],
        finished_row,
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn finished_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<FinishedRow> {
    Ok(FinishedRow {
        id: JobId::from_bytes(row.get(0)?),
        finished_at_ms: row.get(1)?,
        bytes: row.get(2).map(codec::unsigned)?,
    })
}
