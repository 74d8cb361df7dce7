//! An application with a route of its own that has all of Callboard's API under `/jobs-api`. Try it:
//!
//! ```text
//! cargo run --example embed_http -- /tmp/jobs 127.0.0.1:8080
//! curl http://127.0.0.1:8080/
//! curl -H 'Content-Type: application/json' -d '{"command": "uname -a"}' http://127.0.0.1:8080/jobs-api/v1/jobs
//! ```
#![allow(clippy::print_stdout, reason = "this is how a small program speaks")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use callboard::actix_web::web::{get, scope};
use callboard::actix_web::{App, HttpServer, rt};
use callboard::actors::graph::Builder;
use callboard::actors::sandbox_entry;
use callboard::http::configure;

async fn serve(folder: &Path, address: &str) -> Result<(), Box<dyn Error>> {
    let mut platform = Builder::in_folder(folder)?.start().await?;
    let door = callboard::door(platform.handle());
    let server = HttpServer::new(move || {
        let jobs = scope("/jobs-api").configure(configure(door.clone()));
        App::new().route("/", get().to(async || "the application's own\n")).service(jobs)
    });
    let server = server.workers(1).bind(address)?;
    println!("listening on {}", server.addrs()[0]);
    tokio::select! {
        // It ends at Ctrl-C or SIGTERM.
        ended = server.run() => ended?,
        name = platform.died() => return Err(format!("the {name} died: start again, no job is lost").into()),
    }
    platform.stop(5_000).await;
    Ok(())
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // First of all: this very program is started again to hold jobs, and must then do nothing else.
    if let Some(code) = sandbox_entry() {
        return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
    }
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "jobs".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    rt::System::new().block_on(serve(folder.as_ref(), &address))?;
    Ok(ExitCode::SUCCESS)
}
