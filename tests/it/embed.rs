//! Applications that embed the HTTP side: the example, built and used as its reader would, and two platforms in one
//! process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use actix_web::web::scope;
use actix_web::{App, HttpServer};
use callboard::http::configure;
use callboard_actors::graph::{Builder, ExecutorChoice, Platform};
use callboard_actors::testing::idle_executor;
use serde_json::{Value, json};

use crate::process::{PATIENCE, exit_within, until};
use crate::server::{ask, exchange};

const EXAMPLE: &str = include_str!("../examples/embed_http.rs");

/// The example stands beside the folder of the tests; `cargo test` builds it with them.
fn example() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let found = this.parent().and_then(Path::parent).unwrap().join("examples/embed_http");
    assert!(found.exists(), "{}: cargo build --examples", found.display());
    found
}

struct Application {
    child: Child,
    port: u16,
}

impl Application {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(example());
        command.arg(folder).arg("127.0.0.1:0").stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        Self { child, port: port.expect("it says where it listens") }
    }

    /// The job once it is over.
    fn job(&self, path: &str) -> Value {
        let (status, job) = ask(self.port, "GET", &format!("{path}?wait=30s"), None).unwrap();
        assert_eq!(status, 200, "{job}");
        job
    }

    /// The exit code after SIGTERM.
    fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        exit_within(&mut self.child, PATIENCE).code()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_example_answers_its_own_route_runs_jobs_below_its_scope_and_remembers_them() {
    let folder = tempfile::tempdir().unwrap();
    let application = Application::start(folder.path());
    let own = exchange(application.port, "GET", "/", None).unwrap();
    assert_eq!((own.status, own.body.as_str()), (200, "the application's own\n"));
    let body = json!({"command": "echo embedded"});
    let accepted = exchange(application.port, "POST", "/jobs-api/v1/jobs", Some(&body)).unwrap();
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let location = accepted.head.lines().find_map(|line| line.strip_prefix("location: "));
    let path = location.expect("a location").to_owned();
    let job = application.job(&path);
    assert_eq!((&job["status"], &job["stdout"]["text"]), (&json!("completed"), &json!("embedded\n")));
    assert_eq!(application.stop(), Some(0));

    let again = Application::start(folder.path());
    assert_eq!(again.job(&path), job, "a job that was answered is there after a restart");
    assert_eq!(again.stop(), Some(0));
}

#[test]
fn the_example_is_short_and_docs_show_it() {
    let (_, code) = EXAMPLE.split_once("use std::error::Error;").unwrap();
    let shown = format!("```rust\nuse std::error::Error;{code}```\n");
    assert!(include_str!("../../docs/EMBEDDING.md").contains(&shown), "docs/EMBEDDING.md shows another");
    let application = code.split("fn main").next().unwrap();
    let counts = |line: &&str| !["", "//"].contains(&line.trim()) && !line.starts_with("use ");
    assert!(application.lines().filter(counts).count() <= 20, "embedding takes at most 20 lines");
}

async fn idle_platform() -> Platform {
    Builder::new(ExecutorChoice::Custom(idle_executor(2))).start().await.unwrap()
}

#[actix_web::test]
async fn two_platforms_live_in_one_process_under_two_scopes() {
    let platforms = [idle_platform().await, idle_platform().await];
    let doors = [0, 1].map(|at: usize| callboard::door(platforms[at].handle()));
    let app = move || {
        let [first, second] = doors.clone();
        let first = scope("/first").configure(configure(first));
        App::new().service(first).service(scope("/second").configure(configure(second)))
    };
    let server = HttpServer::new(app).workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
    let port = server.addrs()[0].port();
    let server = server.run();
    let handle = server.handle();
    actix_rt::spawn(server);
    actix_rt::task::spawn_blocking(move || use_both(port)).await.unwrap();
    for platform in platforms {
        platform.stop(0).await;
    }
    handle.stop(true).await;
}

fn use_both(port: u16) {
    let body = json!({"command": "true"});
    for jobs in 1..=3 {
        let (status, job) = ask(port, "POST", "/first/v1/jobs?wait=30s", Some(&body)).unwrap();
        assert_eq!((status, &job["status"]), (200, &json!("completed")), "{job}");
        let id = job["id"].as_str().unwrap();
        assert_eq!(ask(port, "GET", &format!("/first/jobs/{id}"), None).unwrap().0, 200);
        assert_eq!(ask(port, "GET", &format!("/second/jobs/{id}"), None).unwrap().0, 404);
        until("each platform counts its own jobs", || {
            let counted = |base| exchange(port, "GET", &format!("{base}/metrics"), None).unwrap().body;
            let line = |count| format!("\njobs_completed_total {count}\n");
            counted("/first").contains(&line(jobs)) && counted("/second").contains(&line(0))
        });
    }
}
