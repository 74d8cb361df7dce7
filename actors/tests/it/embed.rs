//! The example of an embedding application, built and used as its reader would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The example stands beside the folder of the tests; `cargo test` builds it with them.
fn example() -> PathBuf {
    let this = std::env::current_exe().expect("a test has a path");
    let found = this.parent().and_then(|deps| deps.parent()).expect("a target folder").join("examples/embed");
    assert!(found.exists(), "{}: cargo build -p callboard-actors --examples", found.display());
    found
}

struct Application {
    child: Child,
    address: String,
}

impl Application {
    fn start(folder: &std::path::Path) -> Self {
        let mut child = Command::new(example())
            .arg(folder)
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let mut line = String::new();
        let said = child.stdout.take().expect("it is piped");
        BufReader::new(said).read_line(&mut line).expect("it speaks");
        let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        assert!(address.starts_with("127.0.0.1:"), "{line:?}");
        Self { child, address }
    }

    fn ask(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("settable");
        let length = body.len();
        write!(
            stream,
            "{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
        (status, answer.split_once("\r\n\r\n").expect("a body").1.to_owned())
    }

    /// Its exit code after SIGTERM.
    fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is ours");
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return status.code();
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_example_answers_its_own_routes_runs_jobs_and_remembers_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let application = Application::start(folder.path());
    assert_eq!(application.ask("GET /", "").0, 200);
    let (status, id) = application.ask("POST /texts", "to be or not to be");
    assert_eq!(status, 202, "{id}");
    let path = format!("GET /texts/{}", id.trim());
    let (status, words) = application.ask(&path, "");
    assert_eq!(status, 200, "{words}");
    let counted: Vec<&str> = words.lines().map(str::trim).collect();
    assert!(counted.contains(&"2 be") && counted.contains(&"1 or"), "{counted:?}");
    assert_eq!(application.ask("GET /texts/00000000-0000-7000-8000-000000000000", "").0, 404);
    assert_eq!(application.stop(), Some(0));

    let again = Application::start(folder.path());
    assert_eq!(again.ask(&path, ""), (200, words), "a job that was answered is there after a restart");
    assert_eq!(again.stop(), Some(0));
}
