//! The node from outside of its rooms: its HTTP door with a platform from memory behind it, and the built binary, used
//! as a user would.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests wait by the clock and may fail"
)]

mod admission;
mod artifacts;
mod audit;
mod behind;
mod bench;
mod cli;
mod clients;
mod crash;
mod death;
mod demo;
mod disk;
mod documented;
mod embed;
mod ends;
mod evidence;
mod exec;
mod fake;
mod fault;
mod files;
mod first_run;
mod former;
mod http;
mod isolation;
mod limits;
mod lite;
mod metrics;
mod mounts;
mod open_files;
mod parsers;
mod process;
mod records;
mod refusals;
mod remote;
mod rooms;
mod runner;
mod secrets;
mod server;
mod site;
mod skip;
mod snapshots;
mod stopping;
mod tls;
mod tokens;
mod unusable;
