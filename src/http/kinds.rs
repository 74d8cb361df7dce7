//! The closed list of problem types: name, title, status and what to do. It knows no request and no error of the
//! platform; `problem` and `mapping` choose from it.

use actix_web::http::StatusCode;

/// One type of problem, documented at `/problems/NAME`.
#[derive(Debug, PartialEq, Eq)]
pub struct ProblemKind {
    /// Last part of its URI.
    pub name: &'static str,
    /// The same for every problem of this type.
    pub title: &'static str,
    /// HTTP status, as a number so that the table can be constant.
    pub status: u16,
    /// What a client should do about it.
    pub advice: &'static str,
    /// Seconds after which a repetition may succeed; none when it cannot by itself.
    pub retry_after_s: Option<u32>,
}

impl ProblemKind {
    /// The HTTP status.
    pub fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Finds a type by its name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().copied().find(|kind| kind.name == name)
    }

    /// The first type that is answered with `status`; the general ones stand first in the table.
    pub fn of_status(status: StatusCode) -> &'static Self {
        let general = if status.is_server_error() { &INTERNAL } else { &BAD_REQUEST };
        ALL.iter().copied().find(|kind| kind.status == status.as_u16()).unwrap_or(general)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $status:literal, $title:literal,
        $retry:expr, $advice:literal;)+) => {
        $($(#[$doc])* pub static $constant: ProblemKind = ProblemKind {
            name: $name, title: $title, status: $status, advice: $advice, retry_after_s: $retry,
        };)+
        /// Every type.
        pub static ALL: &[&ProblemKind] = &[$(&$constant),+];
    };
}

