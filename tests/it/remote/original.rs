//! A stand-in for the original's runner, with exactly its interface, and our coordinator that uses it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{coordinator, submit, until_ready, url};

/// `GET /health`, `POST /execute`, and 404 for everything else, as its framework says it.
struct OriginalRunner {
    port: u16,
    is_down: Arc<AtomicBool>,
}

impl OriginalRunner {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_down = Arc::new(AtomicBool::new(false));
        let down = Arc::clone(&is_down);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if !down.load(Ordering::Relaxed) {
                    std::thread::spawn(move || serve(stream));
                }
            }
        });
        Self { port, is_down }
    }
}

fn serve(stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            match header.trim_end().to_lowercase().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let asked = line.split_whitespace().take(2).collect::<Vec<_>>();
        let (status, answer) = match asked[..] {
            ["GET", "/health"] => ("200 OK", json!({ "status": "healthy", "service": "runner" })),
            ["POST", "/execute"] => ("200 OK", execute(&serde_json::from_slice(&body).unwrap())),
            _ => ("404 Not Found", json!({ "detail": "Not Found" })),
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\nserver: uvicorn\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        if (&stream).write_all((head + &answer).as_bytes()).is_err() {
            return;
        }
    }
}

fn execute(asked: &Value) -> Value {
    let (command, limit) = (asked["command"].as_str().unwrap(), asked["timeout"].as_u64().unwrap());
    let began = std::time::Instant::now();
    let output = Command::new("timeout")
        .args(["-s", "KILL", &limit.to_string(), "sh", "-c", command])
        .output()
        .unwrap();
    let runtime_ms = began.elapsed().as_millis() as u64;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = if runtime_ms >= limit * 1000 { -1 } else { output.status.code().unwrap_or(-9) };
    let stderr =
        if code == -1 { format!("Command timed out after {limit} seconds") } else { text(&output.stderr) };
    json!({ "exit_code": code, "stdout": text(&output.stdout), "stderr": stderr, "runtime_ms": runtime_ms })
}

#[test]
fn our_coordinator_runs_jobs_on_the_originals_runner_and_says_what_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let original = OriginalRunner::start();
    let server = coordinator(folder.path()).variable("RUNNER_URL", &url(original.port)).unready().start();
    until_ready(&server);
    let id =
        submit(&server, &json!({ "command": ["sh", "-c", "echo \"$A\"; exit 3"], "env": { "A": "it's" } }));
    let job = server.until(&id, "failed");
    assert_eq!((&job["exit_code"], &job["reason"]), (&json!(3), &json!("exit_code")), "{job}");
    assert_eq!(server.output(&id), "it's\n");
    assert_eq!(job["isolation_effective"]["tier"], "none", "{job}");
    let late = submit(&server, &json!({ "command": "sleep 5", "timeout_ms": 1000 }));
    assert_eq!(server.until(&late, "failed")["reason"], "timeout");
    let fed = submit(&server, &json!({ "command": "cat", "stdin": { "text": "x" } }));
    let refused = server.until(&fed, "failed");
    assert_eq!(refused["reason"], "isolation_unavailable", "{refused}");
    assert!(refused.to_string().contains("input"), "{refused}");
    let endless = submit(&server, &json!({ "command": "sleep 3" }));
    server.until(&endless, "running");
    server.ask("POST", &format!("/v1/jobs/{endless}/cancel"), None).unwrap();
    server.until(&endless, "cancelled");
    // The flat API, as the original's clients know it.
    let (_, accepted) = server.ask("POST", "/jobs", Some(&json!({ "command": "echo flat" }))).unwrap();
    server.until(accepted["job_id"].as_str().unwrap(), "completed");
}

#[test]
fn an_original_runner_that_is_gone_for_a_while_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let original = OriginalRunner::start();
    let server = coordinator(folder.path()).variable("RUNNER_URL", &url(original.port)).unready().start();
    until_ready(&server);
    original.is_down.store(true, Ordering::Relaxed);
    let id = submit(&server, &json!({ "command": "echo back" }));
    std::thread::sleep(std::time::Duration::from_secs(3));
    original.is_down.store(false, Ordering::Relaxed);
    server.until(&id, "completed");
    assert_eq!(server.output(&id), "back\n");
}
