//! A stand-in for the original's coordinator: it sends what that sent, waits as long and reads what that read.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::launch;

/// What it keeps of a job.
#[derive(Debug, PartialEq)]
struct Job {
    status: &'static str,
    exit_code: i64,
    stdout: String,
    stderr: String,
}

/// `POST RUNNER_URL/execute` with a time-out of the job's and 5 seconds; any other status than 200 is a failure, and
/// the job's status is what the exit code says.
fn execute_job(port: u16, command: &str, timeout: u64) -> Result<Job, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(timeout + 5))).unwrap();
    let body = json!({ "command": command, "timeout": timeout }).to_string();
    let head = format!(
        "POST /execute HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n\
         Connection: keep-alive\r\nUser-Agent: python-httpx/0.25.2\r\nContent-Length: {}\r\n\
         Content-Type: application/json\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).map_err(|error| error.to_string())?;
    let (status, result) = read_answer(stream).map_err(|error| error.to_string())?;
    if status != 200 {
        return Err(format!("status {status}: {result}"));
    }
    let exit_code = result["exit_code"].as_i64().ok_or("no exit_code")?;
    let text = |name: &str| result[name].as_str().map(str::to_owned).ok_or(format!("no {name}"));
    result["runtime_ms"].as_u64().ok_or("no runtime_ms")?;
    let status = if exit_code == 0 { "completed" } else { "failed" };
    Ok(Job { status, exit_code, stdout: text("stdout")?, stderr: text("stderr")? })
}

fn read_answer(stream: TcpStream) -> std::io::Result<(u16, Value)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    assert!(headers["content-type"].starts_with("application/"), "{headers:?}");
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    reader.read_exact(&mut body)?;
    Ok((status, serde_json::from_slice(&body)?))
}

#[test]
fn the_originals_coordinator_can_use_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = launch(folder.path()).start();
    let job = |status, exit_code, stdout: &str, stderr: &str| {
        Ok(Job { status, exit_code, stdout: stdout.into(), stderr: stderr.into() })
    };
    for (command, timeout, expected) in [
        ("echo 'hello world'", 30, job("completed", 0, "hello world\n", "")),
        ("ls /no/such | cat; exit 2", 30, job("failed", 2, "", "")),
        ("sleep 20", 1, job("failed", -1, "", "Command timed out after 1 seconds")),
        ("kill -15 $$", 30, job("failed", -15, "", "")),
        ("printf 'naïve \\377'", 30, job("completed", 0, "naïve \u{fffd}", "")),
    ] {
        let done = execute_job(server.port, command, timeout);
        let done = done.map(|job| match command.starts_with("ls") {
            // In the words of whichever `ls` it is.
            true => Job { stderr: String::new(), ..job },
            false => job,
        });
        assert_eq!(done, expected, "{command}");
    }
    let jobs: Vec<_> = (0..10)
        .map(|at| {
            let port = server.port;
            std::thread::spawn(move || execute_job(port, &format!("echo {at}"), 10))
        })
        .collect();
    for (at, done) in jobs.into_iter().enumerate() {
        assert_eq!(done.join().unwrap(), job("completed", 0, &format!("{at}\n"), ""));
    }
    assert!(execute_job(server.port, "true", 301).unwrap_err().starts_with("status 422"));
    assert_eq!(server.terminate(), Some(0));
    assert!(execute_job(server.port, "true", 1).is_err());
}
