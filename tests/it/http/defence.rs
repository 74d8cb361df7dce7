//! Callers who guess, flood and stall: what an address may fail, how much of a stranger's request is read, and that whoever
//! has a token is served all the same.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use callboard::http::access::Access;
use callboard::http::{HttpConfig, Running, TokenHash, listen, serve};
use rustix::net::sockopt;

use super::*;

const TOKEN: &str = "s3cret";
const PATIENCE: Duration = Duration::from_secs(30);
/// A short one; the server's clock for the first head goes by half seconds.
const HEAD_TIMEOUT: Duration = Duration::from_millis(1500);
/// Room in the sockets of a test, as the kernel reckons it: it takes about twice of what is asked for.
const SMALL_BUFFER: usize = 4096;

fn guarded(fake: &Fake, failures_per_minute: u32) -> Door {
    let access = Access::new(Some(TokenHash::of(TOKEN))).limited_to(failures_per_minute);
    fake.door.clone().with_access(access)
}

fn from(peer: &str, token: Option<&str>, path: &str) -> TestRequest {
    let request = get(path).peer_addr(SocketAddr::new(peer.parse().expect("an address"), 1));
    match token {
        Some(token) => request.insert_header(("Authorization", format!("Bearer {token}"))),
        None => request,
    }
}

