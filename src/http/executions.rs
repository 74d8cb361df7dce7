//! Counts the executions that a client waits for, so that a stop can let them be answered while the actors still live.

use std::sync::Arc;

use tokio::sync::watch;

/// Executions under way. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Executions(Arc<watch::Sender<usize>>);

/// One of them; dropping it ends it.
#[derive(Debug)]
pub struct Execution(Executions);

impl Executions {
    /// One begins.
    pub fn begin(&self) -> Execution {
        self.0.send_modify(|count| *count += 1);
        Execution(self.clone())
    }

    /// Resolves when none is under way.
    pub async fn idle(&self) {
        // The sender is ours, so it is not gone.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}
