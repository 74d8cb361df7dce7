//! Tokens while a node lives. What a token is and allows is not known here.

use std::sync::Arc;

use crate::http::Door;
use crate::http::access::STORE_USES;

/// Stores when tokens were last used, now and then until the platform stops.
pub(super) fn store_uses(door: &Door) {
    let (access, platform) = (Arc::clone(&door.access), door.platform.clone());
    actix_rt::spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(STORE_USES) => access.store_uses(&platform).await,
                () = platform.stopping() => return,
            }
        }
    });
}
