//! `history`: jobs of a time, live and finished, as rows or gathered into groups. Pages come one after the other and none
//! is held longer than it is needed.

use callboard_actors::clock;
use callboard_actors::model::time;
use wildmatch::WildMatch;

use super::args::{Global, HistoryArgs};
use super::client::{Client, encode};
use super::commands::{heard, print_rows};
use super::exit::{self, Failure, USAGE};
use super::{render, table};
use crate::config::OutputForm;
use crate::http::api::JobBody;

mod groups;

use groups::Groups;

/// Jobs of one page.
const PAGE: usize = 500;
/// Most rows that are held to be printed at once.
const MAX_HELD_ROWS: u64 = 10_000;

/// Prints it.
pub async fn history(args: &HistoryArgs, client: &Client, global: &Global) -> Result<i32, Failure> {
    let mut pages = Pages::of(args)?;
    match args.group_by {
        Some(by) => {
            let mut groups = Groups::new(by);
            while let Some(jobs) = pages.next(client, u64::MAX).await? {
                jobs.iter().for_each(|job| groups.add(job));
            }
            print_rows(&groups.rows(), groups::COLUMNS, true, global)?;
        }
        None => list(args, pages, client, global).await?,
    }
    Ok(0)
}

/// JSON lines, names and CSV are written as they come; what is laid out as a whole is gathered first.
async fn list(args: &HistoryArgs, mut pages: Pages, client: &Client, global: &Global) -> Result<(), Failure> {
    let form = global.looks.form;
    let whole = matches!(form, OutputForm::Table | OutputForm::Wide | OutputForm::Json);
    if whole && args.limit > MAX_HELD_ROWS {
        let message = format!(
            "--limit {}: at most {MAX_HELD_ROWS} as {}; -o jsonl and -o csv write any number",
            args.limit,
            form.as_str()
        );
        return Err(Failure::new(USAGE, message));
    }
    let mut looks = global.looks.clone();
    let mut held: Vec<JobBody> = Vec::new();
    let mut shown = 0;
    while let Some(jobs) = pages.next(client, args.limit - shown).await? {
        shown += jobs.len() as u64;
        if whole {
            held.extend(jobs);
        } else if !jobs.is_empty() {
            if !heard(&render::rows(&jobs, table::JOBS, true, &looks)?)? {
                return Ok(());
            }
            looks = looks.continued();
        }
        if shown >= args.limit {
            break;
        }
    }
    if whole || looks.headers {
        print_rows(&held, table::JOBS, true, global)?;
    }
    if pages.may_have_more() {
        exit::say(&format!("{shown} shown, there may be more: --limit, --until"));
    }
    Ok(())
}

/// The pages of a question, newest jobs first.
struct Pages {
    query: String,
    name: Option<WildMatch>,
    cursor: Option<String>,
    over: bool,
}

impl Pages {
    fn of(args: &HistoryArgs) -> Result<Self, Failure> {
        let now_ms = clock::now_ms();
        let mut query = format!("created_after={}", encode(&moment("--since", &args.since, now_ms)?));
        if let Some(until) = &args.until {
            query += &format!("&created_before={}", encode(&moment("--until", until, now_ms)?));
        }
        if let Some(status) = &args.status {
            query += &format!("&status={}", encode(status));
        }
        let mut pattern = None;
        match &args.name {
            Some(glob) if glob.contains(['*', '?']) => pattern = Some(WildMatch::new(glob)),
            // The server knows whole names by itself.
            Some(name) => query += &format!("&name={}", encode(name)),
            None => {}
        }
        Ok(Self { query, name: pattern, cursor: None, over: false })
    }

    /// What is wanted of the next page, at most `most`; none when there is none.
    async fn next(&mut self, client: &Client, most: u64) -> Result<Option<Vec<JobBody>>, Failure> {
        if self.over {
            return Ok(None);
        }
        let limit = if self.name.is_some() { PAGE } else { PAGE.min(usize::try_from(most).unwrap_or(PAGE)) };
        let cursor = self.cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let page = client.list(&format!("{}&limit={limit}{cursor}", self.query)).await?;
        self.cursor = page.next_cursor;
        self.over = self.cursor.is_none();
        let fits = |job: &JobBody| {
            self.name.as_ref().is_none_or(|glob| glob.matches(job.name.as_deref().unwrap_or_default()))
        };
        let mut jobs: Vec<JobBody> = page.items.into_iter().filter(fits).collect();
        if jobs.len() as u64 > most {
            jobs.truncate(usize::try_from(most).unwrap_or(PAGE));
            self.over = false;
        }
        Ok(Some(jobs))
    }

    /// Whether something was left out because enough was shown.
    fn may_have_more(&self) -> bool {
        !self.over
    }
}

/// A time as the server reads it: RFC 3339 as it is, or so long before now.
fn moment(flag: &str, text: &str, now_ms: i64) -> Result<String, Failure> {
    if let Some(ms) = time::parse_rfc3339(text) {
        return Ok(time::rfc3339(ms));
    }
    let ago = time::parse_duration_ms(text).map_err(|_| {
        let message =
            format!("{flag} `{text}`: write a time (2026-11-24T16:40:00Z) or how long ago (90m, 1d)");
        Failure::new(USAGE, message)
    })?;
    Ok(time::rfc3339(now_ms.saturating_sub_unsigned(ago)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_before_now() {
        let now_ms = 1_764_000_000_000;
        let read = |text| moment("--since", text, now_ms).ok();
        assert_eq!(read("2026-11-24T16:40:00+02:00").as_deref(), Some("2026-11-24T14:40:00.000Z"));
        assert_eq!(read("1h"), Some(time::rfc3339(now_ms - 3_600_000)));
        assert_eq!(read("0").as_deref(), Some(time::rfc3339(now_ms).as_str()));
        for wrong in ["yesterday", "", "-1h", "2026-13-01T00:00:00Z"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
