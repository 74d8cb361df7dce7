//! Benches of single rooms: what a change to one of them costs, without the others. The whole platform is measured by
//! `callboard bench`; nothing here judges a figure.

mod link;
mod scheduler;
mod store;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    scheduler::measure(&mut criterion);
    store::measure(&mut criterion);
    link::measure(&mut criterion);
    criterion.final_summary();
}
