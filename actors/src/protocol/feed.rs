//! The last things that happened, numbered, for whoever reads them at a pace of their own. One writes, many read; a
//! reader that is too slow is told how much it has missed, and costs nobody anything. It knows no transport.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::notices::{JobChange, RunnerChanged};

/// Most events that are kept for readers; a batch that is larger is kept as a whole until the next one.
pub const MAX_EVENTS_KEPT: usize = 16_384;

/// What happened.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A job changed.
    Job(JobChange),
    /// A node came, changed or went.
    Runner(RunnerChanged),
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its number in this life of the platform. Numbers grow; some are left out.
    pub seq: u64,
    /// When it was published, Unix milliseconds.
    pub at_ms: i64,
    /// What.
    pub what: Happening,
}

/// A piece of the feed.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    /// The events, in order.
    pub events: Vec<Event>,
    /// The number after which the next piece starts.
    pub next: u64,
    /// How many events between the number asked for and the first one are not kept any more.
    pub missed: u64,
}

#[derive(Debug)]
enum What {
    Jobs(Arc<Vec<JobChange>>),
    Runner(RunnerChanged),
}

#[derive(Debug)]
struct Batch {
    /// The number of its first event.
    first: u64,
    at_ms: i64,
    what: What,
}

impl Batch {
    fn len(&self) -> usize {
        match &self.what {
            What::Jobs(changes) => changes.len(),
            What::Runner(_) => 1,
        }
    }
}

#[derive(Debug, Default)]
struct Ring {
    batches: VecDeque<Arc<Batch>>,
    kept: usize,
}

/// The feed. Numbers begin at 1 with every life of the platform.
#[derive(Debug)]
pub struct EventFeed {
    /// Which life this is: the time of its start.
    epoch: i64,
    most: usize,
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
}

impl EventFeed {
    /// An empty feed of the life that began at this Unix time in milliseconds.
    pub fn new(epoch: i64) -> Self {
        Self::keeping(epoch, MAX_EVENTS_KEPT)
    }

    fn keeping(epoch: i64, most: usize) -> Self {
        Self { epoch, most, ring: Mutex::default(), newest: watch::Sender::new(0) }
    }

    /// Which life this is: numbers of another one mean nothing here.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// The number of the last event; 0 before the first.
    pub fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Adds changes of jobs, published at this Unix time in milliseconds.
    pub fn publish_jobs(&self, changes: Arc<Vec<JobChange>>, at_ms: i64) {
        if !changes.is_empty() {
            self.publish(What::Jobs(changes), at_ms);
        }
    }

    /// Adds the change of a node.
    pub fn publish_runner(&self, change: RunnerChanged, at_ms: i64) {
        self.publish(What::Runner(change), at_ms);
    }

    fn publish(&self, what: What, at_ms: i64) {
        let mut ring = self.ring();
        let batch = Batch { first: self.newest() + 1, at_ms, what };
        let (len, newest) = (batch.len(), batch.first + batch.len() as u64 - 1);
        ring.kept += len;
        ring.batches.push_back(Arc::new(batch));
        while ring.kept > self.most && ring.batches.len() > 1 {
            ring.kept -= ring.batches.pop_front().map_or(0, |oldest| oldest.len());
        }
        self.newest.send_replace(newest);
    }

    /// Events after this number, as many as fit into `most` but at least one batch's share.
    pub fn read(&self, after: u64, most: usize) -> Piece {
        let (batches, oldest) = self.batches_after(after, most);
        let mut piece =
            Piece { next: after, missed: oldest.saturating_sub(after.saturating_add(1)), ..Piece::default() };
        for batch in batches {
            for at in 0..batch.len() {
                let seq = batch.first + at as u64;
                if seq <= after {
                    continue;
                }
                if piece.events.len() >= most {
                    return piece;
                }
                let what = match &batch.what {
                    What::Jobs(changes) => Happening::Job(changes[at].clone()),
                    What::Runner(change) => Happening::Runner(*change),
                };
                piece.events.push(Event { seq, at_ms: batch.at_ms, what });
                piece.next = seq;
            }
        }
        piece
    }

    /// The batches with events after this number, enough for `most`, and the oldest number that is kept. What is done
    /// with them is done without the lock.
    fn batches_after(&self, after: u64, most: usize) -> (Vec<Arc<Batch>>, u64) {
        let ring = self.ring();
        let oldest = ring.batches.front().map_or(self.newest() + 1, |batch| batch.first);
        let begin = ring.batches.partition_point(|batch| batch.first + batch.len() as u64 - 1 <= after);
        let mut taken = Vec::new();
        let mut events = 0;
        for batch in ring.batches.range(begin..) {
            if events > most {
                break;
            }
            // Of the first batch some may be known.
            events += if taken.is_empty() { 1 } else { batch.len() };
            taken.push(Arc::clone(batch));
        }
        (taken, oldest)
    }

    /// Resolves when there are events after this number.
    pub async fn wait(&self, after: u64) {
        let mut newest = self.newest.subscribe();
        // An error means that the feed is gone; but we hold it.
        let _ = newest.wait_for(|newest| *newest > after).await;
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::JobId;
    use crate::protocol::notices::JobChangeKind;

    fn batch(len: usize) -> Arc<Vec<JobChange>> {
        let change = JobChange { id: JobId::from_bytes([1; 16]), what: JobChangeKind::Accepted };
        Arc::new(vec![change; len])
    }

    fn numbers(piece: &Piece) -> Vec<u64> {
        piece.events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn pieces_follow_one_another_without_a_gap() {
        let feed = EventFeed::keeping(1, 100);
        for len in [3, 1, 0, 5, 2] {
            feed.publish_jobs(batch(len), 7);
        }
        for most in 1..13 {
            let (mut after, mut all) = (0, Vec::new());
            loop {
                let piece = feed.read(after, most);
                assert!(piece.events.len() <= most && piece.missed == 0);
                if piece.events.is_empty() {
                    break;
                }
                all.extend(numbers(&piece));
                after = piece.next;
            }
            assert_eq!(all, (1..=11).collect::<Vec<u64>>(), "{most} at a time");
        }
    }

    #[test]
    fn what_is_not_kept_is_counted() {
        let feed = EventFeed::keeping(1, 10);
        for _ in 0..5 {
            feed.publish_jobs(batch(4), 7);
        }
        let piece = feed.read(3, 100);
        assert_eq!((piece.missed, numbers(&piece)), (9, (13..=20).collect()));
        assert_eq!(feed.read(12, 100).missed, 0);
        assert_eq!(feed.read(20, 100).events.len(), 0);
        // One batch is kept, however large.
        feed.publish_jobs(batch(50), 8);
        let piece = feed.read(20, 100);
        assert_eq!((piece.missed, piece.events.len(), piece.next), (0, 50, 70));
        assert_eq!(feed.read(19, 100).missed, 1);
    }

    #[tokio::test]
    async fn a_reader_waits_for_what_comes() {
        let feed = Arc::new(EventFeed::new(1));
        let reader = tokio::spawn({
            let feed = Arc::clone(&feed);
            async move { feed.wait(0).await }
        });
        tokio::task::yield_now().await;
        assert!(!reader.is_finished());
        feed.publish_jobs(batch(1), 7);
        reader.await.expect("it wakes up");
        feed.wait(0).await;
    }
}
