//! The signals that stop a node, one after the other. What a stop does is not known here.

use std::time::Duration;

use callboard_actors::clock::{self, Moment};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A tool that stops a process and then its group sends the same signal twice at once. Within this time a repetition
/// is such an echo, and nobody's impatience.
const ECHO: Duration = Duration::from_millis(200);

/// SIGTERM, SIGINT and SIGQUIT, listened to from the moment this is made.
pub struct StopSignals {
    signals: Vec<(SignalKind, Signal)>,
    first: Option<(SignalKind, Moment)>,
}

impl StopSignals {
    /// Begins to listen.
    pub fn listen() -> Self {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()];
        let signals = kinds.into_iter().filter_map(|kind| Some((kind, signal(kind).ok()?)));
        Self { signals: signals.collect(), first: None }
    }

    /// Resolves at the next signal that means something: an echo of the first one does not.
    pub async fn next(&mut self) {
        loop {
            let kind = self.any().await;
            match &self.first {
                None => {
                    self.first = Some((kind, clock::moment()));
                    return;
                }
                Some((first, at)) if is_echo(*first, kind, at.elapsed()) => {}
                Some(_) => return,
            }
        }
    }

    async fn any(&mut self) -> SignalKind {
        if self.signals.is_empty() {
            // Nothing can be heard, so nothing is heard: the system's own answer to a signal ends the process.
            return std::future::pending().await;
        }
        let each = self.signals.iter_mut().map(|(kind, signal)| {
            Box::pin(async move {
                signal.recv().await;
                *kind
            })
        });
        futures_util::future::select_all(each).await.0
    }
}

fn is_echo(first: SignalKind, next: SignalKind, after: Duration) -> bool {
    next == first && after < ECHO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_signal_right_after_the_first_is_its_echo() {
        let (term, int) = (SignalKind::terminate(), SignalKind::interrupt());
        assert!(is_echo(term, term, Duration::from_millis(1)));
        assert!(!is_echo(term, int, Duration::from_millis(1)));
        assert!(!is_echo(term, term, ECHO));
    }
}
