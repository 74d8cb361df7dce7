//! Clients under load: as many connections as asked, each with one request under way, until the time is over.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use callboard_actors::clock;

use super::BenchError;
use super::figures::rate;
use crate::cli::Client;
use crate::node::embedded::Embedded;

/// What came of a load.
pub struct Done<T> {
    /// What every request brought, in the order of the ends.
    pub results: Vec<T>,
    /// Requests per second, up to the end of the last one.
    pub per_s: f64,
}

/// Repeats `once` on `connections` lanes until `span` is over, then waits for what is under way. The first failure
/// ends it.
pub async fn closed_loop<T>(
    span: Duration,
    connections: usize,
    once: impl AsyncFn() -> Result<T, BenchError>,
) -> Result<Done<T>, BenchError> {
    let began = clock::moment();
    let failed = Cell::new(false);
    let results = RefCell::new(Vec::new());
    let lane = async || {
        while began.elapsed() < span && !failed.get() {
            let result = once().await;
            failed.set(failed.get() || result.is_err());
            results.borrow_mut().push(result?);
        }
        Ok::<(), BenchError>(())
    };
    let lanes = futures_util::future::join_all((0..connections).map(|_| lane())).await;
    let elapsed = began.elapsed();
    lanes.into_iter().collect::<Result<(), _>>()?;
    let results = results.into_inner();
    Ok(Done { per_s: rate(results.len(), elapsed), results })
}

/// Does `act` to each item once, on `lanes` lanes.
pub async fn each<T>(
    items: &[T],
    lanes: usize,
    act: impl AsyncFn(&T) -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    let next = Cell::new(0);
    let lane = async || {
        while let Some(item) = items.get(next.replace(next.get() + 1)) {
            act(item).await?;
        }
        Ok::<(), BenchError>(())
    };
    let lanes = futures_util::future::join_all((0..lanes).map(|_| lane())).await;
    lanes.into_iter().collect()
}

/// A client of the node.
pub fn client(node: &Embedded) -> Client {
    Client::new(&node.url, Some(node.token.clone()))
}