#[actix_web::test]
async fn an_address_that_fails_too_often_is_not_heard_and_no_other_suffers() {
    let fake = Fake::new();
    let door = guarded(&fake, 3);
    for token in [Some("x"), None, Some("y")] {
        assert_eq!(send(&door, from("127.0.0.1", token, "/v1/jobs")).await.status, 401);
    }
    for token in [Some(TOKEN), Some("x"), None] {
        let answer = send(&door, from("127.0.0.1", token, "/v1/jobs")).await;
        assert_eq!(answer.problem(), (429, "too-many-failures".into()));
        let wait: u64 = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("seconds");
        assert!((1..=60).contains(&wait), "{wait}");
    }
    assert_eq!(send(&door, from("127.0.0.1", None, "/livez")).await.status, 200, "a probe claims nothing");
    assert_eq!(send(&door, from("127.0.0.1", Some(TOKEN), "/livez")).await.status, 429);
    assert_eq!(send(&door, from("127.0.0.2", Some(TOKEN), "/v1/jobs")).await.status, 429, "the same host");
    assert_eq!(send(&door, from("192.0.2.2", Some(TOKEN), "/v1/jobs")).await.status, 200);
    let metrics = send(&door, from("192.0.2.2", Some(TOKEN), "/metrics")).await.text();
    for (reason, count) in [("missing", 1), ("unknown", 2), ("revoked", 0), ("expired", 0), ("blocked", 5)] {
        let line = format!("callboard_auth_failures_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[actix_web::test]
async fn a_network_of_64_bits_fails_together() {
    let fake = Fake::new();
    let door = guarded(&fake, 2);
    for peer in ["2001:db8::1", "2001:db8::2"] {
        assert_eq!(send(&door, from(peer, Some("x"), "/v1/jobs")).await.status, 401);
    }
    assert_eq!(send(&door, from("2001:db8::3", Some(TOKEN), "/v1/jobs")).await.status, 429);
    assert_eq!(send(&door, from("2001:db8:0:1::1", Some(TOKEN), "/v1/jobs")).await.status, 200);
}

#[actix_web::test]
async fn zero_hears_everybody_and_a_door_without_tokens_counts_nothing() {
    let fake = Fake::new();
    let door = guarded(&fake, 0);
    for _ in 0..100 {
        assert_eq!(send(&door, from("127.0.0.1", Some("x"), "/v1/jobs")).await.status, 401);
    }
    assert_eq!(send(&door, from("127.0.0.1", Some(TOKEN), "/v1/jobs")).await.status, 200);
    for _ in 0..100 {
        assert_eq!(send(&fake.door, from("127.0.0.1", Some("x"), "/v1/jobs")).await.status, 200);
    }
}

/// A server whose sockets take in little, so that what it reads can be told from what they hold.
fn start(door: Door, head_timeout: Duration) -> (Running, SocketAddr) {
    let bind = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let config = HttpConfig { bind, workers: 1, head_timeout, ..HttpConfig::default() };
    let listeners: Vec<TcpListener> = listen(&config, true).expect("a free port");
    for listener in &listeners {
        sockopt::set_socket_recv_buffer_size(listener, SMALL_BUFFER).expect("a size");
    }
    let running = serve(door, &config, listeners).expect("it serves");
    let address = running.addresses()[0];
    (running, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    sockopt::set_socket_send_buffer_size(&stream, SMALL_BUFFER).expect("a size");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

/// What the server says until it closes the connection.
fn heard(mut stream: &TcpStream) -> String {
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => all.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the server neither answers nor closes: {error}"),
        }
    }
    String::from_utf8(all).expect("text")
}

/// Sends a head and then pieces of a body without end. What was taken, and what was said.
fn flood(address: SocketAddr, head: &str, piece: &[u8]) -> (usize, String) {
    let mut stream = connect(address);
    let reader = stream.try_clone().expect("a second handle");
    let answer = std::thread::spawn(move || heard(&reader));
    stream.write_all(head.as_bytes()).expect("the head is taken");
    let mut taken = head.len();
    loop {
        match stream.write(piece) {
            Ok(length) => taken += length,
            Err(error) => {
                let cut = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
                assert!(cut.contains(&error.kind()), "it is neither read nor cut: {error}");
                break;
            }
        }
        assert!(taken < 1 << 30, "it is read without end");
    }
    (taken, answer.join().expect("the reader ends"))
}

/// Runs what blocks beside the server.
async fn beside<T: Send + 'static>(talk: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(talk).await.expect("it ends")
}

fn chunk(bytes: usize) -> Vec<u8> {
    format!("{bytes:x}\r\n{}\r\n", "x".repeat(bytes)).into_bytes()
}

#[actix_web::test]
async fn of_a_stranger_no_more_than_8_kib_are_read() {
    let fake = Fake::new();
    let (running, address) = start(guarded(&fake, 0), PATIENCE);
    for (length, wrong) in [
        ("Transfer-Encoding: chunked", ""),
        ("Transfer-Encoding: chunked", "Authorization: Bearer x\r\n"),
        ("Content-Length: 1000000000", ""),
    ] {
        for path in ["/v1/jobs", "/nowhere", "/livez"] {
            let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{wrong}{length}\r\n\r\n");
            let piece = if length.contains("chunked") { chunk(1000) } else { vec![b'x'; 1000] };
            let (taken, said) = beside(move || flood(address, &head, &piece)).await;
            let status = if path == "/livez" && wrong.is_empty() { 405 } else { 401 };
            assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {said}");
            assert!(said.contains("connection: close") && said.contains("/problems/"), "{said}");
            // The sockets of both sides hold twice what they were asked for, and some for the segments themselves.
            assert!(taken < (8 << 10) + 48 * 1024, "{path}: {taken} bytes were taken");
        }
    }
    running.stop(false).await;
}

#[actix_web::test]
async fn a_door_without_tokens_does_not_read_an_unwanted_body_without_end() {
    let fake = Fake::new();
    let (running, address) = start(fake.door.clone(), PATIENCE);
    let head = "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (taken, said) = beside(move || flood(address, head, &chunk(60_000))).await;
    assert!(said.starts_with("HTTP/1.1 404"), "{said}");
    assert!(taken > 1 << 20 && taken < 9 << 20, "{taken} bytes were taken");
    running.stop(false).await;
}

#[actix_web::test]
async fn a_head_beyond_8_kib_is_431_where_tokens_are_demanded() {
    let fake = Fake::new();
    let (guarded, at_guarded) = start(guarded(&fake, 0), PATIENCE);
    let (open, at_open) = start(fake.door.clone(), PATIENCE);
    let head = |more: usize| {
        let long = "x".repeat(more);
        format!(
            "GET /v1/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\
             X-Long: {long}\r\n\r\n"
        )
    };
    let ask = |address: SocketAddr, more: usize| {
        let head = head(more);
        beside(move || {
            let mut stream = connect(address);
            // The server may close before it has taken everything.
            let _ = stream.write_all(head.as_bytes());
            heard(&stream)
        })
    };
    assert!(ask(at_guarded, 7_000).await.starts_with("HTTP/1.1 200"));
    for more in [8_200, 9_000, 60_000, 500_000] {
        let said = ask(at_guarded, more).await;
        assert!(said.starts_with("HTTP/1.1 431"), "{more}: {said}");
        let (head, body) = said.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("application/problem+json"), "{head}");
        let problem: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!((&problem["type"], &problem["status"]), (&json!("/problems/head-too-large"), &json!(431)));
    }
    assert!(ask(at_open, 60_000).await.starts_with("HTTP/1.1 200"));
    let metrics = send(&fake.door, get("/metrics")).await.text();
    let line = "callboard_http_requests_total{method=\"other\",route=\"unmatched\",code=\"431\"} 4\n";
    assert!(metrics.contains(line), "{metrics}");
    guarded.stop(false).await;
    open.stop(false).await;
}

/// Reads one answer with a Content-Length off a connection that goes on.
fn one_answer(mut stream: &TcpStream) -> String {
    let mut said = Vec::new();
    let mut byte = [0];
    while !said.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        said.push(byte[0]);
    }
    let head = String::from_utf8(said).expect("text");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    stream.read_exact(&mut body).expect("a body");
    head + &String::from_utf8(body).expect("text")
}

