//! The embeddable heart of Callboard: typed actors that accept, queue, run and account for Linux commands.
//! Start with [`graph::Builder`]; talk to what it starts through [`protocol::PlatformHandle`].

pub mod clock;
pub mod coordinator;
pub mod courier;
pub mod events;
pub mod exec;
pub mod graph;
pub mod link;
pub mod metrics;
pub mod model;
pub mod policy;
pub mod protocol;
pub mod runner;
pub mod runner_proxy;
pub mod scheduler;
pub mod secret;
pub mod spool;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tls;
pub mod uplink;
pub mod wire;

pub use exec::sandbox_entry;
