//! Holding a request until a job is over. It never holds one longer than the platform lives, or its caller's token holds.

use callboard_actors::model::{JobId, JobView};
use callboard_actors::protocol::{LookupError, PlatformHandle};

use super::door::Door;
use super::gate;
use super::problem::Problem;

/// The job once it is over; as it is when the time is up or the platform begins to stop. A caller whose token ends
/// meanwhile is refused as if it asked now.
pub async fn until_over(
    door: &Door,
    id: JobId,
    wait_ms: u64,
) -> Result<Result<JobView, LookupError>, Problem> {
    tokio::select! {
        biased;
        waited = at_most(&door.platform, id, wait_ms) => Ok(waited),
        stop = door.pass.ended() => Err(gate::ended(door, stop)),
    }
}

/// The same for whoever waits without a token.
pub async fn at_most(platform: &PlatformHandle, id: JobId, wait_ms: u64) -> Result<JobView, LookupError> {
    if wait_ms == 0 {
        return platform.get(id).await;
    }
    tokio::select! {
        waited = platform.wait(id, wait_ms) => waited,
        () = platform.stopping() => platform.get(id).await,
    }
}
