//! What operators and their tools ask for: the queue's state, a health check, documents that need no server.

use std::time::Duration;

use callboard_actors::model::Limits;
use clap_complete::Shell;
use serde_json::json;

use super::args::{self, Global, HealthcheckArgs, Queue};
use super::client::Client;
use super::commands::{print, print_json};
use super::exit::{Failure, NO_ANSWER};
use crate::config::Role;
use crate::http;

type Outcome = Result<i32, Failure>;

/// Pauses or resumes the queue.
pub async fn queue(verb: Queue, client: &Client, global: &Global) -> Outcome {
    let (word, paused) = match verb {
        Queue::Pause => ("pause", true),
        Queue::Resume => ("resume", false),
    };
    client.queue(word).await?;
    match (global.json, global.quiet) {
        (true, _) => print_json(&json!({ "paused": paused }))?,
        (_, true) => {}
        _ if paused => print("The queue is paused: jobs are accepted and wait")?,
        _ => print("The queue runs")?,
    }
    Ok(0)
}

/// Asks whether the server is a callboard and ready, for a bounded time. Not being so is a failure with the server's own reason.
pub async fn healthcheck(args: &HealthcheckArgs, client: &Client, global: &Global) -> Outcome {
    let limit = Duration::from_millis(args.timeout);
    let asked = async {
        client.known().await?;
        client.ready().await
    };
    let late = |_| Failure::new(NO_ANSWER, format!("no answer within {} ms", args.timeout));
    let answered = actix_rt::time::timeout(limit, asked).await.map_err(late)?;
    // Whatever the server says: it is not ready.
    answered.map_err(|failure| Failure::new(NO_ANSWER, failure.message))?;
    match (global.json, global.quiet) {
        (true, _) => print_json(&json!({ "ready": true }))?,
        (_, true) => {}
        _ => print("ok")?,
    }
    Ok(0)
}

/// Prints what `/openapi.json` of a server with the usual limits answers.
pub fn openapi() -> Outcome {
    print(&http::openapi_document(Role::Coordinator, "", &Limits::default())).map(|()| 0)
}

/// Prints a script that completes commands and flags.
pub fn completions(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "callboard", &mut script);
    print(String::from_utf8_lossy(&script).trim_end()).map(|()| 0)
}
