//! The banned words on small sources.

use crate::source::{sample_permitted, sample_refused};
use crate::words::check;

#[track_caller]
fn refused(path: &str, text: &str) -> String {
    sample_refused(check, path, text)
}

#[track_caller]
fn permitted(path: &str, text: &str) {
    sample_permitted(check, path, text);
}

#[test]
fn the_pure_rooms_do_no_io() {
    for room in ["model", "policy", "link"] {
        let path = format!("actors/src/{room}/part.rs");
        for text in [
            "use actix::Actor;",
            "use tokio::time;",
            "async fn a() {}",
            "fn a() { b.await; }",
            "use std::{env, fs};",
            "fn a() { Uuid::now_v7() }",
            "fn a() { SystemTime::now() }",
        ] {
            refused(&path, text);
        }
        permitted(&path, "use uuid::Uuid; /// tokio, actix\nfn a(now_ms: i64) -> &str { \"tokio .await\" }");
    }
}

#[test]
fn the_message_names_the_place_the_word_and_the_way_out() {
    assert_eq!(
        refused("actors/src/runner.rs", "\n\nfn a() { std::time::Instant::now(); }"),
        "actors/src/runner.rs:3: [word] `Instant::now` may not be said here: \
         ask `clock` for the time, or take it as an argument"
    );
}

#[test]
fn protocol_only_says_what_may_be_said() {
    let path = "actors/src/protocol/submit.rs";
    for text in [
        "impl Handler<A> for B {}",
        "impl<T: Fn() -> u8> Handler<T> for B {}",
        "struct A { b: Addr<C> }",
        "use awc::Client;",
        "use tokio::{sync::mpsc, time};",
        "fn a() { tokio::spawn(b) }",
        "use tokio::*;",
    ] {
        refused(path, text);
    }
    permitted(path, "use tokio::sync::{mpsc, oneshot}; fn a() { tokio::sync::oneshot::channel() }");
    permitted(path, "struct PlatformHandle { a: Recipient<B>, c: SocketAddr }");
}

#[test]
fn store_and_exec_know_no_actors() {
    refused("actors/src/store.rs", "use actix::Message;");
    refused("actors/src/exec/process.rs", "struct A { b: Recipient<C> }");
    permitted("actors/src/exec/process.rs", "use tokio::process::Command;");
}

#[test]
fn actors_hold_recipients_and_touch_nothing_themselves() {
    for text in [
        "struct A { b: Addr<Scheduler> }",
        "fn a() { Scheduler::from_registry() }",
        "fn a() { b.unwrap() }",
        "use prometheus::Registry;",
        "use awc::Client;",
        "use tokio::process;",
        "use tokio::{process::Command, sync};",
    ] {
        refused("actors/src/coordinator.rs", text);
    }
    permitted(
        "actors/src/coordinator.rs",
        "fn a(b: &Addr<Self>, c: Addr<super::Coordinator>) { d.unwrap_or(1) }",
    );
    permitted("actors/src/metrics.rs", "use prometheus::Registry;");
    permitted("actors/src/courier.rs", "use awc::Client;");
    permitted("actors/src/runner_proxy.rs", "fn a(b: Addr<RunnerProxy>) {}");
    refused("actors/src/uplink.rs", "use awc::Client;");
    refused("actors/src/runner_proxy.rs", "fn a(b: Addr<Runner>) {}");
    refused("actors/src/metrics.rs", "fn a() { awc::Client::new() }");
}

#[test]
fn http_translates_and_does_nothing_else() {
    refused("src/http/ops.rs", "use prometheus::Encoder;");
    refused("src/http.rs", "use tokio::process::Command;");
    permitted("src/node.rs", "use tokio::process::Command;");
}

#[test]
fn time_exit_environment_and_unsafe_have_one_place_each() {
    refused("src/cli/run.rs", "fn a() { Instant::now() }");
    refused("actors/src/lib.rs", "fn a() { SystemTime::now() }");
    permitted("actors/src/clock.rs", "fn a() { Instant::now(); SystemTime::now(); }");
    refused("src/cli.rs", "fn a() { std::process::exit(1) }");
    refused("src/cli.rs", "use std::process::{Command, exit};");
    permitted("src/main.rs", "fn main() { std::process::exit(1) }");
    refused("src/cli.rs", "fn a() { std::env::var(\"X\") }");
    refused("src/cli.rs", "use std::env::{self, var_os};");
    refused("actors/src/graph.rs", "fn a() { env::vars() }");
    permitted("src/config/env.rs", "fn a() { std::env::var(\"X\") }");
    permitted("src/cli.rs", "fn a() { std::env::current_dir(); env!(\"X\") }");
    refused("actors/src/exec/process.rs", "fn a() { unsafe { b() } }");
    permitted("actors/src/exec/sys.rs", "#![allow(unsafe_code)] fn a() { unsafe { b() } }");
}

#[test]
fn tests_may_say_anything() {
    permitted("actors/src/model.rs", "#[cfg(test)] mod tests { use tokio::time; }");
    permitted("actors/src/model/tests.rs", "use tokio::time;");
    permitted("src/cli/run_tests.rs", "fn a() { Instant::now() }");
    permitted("tests/it/main.rs", "fn a() { Instant::now() }");
}
