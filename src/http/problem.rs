//! What is wrong with a request, as an RFC 9457 problem. It knows how a problem is written, not why it arises.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};

use callboard_actors::model::{IsolationRefusal, RefusalCause};

use super::api::{FieldProblem, ProblemBody, RuleBody};
use super::kinds::{self, ProblemKind};

/// Media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// One refusal. The gate adds the path and the request id when it writes it.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

/// In a box, so that the way without a problem stays short.
#[derive(Clone, Debug)]
struct Parts {
    kind: &'static ProblemKind,
    detail: String,
    errors: Vec<FieldProblem>,
    accepted: Option<u64>,
    rule: Option<RuleBody>,
    isolation: Option<RefusalCause>,
    header: Option<(HeaderName, HeaderValue)>,
}

/// Where a problem arose, as its body tells it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whence<'a> {
    /// What stands before our paths.
    pub base: &'a str,
    /// The path that was asked for.
    pub instance: Option<&'a str>,
    /// The request's id.
    pub request_id: Option<&'a str>,
}

impl Problem {
    /// A problem of this type with one line about this case.
    pub fn new(kind: &'static ProblemKind, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            accepted: None,
            rule: None,
            isolation: None,
            header: None,
        }))
    }

    /// One field that is wrong.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let error = FieldProblem { pointer: pointer.into(), detail: detail.into() };
        Self::fields(vec![error])
    }

    /// Fields that are wrong; the first one's words are the detail.
    pub fn fields(errors: Vec<FieldProblem>) -> Self {
        let detail = errors.first().map(|error| error.detail.clone()).unwrap_or_default();
        let mut problem = Self::new(&kinds::VALIDATION, detail);
        problem.0.errors = errors;
        problem
    }

    /// A job that an admission rule denies, or that none allows.
    pub fn denied(detail: String, rule: Option<RuleBody>) -> Self {
        let mut problem = Self::new(&kinds::ADMISSION_DENIED, detail.clone());
        problem.0.errors = vec![FieldProblem { pointer: "#".into(), detail }];
        problem.0.rule = rule;
        problem
    }

    /// A job that no runner gives what it asks for.
    pub fn isolation(refusal: &IsolationRefusal) -> Self {
        let kind = match refusal.cause {
            RefusalCause::Lacking { .. } => &kinds::ISOLATION_UNAVAILABLE,
            RefusalCause::Forbidden { .. } => &kinds::ISOLATION_FORBIDDEN,
        };
        let mut problem = Self::new(kind, refusal.detail.clone());
        let pointer = format!("#{}", refusal.pointer);
        problem.0.errors = vec![FieldProblem { pointer, detail: refusal.detail.clone() }];
        problem.0.isolation = Some(refusal.cause.clone());
        problem
    }

    /// Nothing answers at this path.
    pub fn no_route() -> Self {
        Self::new(&kinds::NOT_FOUND, "nothing answers at this path")
    }

    /// The path does not know this method; `allow` lists those it knows.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self::new(&kinds::METHOD_NOT_ALLOWED, format!("use {allow} here"))
            .with_header(header::ALLOW, HeaderValue::from_static(allow))
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    /// Adds where the input continues.
    #[must_use]
    pub fn with_accepted(mut self, accepted: u64) -> Self {
        self.0.accepted = Some(accepted);
        self
    }

    /// The same, with every field named below `prefix`, for example `#/jobs/3`.
    #[must_use]
    pub fn below(mut self, prefix: &str) -> Self {
        for error in &mut self.0.errors {
            error.pointer = format!("{prefix}{}", error.pointer.trim_start_matches('#'));
        }
        self
    }

    /// The same as an invalid body, for clients that expect 422 where we would say 400.
    #[must_use]
    pub fn into_validation(mut self) -> Self {
        if self.0.kind == &kinds::MALFORMED_JSON {
            self.0.kind = &kinds::VALIDATION;
        }
        self
    }

    /// Its type.
    pub fn kind(&self) -> &'static ProblemKind {
        self.0.kind
    }

    /// The fields that are wrong.
    pub fn into_errors(self) -> Vec<FieldProblem> {
        self.0.errors
    }

    /// Its JSON body.
    pub fn body(&self, whence: Whence<'_>) -> ProblemBody {
        let (missing, fix, setting) = match self.0.isolation.clone() {
            Some(RefusalCause::Lacking { missing, fix }) => (missing, Some(fix), None),
            Some(RefusalCause::Forbidden { setting }) => (Vec::new(), None, Some(setting.to_owned())),
            None => (Vec::new(), None, None),
        };
        ProblemBody {
            kind: format!("{}/problems/{}", whence.base, self.0.kind.name),
            title: self.0.kind.title.into(),
            status: self.0.kind.status,
            detail: self.0.detail.clone(),
            instance: whence.instance.map(String::from),
            request_id: whence.request_id.map(String::from),
            errors: self.0.errors.clone(),
            accepted: self.0.accepted,
            rule: self.0.rule.clone(),
            missing,
            fix,
            setting,
        }
    }

    /// The whole answer.
    pub fn respond(&self, whence: Whence<'_>) -> HttpResponse {
        let mut answer = HttpResponse::build(self.0.kind.status_code());
        answer.insert_header((header::CONTENT_TYPE, PROBLEM_JSON));
        if let Some(seconds) = self.0.kind.retry_after_s {
            answer.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Some(header) = &self.0.header {
            answer.insert_header(header.clone());
        }
        let body = self.body(whence);
        // A struct of strings and numbers always has a JSON form.
        answer.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.kind.title, self.0.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.kind.status_code()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        self.respond(Whence::default())
    }
}
