//! The order in which jobs wait: first come, first served, with a front for those whose attempt came to nothing.
//! Withdrawn jobs are remembered and skipped, so that withdrawing costs nothing however long the queue is.

use std::collections::{HashSet, VecDeque};

use crate::model::JobId;

/// Jobs in the order in which they will start.
#[derive(Clone, Debug, Default)]
pub struct FifoQueue {
    order: VecDeque<JobId>,
    withdrawn: HashSet<JobId>,
}

impl FifoQueue {
    /// Adds a job at the end.
    pub fn push_back(&mut self, job: JobId) {
        self.bury(job);
        self.order.push_back(job);
    }

    /// Adds a job before all others.
    pub fn push_front(&mut self, job: JobId) {
        self.bury(job);
        self.order.push_front(job);
    }

    /// Removes what a former withdrawal of the job has left, before it comes again.
    fn bury(&mut self, job: JobId) {
        if self.withdrawn.remove(&job) {
            self.order.retain(|other| *other != job);
        }
    }

    /// Takes out a job. It may have been taken by `pop` just before: then nothing is there to take out.
    pub fn withdraw(&mut self, job: JobId) {
        self.withdrawn.insert(job);
        if self.withdrawn.len() * 2 > self.order.len() {
            let withdrawn = std::mem::take(&mut self.withdrawn);
            self.order.retain(|job| !withdrawn.contains(job));
        }
    }

    /// Takes the next job.
    pub fn pop(&mut self) -> Option<JobId> {
        loop {
            let Some(job) = self.order.pop_front() else {
                self.withdrawn.clear();
                return None;
            };
            if !self.withdrawn.remove(&job) {
                return Some(job);
            }
        }
    }

    /// The next job, left where it is.
    pub fn peek(&self) -> Option<JobId> {
        self.order.iter().find(|job| !self.withdrawn.contains(*job)).copied()
    }

    /// How many jobs wait.
    pub fn len(&self) -> usize {
        self.order.len().saturating_sub(self.withdrawn.len())
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives back memory that a burst has left.
    pub fn shrink(&mut self) {
        if self.order.capacity() > 1024 && self.order.len() * 4 < self.order.capacity() {
            self.order.shrink_to(self.order.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(n: u8) -> JobId {
        JobId::from_bytes([n; 16])
    }

    #[test]
    fn jobs_leave_in_the_order_they_came_but_for_the_front() {
        let mut queue = FifoQueue::default();
        (1..=3).for_each(|n| queue.push_back(job(n)));
        queue.push_front(job(9));
        assert_eq!(queue.len(), 4);
        let order: Vec<JobId> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [job(9), job(1), job(2), job(3)]);
    }

    #[test]
    fn withdrawing_what_was_just_taken_hides_no_other_job() {
        let mut queue = FifoQueue::default();
        (1..=3).for_each(|n| queue.push_back(job(n)));
        let taken = queue.pop().expect("three wait");
        queue.withdraw(taken);
        queue.push_back(taken);
        let order: Vec<JobId> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [job(2), job(3), job(1)]);
    }

    #[test]
    fn withdrawn_jobs_are_skipped_and_may_come_back_once() {
        let mut queue = FifoQueue::default();
        (1..=5).for_each(|n| queue.push_back(job(n)));
        queue.withdraw(job(2));
        queue.withdraw(job(4));
        assert_eq!((queue.len(), queue.peek()), (3, Some(job(1))));
        queue.push_back(job(2));
        let mut order: Vec<JobId> = std::iter::from_fn(|| queue.pop()).collect();
        order.sort();
        assert_eq!(order, [job(1), job(2), job(3), job(5)]);
        assert!(queue.is_empty());
    }
}
