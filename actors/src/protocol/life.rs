//! How the death of an actor is noticed. actix does not restart an actor that panicked; its state is dropped, and with
//! it this guard, whose last word reaches `graph`.

use tokio::sync::mpsc;

/// Held in an actor's state. Says the actor's name when it is dropped, unless the actor was told to stop.
#[derive(Debug)]
pub struct DeathGuard {
    name: &'static str,
    notify: Option<mpsc::UnboundedSender<&'static str>>,
}

impl DeathGuard {
    /// A guard that tells `notify`. At most one word per actor is ever sent.
    pub fn new(name: &'static str, notify: mpsc::UnboundedSender<&'static str>) -> Self {
        Self { name, notify: Some(notify) }
    }

    /// The actor stops because it was told to.
    pub fn disarm(&mut self) {
        self.notify = None;
    }
}

impl Drop for DeathGuard {
    fn drop(&mut self) {
        if let Some(notify) = self.notify.take() {
            // Without a listener nobody is left to be told.
            let _ = notify.send(self.name);
        }
    }
}
