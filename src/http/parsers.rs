//! What reads the words of strangers, as functions of plain values: for fuzzing and for the test that none of it
//! panics. It is no part of the API, and parses nothing by itself.

use std::ops::Range;

use callboard_actors::model::{JobSpec, Limits};

use super::api::{BatchBody, CancelBody, CompatSubmit, SubmitBody};
use super::{body, params, range, spec};

/// The jobs of a body of `POST /v1/jobs`, `POST /v1/jobs/batch` or the original's `POST /jobs`, as far as it is one.
pub fn jobs(bytes: &[u8]) -> Vec<JobSpec> {
    let limits = Limits::default();
    let single = body::parse::<SubmitBody>(bytes).into_iter();
    let batch = body::parse::<BatchBody>(bytes).into_iter().flat_map(|batch| batch.jobs);
    let original = body::parse::<CompatSubmit>(bytes).and_then(|body| spec::of_original(body, &limits));
    single.chain(batch).filter_map(|body| spec::of(body, &limits).ok()).chain(original).collect()
}

/// Whether this is a body of a cancel.
pub fn cancel(bytes: &[u8]) -> bool {
    body::parse::<CancelBody>(bytes).is_ok()
}

/// A cursor, written again as a list would give it out.
pub fn cursor(text: &str) -> Option<String> {
    params::read_cursor(text).ok().map(params::write_cursor)
}

/// What a `Range` header means of `length` bytes.
pub fn byte_range(header: &str, length: u64) -> Option<Range<u64>> {
    range::parse(header)?.of(length)
}

/// The beginning of an id.
pub fn id_prefix(text: &str) -> Option<String> {
    params::prefix(text)
}

/// How long a query asks to wait, in milliseconds.
pub fn wait_ms(query: &str) -> Option<u64> {
    params::read_query::<params::Wait>(query).ok()?.ms().ok()
}
