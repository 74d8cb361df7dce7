//! The server on a real loopback socket: binding, limits of connections and bodies, and the graceful stop.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use callboard::http::{HttpConfig, Running, ServeError, listen, serve};

use super::*;

fn config() -> HttpConfig {
    HttpConfig { bind: vec![SocketAddr::from(([127, 0, 0, 1], 0))], ..HttpConfig::default() }
}

fn start(fake: &Fake, config: &HttpConfig) -> (Running, SocketAddr) {
    let listeners = listen(config, false).expect("a free port");
    let running = serve(fake.door.clone(), config, listeners).expect("it serves");
    let address = running.addresses()[0];
    (running, address)
}

/// Writes a request and reads to the end of the connection, on a thread of its own.
async fn exchange(address: SocketAddr, request: Vec<u8>) -> String {
    let talk = move || {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        stream.write_all(&request).expect("the server reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the server answers");
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::task::spawn_blocking(talk).await.expect("the exchange ends")
}

fn request(head: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[test]
fn an_open_address_needs_a_token_or_a_stated_risk() {
    let open = HttpConfig { bind: vec![SocketAddr::from(([0, 0, 0, 0], 0))], ..HttpConfig::default() };
    let refused = listen(&open, false).expect_err("nothing guards it");
    assert!(matches!(refused, ServeError::Open { .. }));
    let said = refused.to_string();
    for flag in ["--token-file", "--bind", "--insecure"] {
        assert!(said.contains(flag), "{said}");
    }
    assert!(listen(&open, true).is_ok());
    assert!(listen(&HttpConfig { insecure: true, ..open }, false).is_ok());
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    let said = listen(&HttpConfig { bind: vec![address], ..config() }, false).expect_err("taken").to_string();
    assert!(said.contains(&address.port().to_string()) && said.contains("--bind"), "{said}");
}

#[actix_web::test]
async fn ten_megabytes_are_413_for_a_client_that_sends_before_it_listens() {
    let fake = Fake::new();
    let (running, address) = start(&fake, &config());
    let body = "x".repeat(10 << 20);
    let answer = exchange(address, request("POST /v1/jobs", &body)).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{}", &answer[..answer.len().min(200)]);
    assert!(answer.contains("application/problem+json"));
    running.stop(false).await;
}

#[actix_web::test]
async fn a_body_that_does_not_come_is_408() {
    let fake = Fake::new();
    let slow = HttpConfig { body_timeout: Duration::from_millis(100), ..config() };
    let (running, address) = start(&fake, &slow);
    let mut partial = request("POST /v1/jobs", &"x".repeat(1000));
    partial.truncate(partial.len() - 500);
    let answer = exchange(address, partial).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("/problems/request-timeout"));
    running.stop(false).await;
}

#[actix_web::test]
async fn an_answer_to_head_has_no_body() {
    let fake = Fake::new();
    let (running, address) = start(&fake, &config());
    let answer = exchange(address, request("HEAD /v1/version", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"), "{answer}");
    running.stop(false).await;
}

#[actix_web::test]
async fn connections_over_the_limit_wait_until_one_closes() {
    let fake = Fake::new();
    let few = HttpConfig { workers: 1, max_connections: 2, ..config() };
    let (running, address) = start(&fake, &few);
    let mut held: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(address).expect("it accepts")).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let third = actix_web::rt::spawn(exchange(address, request("GET /livez", "")));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!third.is_finished(), "the third connection is served beside two");
    held.pop();
    let answer = tokio::time::timeout(Duration::from_secs(10), third).await.expect("room").expect("ends");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.stop(false).await;
}

#[actix_web::test]
async fn a_graceful_stop_ends_held_requests_and_answers_them() {
    let fake = Fake::new();
    let (running, address) = start(&fake, &config());
    let id = submit(&fake, echo()).await;
    fake.stage().run(id);
    let paths = [format!("/v1/jobs/{id}?wait=5m"), format!("/v1/jobs/{id}/logs?follow=true")];
    let held = paths.map(|path| {
        let head = format!("GET {path}");
        actix_web::rt::spawn(exchange(address, request(&head, "")))
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = clock::moment();
    fake.stop.send_replace(true);
    running.stop(true).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "held requests delay the stop");
    for answer in held {
        let answer = answer.await.expect("it ends");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert!(TcpStream::connect(address).is_err(), "it still listens");
}
