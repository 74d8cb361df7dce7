//! The order in which jobs wait: first come, first served, with a front for those whose attempt came to nothing. Jobs
//! with the same needs are a class with a queue of its own, and a number that they all draw keeps the order across
//! classes: who has no node now holds up nobody else. Withdrawn jobs are remembered and skipped, so that withdrawing
//! costs nothing however long the queue is.

use std::collections::{BTreeMap, HashSet, VecDeque};

use crate::model::{ClassId, JobId};

/// A place in the order of all jobs: the least is first.
pub type Place = i64;

/// Jobs of one class in the order in which they will start.
#[derive(Clone, Debug, Default)]
struct FifoQueue {
    order: VecDeque<(Place, JobId)>,
    withdrawn: HashSet<JobId>,
}

impl FifoQueue {
    fn push_back(&mut self, place: Place, job: JobId) {
        self.bury(job);
        self.order.push_back((place, job));
    }

    fn push_front(&mut self, place: Place, job: JobId) {
        self.bury(job);
        self.order.push_front((place, job));
    }

    /// Removes what a former withdrawal of the job has left, before it comes again.
    fn bury(&mut self, job: JobId) {
        if self.withdrawn.remove(&job) {
            self.order.retain(|(_, other)| *other != job);
        }
    }

    /// Takes out a job. It may have been taken by `pop` just before: then nothing is there to take out.
    fn withdraw(&mut self, job: JobId) {
        self.withdrawn.insert(job);
        if self.withdrawn.len() * 2 > self.order.len() {
            let withdrawn = std::mem::take(&mut self.withdrawn);
            self.order.retain(|(_, job)| !withdrawn.contains(job));
        }
    }

    fn pop(&mut self) -> Option<JobId> {
        self.drop_withdrawn();
        self.order.pop_front().map(|(_, job)| job)
    }

    /// The next job, left where it is.
    fn head(&mut self) -> Option<(Place, JobId)> {
        self.drop_withdrawn();
        self.order.front().copied()
    }

    /// Brings the next job that was not withdrawn to the front.
    fn drop_withdrawn(&mut self) {
        while let Some((_, job)) = self.order.front()
            && self.withdrawn.remove(job)
        {
            self.order.pop_front();
        }
        if self.order.is_empty() {
            self.withdrawn.clear();
        }
    }

    fn len(&self) -> usize {
        self.order.len().saturating_sub(self.withdrawn.len())
    }

    /// Gives back memory that a burst has left.
    fn shrink(&mut self) {
        if self.order.capacity() > 1024 && self.order.len() * 4 < self.order.capacity() {
            self.order.shrink_to(self.order.len() * 2);
        }
    }
}

/// Every job that waits, class by class. A class is here for as long as a job of it is.
#[derive(Clone, Debug, Default)]
pub struct ClassQueues {
    classes: BTreeMap<ClassId, FifoQueue>,
    first: Place,
    last: Place,
}

impl ClassQueues {
    /// Adds a job at the end.
    pub fn push_back(&mut self, class: ClassId, job: JobId) {
        self.last += 1;
        self.classes.entry(class).or_default().push_back(self.last, job);
    }

    /// Adds a job before all others.
    pub fn push_front(&mut self, class: ClassId, job: JobId) {
        self.first -= 1;
        self.classes.entry(class).or_default().push_front(self.first, job);
    }

    /// Takes out a job of this class. It may have been taken by `pop` just before: then nothing is there to take out.
    pub fn withdraw(&mut self, class: ClassId, job: JobId) {
        if let Some(queue) = self.classes.get_mut(&class) {
            queue.withdraw(job);
        }
    }

    /// Takes the next job of this class.
    pub fn pop(&mut self, class: ClassId) -> Option<JobId> {
        self.classes.get_mut(&class)?.pop()
    }

    /// Where the next job of this class stands in the order of all.
    pub fn head_of(&mut self, class: ClassId) -> Option<Place> {
        self.classes.get_mut(&class)?.head().map(|(place, _)| place)
    }

