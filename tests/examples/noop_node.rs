//! A node for tests of the API: everything is real but the jobs. Nothing is executed: a job ends at once, one way or
//! another by its id, and both its record and `/health` say so. It stands under `/noop`, and its records are in memory.
//! With a second argument it demands that token.
//!
//! ```text
//! cargo run --example noop_node -- 127.0.0.1:8080
//! curl http://127.0.0.1:8080/noop/health
//! ```
#![allow(clippy::print_stdout, reason = "this is how a small program speaks")]

use std::error::Error;

use callboard::actix_web::web::{get, scope};
use callboard::actix_web::{App, HttpServer};
use callboard::actors::exec::{ExecJob, NoopExecutor};
use callboard::actors::graph::{Builder, ExecutorChoice};
use callboard::actors::model::{AttemptEnd, Exit};
use callboard::http::{TokenHash, configure};

const SLOTS: u32 = 4;
const WARNING: &str = "this node is for tests: nothing is executed, every job's end is made up";

/// Most jobs succeed; the others end in every way that a client may see.
fn end(job: &ExecJob) -> AttemptEnd {
    let killed = Exit::Signal { number: 9, core_dumped: false };
    match job.attempt.job.as_bytes()[15] % 16 {
        0 => AttemptEnd::Exited(Exit::Code(3)),
        1 => AttemptEnd::Exited(killed),
        2 => AttemptEnd::Timeout { limit_ms: 1000, exit: killed },
        3 => AttemptEnd::OutputLimit { limit_bytes: 1000, exit: killed },
        4 => AttemptEnd::SpawnError { message: "made up: not found".into(), shell_code: 127 },
        _ => AttemptEnd::Exited(Exit::Code(0)),
    }
}

#[callboard::actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let executor = ExecutorChoice::Custom(Box::new(|events| {
        Box::new(NoopExecutor::scripted(SLOTS, events, Box::new(|job| Some(end(job)))))
    }));
    let builder = Builder { warnings: vec![WARNING.into()], ..Builder::new(executor) };
    let platform = builder.start().await?;
    let door = callboard::door(platform.handle());
    let door = match std::env::args().nth(2) {
        Some(token) => door.with_token(TokenHash::of(&token)),
        None => door,
    };
    let server = HttpServer::new(move || {
        let jobs = scope("/noop").configure(configure(door.clone()));
        App::new().route("/", get().to(async || WARNING)).service(jobs)
    });
    let server = server.workers(1).bind(address)?;
    println!("listening on {}: {WARNING}", server.addrs()[0]);
    server.run().await?;
    platform.stop(0).await;
    Ok(())
}
