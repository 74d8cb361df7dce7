//! What a node says while anyone who reaches it could run commands on it: at the start, in `/health`, as a metric, and
//! again and again in its log, so that nobody leaves it so by forgetting.

use std::time::Duration;

use crate::config::{Published, ServerSettings};

/// Time between two reminders.
const REMINDER: Duration = Duration::from_secs(60);

/// The warning for these settings; none while a token guards every address, or none can be reached from outside.
pub fn warning(server: &ServerSettings) -> Option<String> {
    let open = server.bind.iter().find(|address| !address.ip().is_loopback())?;
    (server.insecure && server.token_file.is_none()).then(|| {
        format!(
            "INSECURE: anyone who reaches {open} can run commands here: demand a token with --token-file, or drop \
             --insecure"
        )
    })
}

/// What remains open where a port is published on loopback only.
pub fn published(server: &ServerSettings) -> Option<String> {
    let told = server.published == Published::Loopback && server.token_file.is_none();
    told.then(|| {
        "no token is demanded because the port is published on loopback only: every user of the host, and whatever else is on \
         the container's network, can run commands here"
            .into()
    })
}

/// Repeats the warning in the log until this future is dropped.
pub async fn remind(warning: Option<String>) {
    let Some(warning) = warning else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(REMINDER).await;
        log::warn!("{warning}");
    }
}