kinds! {
    /// The request makes no sense.
    BAD_REQUEST = "bad-request", 400, "Request makes no sense", None,
        "Read the detail and mend the request; repeating it unchanged cannot succeed.";
    /// The body is not JSON.
    MALFORMED_JSON = "malformed-json", 400, "Body is not JSON", None,
        "The detail names the line and column at which the body stops being JSON.";
    /// No valid token.
    UNAUTHORIZED = "unauthorized", 401, "A token is needed", None,
        "Send a token as `Authorization: Bearer TOKEN`: the server's own of --token-file, or one of `callboard token create`.";
    /// Wrong Host or foreign Origin.
    FORBIDDEN = "forbidden", 403, "This request is not allowed here", None,
        "A server on loopback answers only requests that name it as localhost, 127.0.0.1, [::1] or an allowed host \
         (setting allowed_hosts), and no request that a page of another origin sends.";
    /// A rule of the operator's does not allow the job.
    ADMISSION_DENIED = "admission-denied", 403, "The job is not allowed here", None,
        "An admission rule of this server refuses the job. The detail has the rule and its reason; the member `rule` has \
         its number and its name. Change the job, or ask whoever runs the server.";
    /// A setting does not let jobs have what it asks for.
    ISOLATION_FORBIDDEN = "isolation-not-allowed", 403, "This isolation is not allowed here", None,
        "The member `setting` names the setting of the runner that is in the way, and `errors` the field of the job. Ask \
         for more isolation, or have the setting changed.";
    /// The token may not do this.
    MISSING_SCOPE = "missing-scope", 403, "The token does not allow this", None,
        "The detail names the scope that is needed; `callboard token create` makes a token that has it.";
    /// No such thing.
    NOT_FOUND = "not-found", 404, "Not found", None,
        "Check the path, or the id or name in it. Finished jobs are forgotten after the server's retention time.";
    /// The path does not know this method.
    METHOD_NOT_ALLOWED = "method-not-allowed", 405, "Method is not allowed", None,
        "The Allow header lists the methods of this path.";
    /// The body came too slowly.
    REQUEST_TIMEOUT = "request-timeout", 408, "Body came too slowly", None,
        "Send the whole body within the server's body timeout.";
    /// The thing is in another state than the request needs.
    CONFLICT = "conflict", 409, "The job's state does not allow this", None,
        "Look at the job again: it has ended, has not ended yet, or reads no more input.";
    /// The node is not registered here.
    NODE_NOT_REGISTERED = "node-not-registered", 409, "The runner is not registered here", None,
        "Register it again; a runner of `callboard runner --join` does that by itself.";
    /// A later life of the node is registered.
    NODE_SUPERSEDED = "node-superseded", 409, "A later life of this runner is registered", None,
        "Two runners have the same id: does a copy of its data folder run elsewhere? Give each a folder of its own.";
    /// An operator has removed the node.
    NODE_REMOVED = "node-removed", 403, "The runner was removed", None,
        "`callboard nodes resume ID` lets it register again; stop it if it shall not.";
    /// The node belongs to another database.
    OTHER_CLUSTER = "other-cluster", 409, "The runner belongs to another coordinator", None,
        "What it runs was given by another database; nothing was touched. Join it to the coordinator that it came from.";
    /// The two sides have no version of the node protocol in common.
    NODE_PROTOCOL = "node-protocol", 409, "No version of the node protocol in common", None,
        "Upgrade the older of the two; coordinators first.";
    /// The tokens would no longer let anybody in, or are too many.
    TOKEN_CONFLICT = "token-conflict", 409, "The tokens do not allow this", None,
        "The detail says which rule protects the way in, and the command to use first.";
    /// The runner still has jobs, or is the server's own.
    RUNNER_CONFLICT = "runner-conflict", 409, "The runner does not allow this", None,
        "The detail says what stands in the way, and what to do first.";
    /// No runner gives the job the isolation that it demands.
    ISOLATION_UNAVAILABLE = "isolation-unavailable", 409, "The isolation that the job demands cannot be had", None,
        "The member `missing` has the layers that are not there, `fix` what would help, and `errors` the field of the job. \
         `callboard doctor` on the runner says more. Nothing was stored: demand less, or mend the runner.";
    /// A shortened id fits several jobs.
    AMBIGUOUS_ID = "ambiguous-id", 409, "Several jobs fit this id", None,
        "Write more digits of the id.";
    /// Input does not continue where it ended.
    INPUT_GAP = "input-gap", 409, "Input does not continue where it ended", None,
        "Send again from the offset in the member `accepted`.";
    /// It was there and is gone.
    GONE = "gone", 410, "Gone", None,
        "It existed and was forgotten or removed since; it does not come back.";
    /// The body is too large.
    PAYLOAD_TOO_LARGE = "payload-too-large", 413, "Body is too large", None,
        "The detail names the limit. Put large input into a file or stream it.";
    /// The body is not of a type that this path reads.
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type", 415, "Body has the wrong type", None,
        "Send JSON with `Content-Type: application/json` (input bytes: application/octet-stream), not compressed.";
    /// The range lies outside of what there is.
    RANGE_NOT_SATISFIABLE = "range-not-satisfiable", 416, "Range lies outside of the output", None,
        "Content-Range says how many bytes there are.";
    /// Some fields are wrong.
    VALIDATION = "validation", 422, "Request is not valid", None,
        "Each entry of `errors` names a field and what is wrong with it.";
    /// The key was used for another request.
    KEY_REUSED = "idempotency-key-reused", 422, "Idempotency-Key was used for another request", None,
        "Use a new key for a new job; repeat a request byte for byte to get its first answer again.";
    /// Too many requests are under way.
    TOO_MANY_REQUESTS = "too-many-requests", 429, "Too many requests are under way", Some(1),
        "Wait as long as Retry-After says, then repeat the request.";
    /// The address has failed to show a valid token too often.
    TOO_MANY_FAILURES = "too-many-failures", 429, "Too many requests without a valid token", Some(60),
        "This address sent too many requests without a valid token within a minute, and is not heard for as long as \
         Retry-After says, whatever token it shows. Correct the token, then wait.";
    /// The head is too large.
    HEAD_TOO_LARGE = "head-too-large", 431, "Head of the request is too large", None,
        "Send fewer or shorter headers, or a shorter path. Where tokens are demanded a head has at most 8 KiB.";
    /// Plain HTTP where TLS is spoken.
    TLS_EXPECTED = "tls-expected", 400, "This port speaks TLS", None,
        "Write https:// in front of its address. A client that does not know the certificate's authority names it: --ca-cert.";
    /// Our fault.
    INTERNAL = "internal", 500, "The server failed", None,
        "This is a defect of the server. Its log has a line with the request id.";
    /// The platform has stopped.
    UNAVAILABLE = "unavailable", 503, "The platform is not available", Some(5),
        "Wait as long as Retry-After says, then repeat the request.";
    /// As many jobs live as may.
    QUEUE_FULL = "queue-full", 503, "The queue is full", Some(5),
        "Wait until some jobs have ended (the detail names the limit), then repeat the request.";
    /// The node is stopping.
    DRAINING = "draining", 503, "The node is stopping", Some(5),
        "Repeat the request once the node is back, or at another one.";
    /// The store failed.
    STORE_FAILED = "store-failed", 503, "The store failed", Some(5),
        "The disk may be full or broken; the detail has the store's own words. Nothing was changed.";
    /// Secret variables cannot be sealed or opened.
    SECRET_KEY = "secret-key-unavailable", 503, "Secret variables cannot be sealed or opened", Some(5),
        "The detail names the key file and what is wrong with it. Jobs without secret_env are not concerned.";
    /// A runner did not answer.
    RUNNER_UNREACHABLE = "runner-unreachable", 503, "A runner cannot be reached", Some(5),
        "The node that holds the output or input does not answer; repeat the request later.";
    /// New jobs would not start.
    NOT_READY = "not-ready", 503, "New jobs would not start", Some(1),
        "The detail lists what is missing.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_statuses_are_errors() {
        for (at, kind) in ALL.iter().enumerate() {
            assert!((400..600).contains(&kind.status), "{}", kind.name);
            assert!(ALL[..at].iter().all(|other| other.name != kind.name));
            let retryable = [429, 503].contains(&kind.status);
            assert_eq!(kind.retry_after_s.is_some(), retryable, "{}", kind.name);
        }
    }

    #[test]
    fn an_unlisted_status_falls_back_to_the_general_type() {
        assert_eq!(ProblemKind::of_status(StatusCode::IM_A_TEAPOT), &BAD_REQUEST);
        assert_eq!(ProblemKind::of_status(StatusCode::BAD_GATEWAY), &INTERNAL);
        assert_eq!(ProblemKind::of_status(StatusCode::NOT_FOUND), &NOT_FOUND);
    }
}
