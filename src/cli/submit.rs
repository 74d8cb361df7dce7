//! `submit`: a job is handed over, and with `--wait` awaited.

use std::path::Path;

use callboard_actors::model::limits::MAX_INLINE_INPUT_BYTES;

use super::args::{Global, JobArgs, SubmitArgs};
use super::artifacts;
use super::client::Client;
use super::commands::print_jobs;
use super::exit::{self, Failure, USAGE};
use super::files;
use super::progress::Progress;
use super::secret_env;
use super::style::plain;
use crate::config::Environment;
use crate::http::api::{CommandBody, MountBody, StdinBody, SubmitBody};

/// Submits a job and prints it.
pub async fn submit(
    args: &SubmitArgs,
    client: &Client,
    global: &Global,
    environment: &Environment,
) -> Result<i32, Failure> {
    let same_host = client.version().await?.host_id == crate::node::host_id();
    let mut body = job_body(&args.job, same_host, environment)?;
    if args.stdin {
        body.stdin = Some(whole_input()?);
    }
    let job = client.submit(&body, 0, args.idempotency_key.as_deref()).await?;
    if !args.wait {
        let submitted = format!("Submitted job {} ({})", plain(&job.id), plain(&job.status));
        let printed = print_jobs(&[job], false, global, |_| submitted.clone());
        // It runs, and nothing else says how it is called.
        return printed.map(|()| 0).map_err(|failure| failure.with(&submitted));
    }
    let progress = Progress::new(!args.no_progress && !global.quiet, environment);
    let job = progress.during(client, &job.id, client.ended(&job.id)).await?;
    print_jobs(std::slice::from_ref(&job), false, global, |job| {
        format!("{} {}", plain(&job.id), plain(&job.status))
    })?;
    if !global.quiet {
        exit::epilogue(&job).iter().for_each(|line| exit::say(line));
        artifacts::unkept(&job).for_each(|line| exit::say(&line));
    }
    Ok(exit::of_job(&job))
}

fn whole_input() -> Result<StdinBody, Failure> {
    use base64::Engine;
    let mut bytes = Vec::new();
    let most = MAX_INLINE_INPUT_BYTES as u64 + 1;
    let read =
        std::io::Read::read_to_end(&mut std::io::Read::take(std::io::stdin().lock(), most), &mut bytes);
    read.map_err(|error| Failure::new(1, format!("standard input cannot be read: {error}")))?;
    if bytes.len() > MAX_INLINE_INPUT_BYTES {
        let message =
            format!("--stdin takes at most {MAX_INLINE_INPUT_BYTES} bytes; `callboard run` streams more");
        return Err(Failure::new(USAGE, message));
    }
    Ok(StdinBody::Base64(base64::engine::general_purpose::STANDARD.encode(bytes)))
}

/// The body of a submit.
pub fn job_body(args: &JobArgs, same_host: bool, environment: &Environment) -> Result<SubmitBody, Failure> {
    let mut env = std::collections::BTreeMap::new();
    for pair in &args.env {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let missing = || Failure::new(USAGE, format!("--env {pair}: there is no such variable here"));
                (pair.as_str(), environment.get(pair).ok_or_else(missing)?.to_owned())
            }
        };
        env.insert(name.to_owned(), value);
    }
    let here = same_host.then(|| std::env::current_dir().ok()).flatten();
    let cwd = match &args.cwd {
        Some(folder) => Some(here.as_ref().map_or_else(|| folder.clone(), |here| here.join(folder))),
        // Its files are in its home, and that is where it would look for them.
        None if !args.file.is_empty() || !args.artifact.is_empty() => None,
        None => here.clone(),
    };
    Ok(SubmitBody {
        command: match &args.shell {
            Some(line) => CommandBody::Shell(line.clone()),
            None => CommandBody::Argv(args.command.clone()),
        },
        name: args.name.clone(),
        env,
        secret_env: secret_env::read(&args.secret_env, environment)?.into(),
        cwd: cwd.map(|folder| folder.display().to_string()),
        stdin: None,
        timeout_ms: args.timeout,
        grace_ms: args.grace,
        on_lost: args.loss.on_lost.clone(),
        on_disconnect: args.loss.on_disconnect.clone(),
        requires: args.require.body(),
        isolation: args.isolation.body(),
        limits: args.limits.body(),
        mounts: args.mount.iter().map(|text| mount(text, here.as_deref())).collect(),
        files: files::read(&args.file)?,
        // A shell that completes the name of a folder ends it so.
        artifacts: args.artifact.iter().map(|path| path.trim_end_matches('/').to_owned()).collect(),
    })
}

/// A mount as it was said. On the server's own host a name from here is meant, and the place that it leads to.
fn mount(text: &str, here: Option<&Path>) -> MountBody {
    let (path, read_only) = text.strip_suffix(":ro").map_or((text, false), |path| (path, true));
    let found = here.and_then(|here| std::fs::canonicalize(here.join(path)).ok());
    let path = found.map_or_else(|| path.to_owned(), |found| found.display().to_string());
    MountBody { path, read_only }
}
