//! What is read of a job's output, and what is said about the rest.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::{ask, callboard, url};
use crate::process::until;
use crate::server::{Launch, Server};

#[test]
fn bytes_that_are_missing_are_counted_and_placed() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::over(folder.path());
    let launch = launch.variable("CALLBOARD_OUTPUT_INLINE", "1KiB").variable("CALLBOARD_OUTPUT_HEAD", "4KiB");
    let server = launch.variable("CALLBOARD_OUTPUT_TAIL", "1KiB").start();
    let id = server.submit("yes | head -c 20000");
    server.until(&id, "completed");
    let logs = |args: &[&str]| ask(&server, &[&["logs", &id], args].concat());
    let line = "callboard: 14880 bytes of stdout are missing at byte 4096: the job wrote 20000 bytes, 5120 were kept\n";
    let all = logs(&[]);
    assert_eq!((all.code, all.out.len(), all.err.as_str()), (Some(0), 5120, line));
    assert_eq!(logs(&["-q"]).fine().len() + 1, 5120);
    assert_eq!(logs(&["--offset", "4000"]).err, line);
    assert_eq!(logs(&["--offset", "5000"]).fine().len() + 1, 120);
    assert_eq!(logs(&["--tail", "3"]).fine(), "y\ny\ny");
    assert!(logs(&["-f"]).fine().contains("\n[... 14880 bytes omitted ...]\n"));
    assert!(logs(&["--json"]).fine().contains(r#""omitted_bytes":14880"#));
}

#[test]
fn all_that_a_running_job_has_written_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mark = folder.path().join("written");
    let id = server.submit(&format!("seq 150000; touch {}; sleep 100", mark.display()));
    until("it has written", || mark.exists());
    let all: String = (1..=150_000).map(|n| format!("{n}\n")).collect();
    until("it is kept", || ask(&server, &["logs", &id]).out.len() == all.len());
    assert!(ask(&server, &["logs", &id]).out == all, "the output is not what was written");
    assert_eq!(ask(&server, &["logs", "--tail", "2", &id]).fine(), "149999\n150000");
    assert_eq!(ask(&server, &["logs", "--offset", "10000000", &id]).code, Some(1));
}

#[test]
fn the_last_lines_are_shown_and_those_that_come_after_them() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let id = server.submit("seq 5; sleep 1; echo late");
    while server.output(&id).lines().count() < 5 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(ask(&server, &["logs", "--tail", "2", &id]).fine(), "4\n5");
    assert_eq!(ask(&server, &["logs", "-f", "--tail", "2", &id]).fine(), "4\n5\nlate");
    assert_eq!(ask(&server, &["logs", "--tail", "0", &id]).fine(), "");
    ask(&server, &["logs", "--tail", "10001", &id]).refused(5, "tail is at most 10000 lines");
}

/// A server whose every answer promises 1000 bytes and breaks off after these.
fn broken_server(body: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // It lives as long as the tests do: nobody waits for it.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{body}");
        }
    });
    port
}

#[test]
fn an_answer_that_breaks_off_is_a_failure_and_what_came_is_shown() {
    let server = url(broken_server("{}half"));
    let said = callboard(&["--server", &server, "logs", "0123"]);
    assert_eq!((said.code, said.out.as_str()), (Some(6), "{}half"), "{said:?}");
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
    assert!(said.err.contains("the answer broke off after 6 of 1000 bytes"), "{said:?}");
    for command in
        [&["show", "0123"][..], &["cancel", "0123"], &["list"], &["queue", "pause"], &["delete", "0123"]]
    {
        let words: Vec<&str> = [&["--server", &server], command].concat();
        callboard(&words).refused(6, "the answer broke off after 6 of 1000 bytes");
    }
}

#[test]
fn an_answer_that_breaks_off_is_no_complete_output() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n";
        stream.write_all(format!("{head}half").as_bytes()).unwrap();
    });
    let logs = callboard(&["logs", "-s", &url(port), "01a2b3c4"]);
    answering.join().unwrap();
    assert_eq!((logs.code, logs.out.as_str()), (Some(6), "half"), "{}", logs.err);
    assert!(logs.err.contains("broke off after 4 of 100 bytes"), "{}", logs.err);
}

#[test]
fn output_that_was_deleted_is_gone_and_not_empty() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).variable("CALLBOARD_OUTPUT_INLINE", "16B").start();
    let id = server.submit("seq 1000");
    server.until(&id, "completed");
    let mut spooled = 0;
    for entry in walk(&folder.path().join("spool")) {
        if std::fs::metadata(&entry).unwrap().len() > 0 {
            std::fs::write(&entry, "").unwrap();
            spooled += 1;
        }
    }
    assert!(spooled > 0);
    let logs = ask(&server, &["logs", &id]);
    assert_eq!((logs.code, logs.out.as_str()), (Some(3), ""), "{}", logs.err);
}

/// Every file below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
