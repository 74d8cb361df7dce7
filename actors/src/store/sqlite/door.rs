//! A bounded queue into a thread that can be shut. Whoever pushes never waits: a full queue is a typed refusal, so the
//! order of calls is the order of the queue. It knows nothing of what is queued.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::StoreError;

/// The pushing end.
#[derive(Debug)]
pub(super) struct Door<T> {
    /// None once shut.
    sender: Mutex<Option<SyncSender<T>>>,
    bound: usize,
}

/// Makes a queue in which at most `bound` things wait.
pub(super) fn open<T>(bound: usize) -> (Door<T>, Receiver<T>) {
    let (sender, receiver) = sync_channel(bound);
    let door = Door { sender: Mutex::new(Some(sender)), bound };
    (door, receiver)
}

impl<T> Door<T> {
    pub(super) fn push(&self, thing: T) -> Result<(), StoreError> {
        let sender = self.sender();
        let sent = sender.as_ref().ok_or(StoreError::Closed)?.try_send(thing);
        sent.map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy { waiting: self.bound },
            TrySendError::Disconnected(_) => StoreError::Closed,
        })
    }

    /// Lets nothing more in; what is in will still be taken out.
    pub(super) fn shut(&self) {
        self.sender().take();
    }

    pub(super) fn is_shut(&self) -> bool {
        self.sender().is_none()
    }

    fn sender(&self) -> MutexGuard<'_, Option<SyncSender<T>>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_door_refuses_and_a_shut_one_lets_out_what_is_in() {
        let (door, inbox) = open(1);
        assert!(door.push(1).is_ok());
        assert!(matches!(door.push(2), Err(StoreError::Busy { waiting: 1 })));
        door.shut();
        assert!(matches!(door.push(3), Err(StoreError::Closed)));
        assert_eq!(inbox.iter().collect::<Vec<_>>(), [1]);
    }
}
