//! An application of its own that has jobs run beside its own routes: it counts the words of texts, and each text is a
//! job. Try it:
//!
//! ```text
//! cargo run -p callboard-actors --example embed -- /tmp/words 127.0.0.1:8080
//! curl -d 'to be or not to be' http://127.0.0.1:8080/texts
//! curl http://127.0.0.1:8080/texts/ID-FROM-THE-FIRST-ANSWER
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is how a small program speaks")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{App, HttpResponse, HttpServer, get, post};
use callboard_actors::graph::Builder;
use callboard_actors::model::{InputMode, JobId, JobSpec, JobState};
use callboard_actors::protocol::{LookupError, PlatformHandle};

/// Words by how often they occur, the most frequent first.
const COUNT_WORDS: &str = "tr -s '[:space:]' '\\n' | sort | uniq -c | sort -rn";
/// Longest that a request waits for its count, in milliseconds.
const PATIENCE_MS: u64 = 10_000;
/// How long counts under way may go on when the application stops, in milliseconds.
const GRACE_MS: u64 = 5_000;

#[get("/")]
async fn hello() -> &'static str {
    "POST a text to /texts\n"
}

#[post("/texts")]
async fn count(jobs: Data<PlatformHandle>, text: String) -> HttpResponse {
    let input = InputMode::Inline(text.into_bytes());
    match jobs.submit_one(JobSpec { input, ..JobSpec::shell(COUNT_WORDS) }).await {
        Ok(accepted) => HttpResponse::Accepted().body(format!("{}\n", accepted.view.record.id)),
        Err(refused) => HttpResponse::ServiceUnavailable().body(format!("{refused}\n")),
    }
}

#[get("/texts/{id}")]
async fn show(jobs: Data<PlatformHandle>, id: Path<JobId>) -> HttpResponse {
    let job = match jobs.wait(*id, PATIENCE_MS).await {
        Ok(job) => job,
        Err(LookupError::NotFound) => return HttpResponse::NotFound().body("no such text\n"),
        Err(error) => return HttpResponse::ServiceUnavailable().body(format!("{error}\n")),
    };
    match &job.record.state {
        JobState::Ended(outcome) => {
            HttpResponse::Ok().body(outcome.stdout.inline.clone().unwrap_or_default())
        }
        _ => HttpResponse::build(StatusCode::ACCEPTED).body(format!("{}\n", job.status())),
    }
}

async fn run(folder: PathBuf, address: String) -> Result<(), Box<dyn Error>> {
    let mut platform = Builder::in_folder(&folder)?.start().await?;
    let jobs = Data::new(platform.handle().clone());
    let server = HttpServer::new(move || App::new().app_data(jobs.clone()).service((hello, count, show)));
    let server = server.workers(1).bind(address)?;
    println!("listening on {}", server.addrs()[0]);
    tokio::select! {
        // It ends at Ctrl-C or SIGTERM.
        ended = server.run() => ended?,
        name = platform.died() => return Err(format!("the {name} died: start again, no job is lost").into()),
    }
    platform.stop(GRACE_MS).await;
    Ok(())
}

fn main() -> ExitCode {
    // First of all: this very program is started again to hold jobs, and must then do nothing else.
    if let Some(code) = callboard_actors::sandbox_entry() {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "words".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    match actix_web::rt::System::new().block_on(run(folder.into(), address)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("embed: {error}");
            ExitCode::FAILURE
        }
    }
}
