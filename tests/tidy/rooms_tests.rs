//! The room tables on small sources.

use crate::rooms::check;
use crate::source::{sample_permitted, sample_refused};

#[track_caller]
fn refused(path: &str, text: &str) -> String {
    sample_refused(check, path, text)
}

#[track_caller]
fn permitted(path: &str, text: &str) {
    sample_permitted(check, path, text);
}

#[test]
fn an_edge_outside_the_table_is_refused_in_every_spelling() {
    let spellings = [
        "use crate::coordinator::Coordinator;",
        "use crate::{model::Job, coordinator::{Coordinator}};",
        "pub use crate::coordinator as boss;",
        "fn a() { crate::coordinator::b() }",
        "pub(in crate::coordinator) struct A;",
        "macro_rules! a { () => { $crate::coordinator::b() } }",
        "use super::coordinator::Coordinator;",
        "use self::super::coordinator::Coordinator;",
        "use super::{coordinator, model};",
        "mod part { use super::super::coordinator; }",
        "use callboard_actors::coordinator::Coordinator;",
    ];
    for text in spellings {
        refused("actors/src/scheduler.rs", text);
    }
    refused("actors/src/scheduler/queue.rs", "use super::super::{coordinator, model};");
    refused("actors/src/scheduler/queue/heap.rs", "use super::super::super::coordinator;");
}

#[test]
fn the_message_names_the_place_both_rooms_and_what_is_allowed() {
    assert_eq!(
        refused("actors/src/policy/place.rs", "\nuse crate::{\n  clock};"),
        "actors/src/policy/place.rs:2: [room] room `policy` may not import `clock`: it may know model"
    );
    assert_eq!(
        refused("actors/src/model.rs", "use crate::clock;"),
        "actors/src/model.rs:1: [room] room `model` may not import `clock`: it may know no other room"
    );
}

#[test]
fn edges_of_the_table_and_paths_inside_a_room_are_permitted() {
    permitted("actors/src/scheduler.rs", "mod queue; use crate::{model::Job, policy, clock::now_ms};");
    permitted("actors/src/scheduler/queue.rs", "use super::{heap, Scheduler}; use crate::scheduler::heap;");
    permitted("actors/src/scheduler/queue/heap.rs", "use super::super::Scheduler;");
    permitted("actors/src/scheduler/queue.rs", "mod a { use super::super::Scheduler; }");
    permitted("actors/src/scheduler.rs", "pub(crate) fn a() { self::b() } // crate::coordinator\n");
    permitted("actors/src/scheduler.rs", "#[cfg(test)] mod tests { use crate::coordinator; use super::*; }");
    permitted("actors/src/scheduler/tests.rs", "use crate::coordinator;");
    permitted("actors/src/graph.rs", "use crate::{coordinator, scheduler};");
    permitted("actors/src/lib.rs", "pub use crate::coordinator::Coordinator;");
    permitted("actors/tests/it/main.rs", "use crate::coordinator;");
    permitted("actors/src/testing.rs", "use crate::{clock, exec};");
}

#[test]
fn the_crate_root_is_for_guests() {
    assert!(refused("actors/src/scheduler.rs", "use crate::Job;").contains("crate root"));
    refused("actors/src/scheduler.rs", "use crate::*;");
    refused("actors/src/scheduler.rs", "use super::*;");
    refused("actors/src/scheduler.rs", "use crate as root;");
    refused("actors/src/scheduler.rs", "use crate::{self as root};");
    refused("actors/src/scheduler.rs", "fn a() { super::b() }");
}

#[test]
fn graph_may_be_imported_by_nobody_in_the_table() {
    refused("actors/src/coordinator.rs", "use crate::graph;");
}

#[test]
fn an_unknown_room_is_refused() {
    assert!(refused("actors/src/util.rs", "").contains("no room"));
    assert!(refused("src/helpers/a.rs", "").contains("no room"));
}

#[test]
fn the_node_has_a_table_too() {
    refused("src/http/api.rs", "use crate::node::Node;");
    refused("src/config.rs", "use crate::http::HttpConfig;");
    refused("src/node.rs", "use crate::cli;");
    refused("src/main.rs", "use callboard::Thing;");
    permitted("src/main.rs", "use callboard::{cli, config::Config}; fn a() { callboard::node::run() }");
    permitted("src/cli/run.rs", "use crate::{config, node}; use callboard_actors::graph::Builder;");
    permitted("src/lib.rs", "pub use crate::http::Service;");
}

#[test]
fn http_knows_four_rooms_of_the_library() {
    permitted(
        "src/http/api.rs",
        "use callboard_actors::{protocol::PlatformHandle, wire, model::Job, clock};",
    );
    assert!(
        refused("src/http.rs", "use callboard_actors::store::JobStore;")
            .contains("protocol, wire, model, clock")
    );
    refused("src/http.rs", "use callboard_actors::PlatformHandle;");
    refused("src/http.rs", "fn a() { callboard_actors::graph::start() }");
    refused("src/http/api.rs", "use callboard_actors as actors;");
}