#[actix_web::test]
async fn a_known_caller_sends_large_bodies_one_after_another_on_one_connection() {
    let fake = Fake::new();
    let (running, address) = start(guarded(&fake, 0), PATIENCE);
    let known =
        format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n");
    let body = json!({"command": "true", "env": {"LONG": "x".repeat(100_000)}}).to_string();
    let whole = format!("POST /v1/jobs HTTP/1.1\r\n{known}Content-Length: {}\r\n\r\n{body}", body.len());
    let chunked = format!(
        "POST /v1/jobs HTTP/1.1\r\n{known}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let stranger = "GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let probe = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let small = format!("GET /v1/version HTTP/1.1\r\n{known}\r\n");
    beside(move || {
        let mut stream = connect(address);
        for (request, status) in [
            (stranger, 401),
            (&whole, 202),
            (&chunked, 202),
            (probe, 200),
            (stranger, 401),
            (&whole, 202),
            (&small, 200),
        ] {
            stream.write_all(request.as_bytes()).expect("it is taken");
            let said = one_answer(&stream);
            assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{said}");
        }
        // Many at once, more than one allowance together.
        let many = 150;
        let mut writer = stream.try_clone().expect("a second handle");
        let all = small.repeat(many);
        let sending = std::thread::spawn(move || writer.write_all(all.as_bytes()).expect("it is taken"));
        for _ in 0..many {
            assert!(one_answer(&stream).starts_with("HTTP/1.1 200"));
        }
        sending.join().expect("it ends");
    })
    .await;
    running.stop(false).await;
}

#[actix_web::test]
async fn a_refused_client_that_sends_before_it_listens_hears_why() {
    let fake = Fake::new();
    let (running, address) = start(guarded(&fake, 0), PATIENCE);
    let body = "x".repeat(6_000);
    let request =
        format!("POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let said = beside(move || {
        let mut stream = connect(address);
        stream.write_all(request.as_bytes()).expect("it is taken");
        heard(&stream)
    });
    assert!(said.await.starts_with("HTTP/1.1 401"));
    running.stop(false).await;
}

#[actix_web::test]
async fn a_head_that_does_not_come_ends_the_connection_the_first_and_any_later_one() {
    let fake = Fake::new();
    for door in [guarded(&fake, 0), fake.door.clone()] {
        let (running, address) = start(door, HEAD_TIMEOUT);
        let said = beside(move || {
            let mut stream = connect(address);
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: loc").expect("it is taken");
            let first = heard(&stream);
            let mut stream = connect(address);
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is taken");
            let answer = one_answer(&stream);
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: loc").expect("it is taken");
            (first, answer, heard(&stream))
        });
        let (first, answer, later) = said.await;
        assert!(first.starts_with("HTTP/1.1 408"), "{first}");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(later, "");
        running.stop(false).await;
    }
}

#[actix_web::test]
async fn an_idle_connection_outlives_the_time_for_a_head() {
    let fake = Fake::new();
    let (running, address) = start(guarded(&fake, 0), HEAD_TIMEOUT);
    beside(move || {
        let mut stream = connect(address);
        for _ in 0..2 {
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is taken");
            assert!(one_answer(&stream).starts_with("HTTP/1.1 200"));
            std::thread::sleep(HEAD_TIMEOUT + Duration::from_millis(300));
        }
        stream.shutdown(Shutdown::Both).expect("it was open");
    })
    .await;
    running.stop(false).await;
}
