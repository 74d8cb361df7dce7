//! Output of a node that works for coordinators elsewhere is theirs to forget. What they forgot while the node was away, or
//! of attempts that were lost to them, it forgets by itself in the end.

use std::time::Duration;

use actix::{AsyncContext, Context};

use super::Runner;
use crate::clock;
use crate::model::AttemptId;

/// How long output is kept that no coordinator has told the node to forget, in milliseconds: 35 days, which is more than
/// coordinators keep records unless told otherwise.
pub const SPOOL_KEPT_MS: u64 = 35 * 24 * 3_600_000;
/// How often it is looked for.
const LOOK: Duration = Duration::from_secs(3_600);

impl Runner {
    /// Looks from time to time.
    pub(super) fn forget_aged(&self, ctx: &mut Context<Self>) {
        if self.setup.results.is_none() {
            // The records beside it say what is wanted.
            return;
        }
        ctx.run_interval(LOOK, |runner, _| {
            let Some(spool) = runner.setup.spool.clone() else { return };
            let live: Vec<AttemptId> = runner.bonds.live();
            let before_ms = clock::now_ms().saturating_sub_unsigned(SPOOL_KEPT_MS);
            tokio::task::spawn_blocking(move || {
                match spool.sweep_older(before_ms, |attempt| live.contains(&attempt)) {
                    Ok(0) => {}
                    Ok(attempts) => log::info!(attempts; "old output was forgotten"),
                    Err(error) => log::warn!("old output cannot be looked for: {error}"),
                }
            });
        });
    }
}
