//! Integration tests of the library: one binary, one module per room.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "the simulator takes its seeds from the environment, and says how many it ran and how fast"
)]

mod deaths;
mod embed;
mod graph;
mod nodes;
mod runner_results;
mod scheduler;
mod serialised;
mod store;
mod store_migrations;
mod store_sqlite;

mod golden;
mod link;
mod model;
mod sim;
mod state_machine_doc;
