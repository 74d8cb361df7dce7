//! Callboard's node: HTTP API, command line and assembly around the actor graph of `callboard-actors`. An application
//! of its own that wants the HTTP API starts at [`door`] and mounts [`http::configure`]; docs/EMBEDDING.md shows how.

pub mod bench;
pub mod cli;
pub mod config;
pub mod demo;
pub mod http;
pub mod node;
pub mod telemetry;

// For guests: the versions that the routes and the handle are made of.
pub use actix_web;
pub use callboard_actors as actors;

/// The door to a platform, for an application that mounts it with [`http::configure`]: it answers to loopback's names
/// only and wants no token, until it is told otherwise.
pub fn door(platform: &actors::protocol::PlatformHandle) -> http::Door {
    http::Door::new(platform.clone(), env!("CARGO_PKG_VERSION"), &node::host_id())
}
