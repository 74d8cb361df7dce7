//! From the body of a submit to the spec of a job. What the model's own checks find is left to them; here is refused
//! what has no meaning at all.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callboard_actors::model::{
    CommandLine, InputFile, InputMode, JobSpec, Limits, OnDisconnect, OnLost, SealedEnv, limits,
};

use super::api::{CommandBody, CompatSubmit, FieldProblem, FileBody, FileContentBody, StdinBody, SubmitBody};
use super::problem::Problem;

/// The spec of a `/v1` job, without its secret variables.
pub fn of(body: SubmitBody, limits: &Limits) -> Result<JobSpec, Problem> {
    let mut errors = Vec::new();
    let policies = (body.on_lost.as_deref(), body.on_disconnect.as_deref());
    let (on_lost, on_disconnect) = policies_of(policies, limits, &mut errors);
    let (isolation, demands) = body.isolation.map(|asked| asked.read(&mut errors)).unwrap_or_default();
    let input = body.stdin.map_or(InputMode::Null, |stdin| input(stdin, &mut errors));
    let files = body.files.into_iter().enumerate().map(|(at, it)| file(at, it, &mut errors)).collect();
    if !errors.is_empty() {
        return Err(Problem::fields(errors));
    }
    Ok(JobSpec {
        command: command(body.command),
        name: body.name,
        env: body.env,
        secret_env: SealedEnv::default(),
        cwd: body.cwd,
        input,
        timeout_ms: body.timeout_ms.or(limits.default_timeout_ms),
        grace_ms: body.grace_ms.unwrap_or(limits.default_grace_ms),
        on_lost,
        on_disconnect,
        requires: body.requires.map(Into::into).unwrap_or_default(),
        isolation,
        demands,
        mounts: body.mounts.into_iter().map(Into::into).collect(),
        files,
        artifacts: body.artifacts,
        limits: body.limits.map(|asked| asked.read()).unwrap_or_default(),
    })
}

/// What becomes of the job when its node is lost, and what of it when that has lost us.
fn policies_of(
    (on_lost, on_disconnect): (Option<&str>, Option<&str>),
    limits: &Limits,
    errors: &mut Vec<FieldProblem>,
) -> (OnLost, OnDisconnect) {
    let mut wrong = |field: &str, words: &str, other: &str| {
        refuse(errors, &format!("#/{field}"), format!("{field} is {words}, not `{}`", short(other)));
    };
    let on_lost = match on_lost {
        None => limits.default_on_lost,
        Some("requeue") => OnLost::Requeue,
        Some("never") => OnLost::Never,
        Some(other) => {
            wrong("on_lost", "`requeue` or `never`", other);
            OnLost::Requeue
        }
    };
    let on_disconnect = match on_disconnect {
        None => limits.default_on_disconnect,
        Some("keep") => OnDisconnect::Keep,
        Some("kill") => OnDisconnect::Kill,
        Some(other) => {
            wrong("on_disconnect", "`keep` or `kill`", other);
            OnDisconnect::Keep
        }
    };
    (on_lost, on_disconnect)
}

/// The spec of a job of the original's `POST /jobs`.
pub fn of_original(body: CompatSubmit, limits: &Limits) -> Result<JobSpec, Problem> {
    let max = limits::COMPAT_MAX_TIMEOUT_S;
    let asked = body.timeout.unwrap_or(limits::COMPAT_DEFAULT_TIMEOUT_S as i64);
    let timeout_s =
        u64::try_from(asked).ok().filter(|seconds| (1..=max).contains(seconds)).ok_or_else(|| {
            let detail = format!("timeout must be between 1 and {max} seconds");
            Problem::field("#/timeout", detail)
        })?;
    Ok(JobSpec {
        timeout_ms: Some(timeout_s * 1000),
        grace_ms: limits.default_grace_ms,
        ..JobSpec::shell(body.command)
    })
}

fn command(body: CommandBody) -> CommandLine {
    match body {
        CommandBody::Shell(line) => CommandLine::Shell(line),
        CommandBody::Argv(argv) => CommandLine::Argv(argv),
    }
}

fn input(body: StdinBody, errors: &mut Vec<FieldProblem>) -> InputMode {
    match body {
        StdinBody::Text(text) => InputMode::Inline(text.into_bytes()),
        StdinBody::Base64(text) => InputMode::Inline(bytes_of(&text, "#/stdin/base64", errors)),
        StdinBody::Stream(true) => InputMode::Streamed,
        StdinBody::Stream(false) => {
            refuse(errors, "#/stdin/stream", "stream is `true`, or stdin is left out".into());
            InputMode::Null
        }
    }
}

fn file(at: usize, body: FileBody, errors: &mut Vec<FieldProblem>) -> InputFile {
    let bytes = match body.content {
        FileContentBody::Text(text) => text.into_bytes(),
        FileContentBody::Base64(text) => bytes_of(&text, &format!("#/files/{at}/content/base64"), errors),
    };
    InputFile { path: body.path, bytes, executable: body.executable }
}

/// Nothing of what is no base64, which is refused.
fn bytes_of(text: &str, pointer: &str, errors: &mut Vec<FieldProblem>) -> Vec<u8> {
    STANDARD.decode(text).unwrap_or_else(|error| {
        refuse(errors, pointer, format!("this is not standard base64: {error}"));
        Vec::new()
    })
}

fn refuse(errors: &mut Vec<FieldProblem>, pointer: &str, detail: String) {
    errors.push(FieldProblem { pointer: pointer.into(), detail });
}

fn short(word: &str) -> String {
    word.chars().take(40).collect()
}
