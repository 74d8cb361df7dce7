//! The HTTP door, driven through its routes with a platform from memory behind it.

mod answers;
mod defence;
mod gate;
mod jobs;
mod logs;
mod mounted;
mod ops;
mod records;
mod runners;
mod scopes;
mod server;
mod submit;

use std::fmt::Debug;

use actix_web::dev::ServiceResponse;
use actix_web::http::header::{CONTENT_TYPE, HOST, HeaderMap};
use actix_web::test::{self, TestRequest};
use actix_web::{App, HttpMessage, body};
use callboard::http::{Door, configure};
use callboard_actors::clock;
use callboard_actors::model::{Captured, EndReason, Epoch, Exit, Outcome, OutputSummary};
use serde_json::{Value, json};

use crate::fake::Fake;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is UTF-8")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("plain header"))
    }

    /// The status, and the pointer of the first field that is wrong.
    pub fn refusal(&self) -> (u16, String) {
        let pointer = self.json()["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
        (self.status, pointer)
    }

    /// The status, and the last part of the problem's type.
    pub fn problem(&self) -> (u16, String) {
        let kind = self.json()["type"].as_str().unwrap_or_default().to_owned();
        (self.status, kind.trim_start_matches("/problems/").to_owned())
    }
}

/// Sends a request and checks what holds for every answer.
pub async fn send(door: &Door, request: TestRequest) -> Answer {
    let app = test::init_service(App::new().configure(configure(door.clone()))).await;
    let mut request = request.to_request();
    if !request.headers().contains_key(HOST) {
        let localhost = actix_web::http::header::HeaderValue::from_static("localhost:8000");
        request.headers_mut().insert(HOST, localhost);
    }
    let path = request.path().to_owned();
    let answer = read(test::call_service(&app, request).await).await;
    check(&answer, &path);
    answer
}

async fn read<B>(response: ServiceResponse<B>) -> Answer
where
    B: body::MessageBody,
    B::Error: Debug,
{
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = body::to_bytes(response.into_body()).await.expect("the body ends well");
    Answer { status, headers, body: body.to_vec() }
}

/// Every answer has a request id and may not be sniffed; every error is a problem that names itself.
pub fn check(answer: &Answer, path: &str) {
    let id = answer.header("x-request-id").expect("a request id");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert!(answer.header("cache-control").is_some());
    if answer.status < 400 {
        return;
    }
    assert_eq!(answer.header(CONTENT_TYPE.as_str()), Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["request_id"], id);
    assert_eq!(problem["status"], answer.status);
    assert_eq!(problem["instance"], path);
    assert!(problem["type"].as_str().is_some_and(|kind| kind.starts_with("/problems/")));
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(!detail.is_empty(), "{problem}");
    assert_eq!(answer.header("retry-after").is_some(), [429, 503].contains(&answer.status));
}

pub fn post(path: &str, body: Value) -> TestRequest {
    TestRequest::post().uri(path).set_json(body)
}

pub fn get(path: &str) -> TestRequest {
    TestRequest::get().uri(path)
}

/// Submits one job and returns its id.
pub async fn submit(fake: &Fake, body: Value) -> callboard_actors::model::JobId {
    let answer = send(&fake.door, post("/v1/jobs", body)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().expect("an id").parse().expect("a job's id")
}

/// An outcome of a job that ran for 12.5 ms.
pub fn outcome(reason: EndReason, exit: Option<Exit>) -> Outcome {
    let mut outcome = Outcome::without_process(Epoch(1), reason, None, clock::now_ms());
    outcome.exit = exit;
    outcome.started_at_ms = Some(outcome.finished_at_ms - 12);
    outcome.usage.wall_us = 12_500;
    outcome
}

/// A stream that was kept whole in the record.
pub fn inline(text: &[u8]) -> Captured {
    let length = text.len() as u64;
    let summary = OutputSummary { total_bytes: length, head_bytes: length, tail_bytes: 0 };
    Captured { summary, inline: Some(text.to_vec()) }
}

pub fn echo() -> Value {
    json!({"command": "echo hi"})
}
