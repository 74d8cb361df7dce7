//! The node's end of one lifeline: writes go out at once where the socket takes them and wait in order where it does
//! not; frames that arrive go to the state. It never blocks and knows no jobs.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use rustix::net::Shutdown;
use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use super::Slot;
use super::state::State;
use crate::exec::frame::{FrameError, Inbox, encode};

/// Room for one read. Most frames are far smaller.
const READ_BYTES: usize = 16 * 1024;

/// The writing side.
pub(super) struct Link {
    writer: OwnedWriteHalf,
    /// What the socket did not take yet. Bounded by its users: a keeper has at most one plan, a few kills and the
    /// bounded input of one job under way.
    outbox: RefCell<Vec<u8>>,
    wanted: Notify,
}

impl Link {
    pub(super) fn new(writer: OwnedWriteHalf) -> Self {
        Self { writer, outbox: RefCell::default(), wanted: Notify::new() }
    }

    /// Sends a frame, now or as soon as the socket takes it. If the keeper is gone, its end is heard by `converse`.
    pub(super) fn send<T: Serialize>(&self, frame: &T) -> Result<(), FrameError> {
        let bytes = encode(frame, Vec::new())?;
        let mut outbox = self.outbox.borrow_mut();
        let sent = if outbox.is_empty() { self.writer.try_write(&bytes).unwrap_or(0) } else { 0 };
        if sent < bytes.len() {
            outbox.extend_from_slice(&bytes[sent..]);
            self.wanted.notify_one();
        }
        Ok(())
    }

    /// Says that nothing more will come: for the keeper, the end of its lifeline.
    pub(super) fn close(&self) {
        let _ = rustix::net::shutdown(self.writer.as_ref(), Shutdown::Write);
    }

    /// Writes what waits, for ever. Dropping the future between two writes loses nothing.
    async fn keep_writing(&self) {
        loop {
            if self.outbox.borrow().is_empty() {
                self.wanted.notified().await;
                continue;
            }
            if self.writer.writable().await.is_err() {
                return std::future::pending().await;
            }
            let mut outbox = self.outbox.borrow_mut();
            match self.writer.try_write(&outbox) {
                Ok(n) => drop(outbox.drain(..n)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => outbox.clear(), // The keeper is gone; the reading side hears it.
            }
        }
    }
}

/// Carries the conversation with one keeper until it ends.
pub(super) async fn converse(
    slot: Slot,
    mut reader: OwnedReadHalf,
    link: Rc<Link>,
    state: Weak<RefCell<State>>,
) {
    let mut inbox = Inbox::default();
    loop {
        let buffer = inbox.buffer();
        buffer.reserve(READ_BYTES);
        let got = tokio::select! {
            got = reader.read_buf(buffer) => got,
            () = link.keep_writing() => return,
        };
        let Some(state) = state.upgrade() else { return };
        let heard = match got {
            Ok(0) | Err(_) => Err("its keeper ended".to_owned()),
            Ok(_) => hear(slot, &mut inbox, &state),
        };
        if let Err(why) = heard {
            state.borrow_mut().keeper_ended(slot, why);
            return;
        }
    }
}

fn hear(slot: Slot, inbox: &mut Inbox, state: &RefCell<State>) -> Result<(), String> {
    let mut state = state.borrow_mut();
    while let Some(frame) = inbox.next().map_err(|error| error.to_string())? {
        state.hear(slot, frame);
    }
    Ok(())
}
