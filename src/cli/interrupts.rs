//! The signals that end a command whose job goes with it: Ctrl-C, a terminal that hangs up, a manager that stops it.

use std::io;

use futures_util::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP, kept from the moment this is made.
pub struct Interrupts {
    signals: Vec<(i32, Signal)>,
}

impl Interrupts {
    /// Begins to listen. A hangup that was ignored when this process started, as `nohup` has it, stays ignored.
    pub fn listen() -> io::Result<Self> {
        let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
        if !ignores(SignalKind::hangup()) {
            kinds.push(SignalKind::hangup());
        }
        let signals = kinds.into_iter().map(|kind| Ok((kind.as_raw_value(), signal(kind)?)));
        Ok(Self { signals: signals.collect::<io::Result<_>>()? })
    }

    /// The exit code that stands for the next one, as a shell reports it.
    pub async fn next(&mut self) -> i32 {
        let each = self.signals.iter_mut().map(|(number, signal)| {
            let number = *number;
            Box::pin(async move {
                if signal.recv().await.is_none() {
                    std::future::pending::<()>().await;
                }
                128 + number
            })
        });
        select_all(each).await.0
    }
}

/// Whether this process ignores the signal.
fn ignores(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}
