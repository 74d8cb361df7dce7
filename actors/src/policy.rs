//! Choosing between permitted things: whether a job is taken in, which waits first, where it runs, what is committed
//! together. Pure functions and plain structures; what they decide is carried out elsewhere.

pub mod breaker;
pub mod grouping;
pub mod intake;
pub mod placement;
pub mod queue;
