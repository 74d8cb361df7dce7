//! How many files the server and its jobs may have open, and many connections at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::process::may_open;
use crate::server::{Launch, Server};
use crate::skip::missing;

/// Connections that are held without a setting.
const IDLE: usize = 10_000;
/// Files that a side of them needs, with room for the rest of the process.
const FILES: u64 = 10_500;

/// Soft and hard limit on open files of a process.
fn limits_of(server: &Server) -> (String, String) {
    let path = format!("/proc/{}/limits", server.pid().as_raw_nonzero());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    (words[3].to_owned(), words[4].to_owned())
}

#[test]
fn the_server_raises_its_limit_and_its_jobs_keep_the_one_it_was_started_with() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).after("ulimit -S -n 256").start();
    let (soft, hard) = limits_of(&server);
    assert_eq!(soft, hard);
    assert_ne!(soft, "256");
    let id = server.submit("ulimit -S -n; ulimit -H -n");
    server.until(&id, "completed");
    assert_eq!(server.output(&id), format!("256\n{hard}\n"));
}

#[test]
fn too_low_a_hard_limit_is_said_in_the_log_and_in_health() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let launch = Launch::over(&folder.path().join("data")).after("ulimit -n 200").log_to(&log);
    let server = launch.clone().variable("CALLBOARD_MAX_CONNECTIONS", "1000").start();
    let (_, health) = server.ask("GET", "/health", None).unwrap();
    let warnings: Vec<&str> =
        health["warnings"].as_array().unwrap().iter().filter_map(|line| line.as_str()).collect();
    let said = warnings.iter().find(|line| line.contains("max_connections = 1000")).expect("a warning");
    assert!(said.contains("only 200 files") && said.contains("LimitNOFILE"), "{said}");
    assert!(std::fs::read_to_string(&log).unwrap().contains(said));
    drop(server);
    let fits = launch.variable("CALLBOARD_MAX_CONNECTIONS", "100").start();
    let (_, health) = fits.ask("GET", "/health", None).unwrap();
    assert!(!health["warnings"].to_string().contains("max_connections"), "{health}");
}

#[test]
fn ten_thousand_idle_connections_are_held_and_requests_are_answered_beside_them() {
    if !may_open(FILES) {
        let why = format!("this needs a limit of {FILES} open files");
        return missing("ten_thousand_idle_connections", "files", &why);
    }
    let folder = tempfile::tempdir().unwrap();
    // What most systems give: the server must help itself.
    let server = Launch::over(folder.path()).after("ulimit -S -n 1024").start();
    let connect = |_| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        stream
    };
    let idle: Vec<TcpStream> = (0..IDLE).map(connect).collect();
    let id = server.submit("echo beside");
    server.until(&id, "completed");
    assert_eq!(server.output(&id), "beside\n");
    let held = idle.iter().filter(|stream| is_open(stream)).count();
    assert_eq!(held, IDLE);
}

/// Whether the other end has not closed it.
fn is_open(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut rest = [0; 4096];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}
