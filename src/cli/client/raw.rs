//! Requests as somebody wrote them, and answers as they came.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use awc::error::PayloadError;
use awc::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use awc::http::{Method, StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use serde_json::Value;

use super::super::exit::{Failure, USAGE};
use super::body::{BodyError, Promise};
use super::{Client, failure_of};

/// A request as it was written.
#[derive(Clone, Debug)]
pub struct Raw {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Option<Bytes>,
}

impl Raw {
    /// The same for the page that begins here.
    pub fn after(&self, cursor: &str) -> Self {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let others = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
        let cursor = format!("cursor={}", super::encode(cursor));
        let query: Vec<&str> = others.chain([cursor.as_str()]).collect();
        Self { path: format!("{path}?{}", query.join("&")), ..self.clone() }
    }
}

/// An answer, whose body is read as it comes.
pub struct RawAnswer {
    status: StatusCode,
    headers: HeaderMap,
    body: Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>>,
    promise: Promise,
}

impl RawAnswer {
    /// The status.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The status and the headers as text, and an empty line.
    pub fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {}\n", self.status);
        let mut headers: Vec<_> = self.headers.iter().collect();
        headers.sort_by_key(|(name, _)| name.as_str().to_owned());
        for (name, value) in headers {
            head += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
        }
        head + "\n"
    }
}

impl Stream for RawAnswer {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = ready!(self.body.as_mut().poll_next(context));
        Poll::Ready(self.promise.keep(piece))
    }
}

impl Client {
    /// Sends a request as it was written. Any status is an answer.
    pub async fn raw(&self, raw: &Raw) -> Result<RawAnswer, Failure> {
        let usage = |what: String| Failure::new(USAGE, what);
        let method = Method::from_bytes(raw.method.as_bytes());
        let method = method.map_err(|_| usage(format!("`{}` is no method", raw.method)))?;
        let bodiless = method == Method::HEAD;
        let mut request = self.request(method, &raw.path, Duration::ZERO);
        if raw.body.is_some() {
            request = request.insert_header((CONTENT_TYPE, "application/json"));
        }
        for (name, value) in &raw.headers {
            let wrong = || usage(format!("`{name}: {value}` is no header"));
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            request = request.insert_header((name, value));
        }
        let sent = request.send_body(raw.body.clone().unwrap_or_default()).await;
        let answer = sent.map_err(|error| self.unreachable(&error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let promise = if bodiless || status == StatusCode::NOT_MODIFIED {
            Promise::nothing()
        } else {
            Promise::of(&headers)
        };
        Ok(RawAnswer { status, headers, body: Box::pin(answer), promise })
    }

    /// What a body that is not whole means.
    pub fn cut_short(&self, error: &BodyError) -> Failure {
        self.broken(error)
    }

    /// One page of a list, whole.
    pub async fn page(&self, raw: &Raw) -> Result<Value, Failure> {
        let mut answer = self.raw(raw).await?;
        let status = answer.status();
        let body = actix_rt::time::timeout(self.patience, whole(&mut answer)).await;
        let body = body.map_err(|error| self.unreachable(&error))?.map_err(|error| match error {
            BodyError::TooLong(most) => {
                let path = &raw.path;
                Failure::new(
                    1,
                    format!("a page of {path} has more than {most} bytes: ask for less with limit="),
                )
            }
            error => self.broken(&error),
        })?;
        if status >= 400 { Err(failure_of(status, &body)) } else { self.decode(&body) }
    }
}

async fn whole(answer: &mut RawAnswer) -> Result<Bytes, BodyError> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = answer.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() > super::MAX_ANSWER_BYTES {
            return Err(BodyError::TooLong(super::MAX_ANSWER_BYTES));
        }
    }
    Ok(bytes.freeze())
}