    /// Where the next job of each class stands in the order of all. Classes of which no job is left are dropped.
    pub fn heads(&mut self) -> Vec<(Place, ClassId)> {
        let mut heads = Vec::with_capacity(self.classes.len());
        self.classes.retain(|class, queue| match queue.head() {
            Some((place, _)) => {
                heads.push((place, *class));
                true
            }
            None => false,
        });
        heads
    }

    /// The first job of all, left where it is.
    pub fn peek(&mut self) -> Option<JobId> {
        self.classes.values_mut().filter_map(FifoQueue::head).min().map(|(_, job)| job)
    }

    /// The classes of which a job may wait, in order.
    pub fn classes(&self) -> impl Iterator<Item = ClassId> {
        self.classes.keys().copied()
    }

    /// Whether a job of this class may wait.
    pub fn has(&self, class: ClassId) -> bool {
        self.classes.contains_key(&class)
    }

    /// How many jobs wait.
    pub fn len(&self) -> usize {
        self.classes.values().map(FifoQueue::len).sum()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives back memory that a burst has left.
    pub fn shrink(&mut self) {
        self.classes.values_mut().for_each(FifoQueue::shrink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClassId = ClassId(0);
    const B: ClassId = ClassId(7);

    fn job(n: u8) -> JobId {
        JobId::from_bytes([n; 16])
    }

    fn drained(queue: &mut ClassQueues, class: ClassId) -> Vec<JobId> {
        std::iter::from_fn(|| queue.pop(class)).collect()
    }

    #[test]
    fn jobs_leave_in_the_order_they_came_but_for_the_front() {
        let mut queue = ClassQueues::default();
        (1..=3).for_each(|n| queue.push_back(A, job(n)));
        queue.push_front(A, job(9));
        assert_eq!(queue.len(), 4);
        assert_eq!(drained(&mut queue, A), [job(9), job(1), job(2), job(3)]);
    }

    #[test]
    fn withdrawing_what_was_just_taken_hides_no_other_job() {
        let mut queue = ClassQueues::default();
        (1..=3).for_each(|n| queue.push_back(A, job(n)));
        let taken = queue.pop(A).expect("three wait");
        queue.withdraw(A, taken);
        queue.push_back(A, taken);
        assert_eq!(drained(&mut queue, A), [job(2), job(3), job(1)]);
    }

    #[test]
    fn withdrawn_jobs_are_skipped_and_may_come_back_once() {
        let mut queue = ClassQueues::default();
        (1..=5).for_each(|n| queue.push_back(A, job(n)));
        queue.withdraw(A, job(2));
        queue.withdraw(A, job(4));
        assert_eq!((queue.len(), queue.peek()), (3, Some(job(1))));
        queue.push_back(A, job(2));
        let mut order = drained(&mut queue, A);
        order.sort();
        assert_eq!(order, [job(1), job(2), job(3), job(5)]);
        assert!(queue.is_empty());
    }

    #[test]
    fn the_order_of_arrival_holds_across_classes() {
        let mut queue = ClassQueues::default();
        for (class, n) in [(A, 1), (B, 2), (A, 3), (B, 4)] {
            queue.push_back(class, job(n));
        }
        queue.push_front(B, job(9));
        let mut order = Vec::new();
        while let Some((_, class)) = queue.heads().into_iter().min() {
            order.extend(queue.pop(class));
        }
        assert_eq!(order, [job(9), job(1), job(2), job(3), job(4)]);
        assert!(!queue.has(A) && !queue.has(B), "a class is gone with its last job");
    }

    #[test]
    fn a_class_whose_jobs_were_all_withdrawn_has_no_head() {
        let mut queue = ClassQueues::default();
        queue.push_back(A, job(1));
        queue.push_back(B, job(2));
        queue.withdraw(B, job(2));
        assert_eq!(queue.head_of(B), None);
        assert_eq!(queue.heads().len(), 1);
        assert_eq!(queue.peek(), Some(job(1)));
    }
}
