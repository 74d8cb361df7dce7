//! Whether what was counted is on the disk: asked of a node that was started after the one that ran it had ended.

use super::throughput::{demand, said};
use super::{BenchError, load};
use crate::cli::Client;
use crate::node::embedded::Embedded;

/// Records that are read at once.
const LANES: usize = 8;

/// Reads the record of every counted job and demands that it is whole. How many there were.
pub async fn verify(
    node: &Embedded,
    throughput: &[String],
    latency: &[String],
    echoed: &[String],
) -> Result<usize, BenchError> {
    let client = load::client(node);
    let silent = throughput.iter().chain(latency).map(|id| (id.as_str(), String::new()));
    let spoken = echoed.iter().enumerate().map(|(at, id)| (id.as_str(), said(at)));
    let expected: Vec<_> = silent.chain(spoken).collect();
    load::each(&expected, LANES, async |(id, output)| read(&client, id, output).await).await?;
    Ok(expected.len())
}

async fn read(client: &Client, id: &str, output: &str) -> Result<(), BenchError> {
    let job = client.job(id, 0).await.map_err(|failure| BenchError::Void(failure.message))?;
    demand(&job, output)
}
