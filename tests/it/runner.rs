//! The runner node: the original's `POST /execute`, many at once, clients that go away, and the stop.

mod contract;
mod original;
mod stop;

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::server::{Answer, Launch, Server, exchange, request};

fn launch(folder: &Path) -> Launch {
    Launch::over(&folder.join("data")).runner()
}

fn execute(server: &Server, body: &Value) -> Answer {
    exchange(server.port, "POST", "/execute", Some(body)).expect("the runner answers")
}

/// A line that must be taken, and what came of it.
fn run(server: &Server, line: &str) -> Value {
    let answer = execute(server, &json!({ "command": line }));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// The same, while the test goes on.
fn run_beside(server: &Server, line: &str) -> JoinHandle<Option<Answer>> {
    let (port, body) = (server.port, json!({ "command": line }));
    std::thread::spawn(move || exchange(port, "POST", "/execute", Some(&body)))
}

/// A client that has asked and not read.
fn asking(server: &Server, line: &str) -> TcpStream {
    let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let body = json!({ "command": line }).to_string();
    client.write_all(request("POST", "/execute", &body).as_bytes()).unwrap();
    client
}

/// The value of a metric without labels.
fn metric(server: &Server, name: &str) -> f64 {
    let text = exchange(server.port, "GET", "/metrics", None).expect("the runner answers").body;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not there")).parse().unwrap()
}
