//! Nodes that ruin what they are given, and jobs that ruin nodes. It counts; what is done about it is done elsewhere.

/// Attempts in a row that fail by the fault of their node before it is kept from work.
pub const BREAKER_FAILURES: u32 = 5;
/// Different nodes on which attempts of one job may be lost: then it is given to no further one.
pub const POISON_NODES: usize = 3;

/// Whether a node with so many failures in a row is kept from work. `others` are those of the other nodes that are given
/// work: when none of them is without failures the fault may be the jobs', and the last one is never given up.
pub fn trips(failures: u32, mut others: impl Iterator<Item = u32>) -> bool {
    failures >= BREAKER_FAILURES && others.any(|failures| failures == 0)
}

/// Whether a job whose attempts were lost on so many different nodes is given up.
pub fn is_poison(nodes: usize) -> bool {
    nodes >= POISON_NODES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_kept_from_work_only_when_it_fails_alone_and_others_are_left() {
        assert!(trips(BREAKER_FAILURES, [0].into_iter()));
        assert!(trips(9, [3, 0].into_iter()));
        assert!(!trips(BREAKER_FAILURES - 1, [0].into_iter()), "not yet");
        assert!(!trips(9, [1, 2].into_iter()), "the jobs may be at fault");
        assert!(!trips(9, std::iter::empty()), "it is the last one");
    }
}
