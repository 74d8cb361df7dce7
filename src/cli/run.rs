//! `run`: a job as if it were a plain command. Output and input are streamed, the exit code is the job's, Ctrl-C
//! and its like cancel it; without a server a private node is started for it.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::Duration;

use bytes::Bytes;

use super::args::{Global, RunArgs};
use super::artifacts;
use super::client::{Client, Start, bytes_of, is_over};
use super::commands::{client, patient};
use super::exit::{self, COULD_NOT_RUN, Failure, NO_ANSWER, NOT_ALLOWED};
use super::interrupts::Interrupts;
use super::progress::Progress;
use super::sink::Sink;
use super::submit::job_body;
use crate::config::{DEFAULT_SERVER, Environment};
use crate::http::api::{CancelBody, JobBody, LogFrame, OutputBody, StdinBody};
use crate::node::embedded::{Embedded, EmbeddedOptions};

/// How long a submit waits for a job that is over at once, in milliseconds.
const QUICK_MS: u64 = 150;
/// How long an answer of a server that may be another program's is waited for.
const PROBE: Duration = Duration::from_millis(500);
/// Bytes of input read at a time.
const INPUT_PIECE: usize = 64 * 1024;
/// How long input is kept before it is offered again: at first, and at most.
const OFFER_PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Runs the command and returns the exit code.
pub async fn run(args: &RunArgs, global: &Global, environment: &Environment) -> Result<i32, Failure> {
    let voice = Voice {
        progress: Progress::new(!args.no_progress && !global.quiet, environment),
        quiet: global.quiet,
    };
    let found = found_server(global).await?;
    // From before the node and the submit on: a Ctrl-C that comes while they are under way is kept, and cancels the job.
    let interrupts = Interrupts::listen();
    let interrupts = interrupts.map_err(|error| Failure::new(COULD_NOT_RUN, error.to_string()))?;
    if let Some((client, same_host)) = found {
        return job(&client, args, same_host, environment, &voice, interrupts).await;
    }
    let node = Embedded::start(EmbeddedOptions { slots: 1, ..EmbeddedOptions::default() }).await;
    let node = node.map_err(|error| Failure::node(&error))?;
    let client = patient(Client::new(&node.url, Some(node.token.clone())), global);
    let code = job(&client, args, true, environment, &voice, interrupts).await;
    node.stop().await;
    code
}

/// What this command says itself, beside the job.
struct Voice {
    progress: Progress,
    quiet: bool,
}

impl Voice {
    fn say(&self, message: &str) {
        self.progress.end();
        if !self.quiet {
            exit::say(message);
        }
    }
}

/// The server to use, and whether it lives on this host; none when nobody named one and none answers.
async fn found_server(global: &Global) -> Result<Option<(Client, bool)>, Failure> {
    let client = client(global)?;
    let own_host = crate::node::host_id();
    if global.server.is_some() {
        let version = client.version().await?;
        return Ok(Some((client, version.host_id == own_host)));
    }
    match actix_rt::time::timeout(PROBE, client.version()).await {
        Ok(Ok(version)) if version.service == "callboard" && version.role != "runner" => {
            Ok(Some((client, version.host_id == own_host)))
        }
        Ok(Err(failure)) if failure.code == NOT_ALLOWED => {
            let message =
                format!("the server at {DEFAULT_SERVER} wants a token: name its file with --token-file");
            Err(Failure::new(NOT_ALLOWED, message))
        }
        _ => Ok(None),
    }
}

async fn job(
    client: &Client,
    args: &RunArgs,
    same_host: bool,
    environment: &Environment,
    voice: &Voice,
    interrupts: Interrupts,
) -> Result<i32, Failure> {
    let mut body = job_body(&args.job, same_host, environment)?;
    let feeds = !args.no_stdin && !std::io::stdin().is_terminal() && !is_null_input();
    if feeds {
        body.stdin = Some(StdinBody::Stream(true));
    }
    let job = client.submit(&body, if feeds { 0 } else { QUICK_MS }, None).await?;
    let inline = is_over(&job).then(|| Some((inline(&job.stdout)?, inline(&job.stderr)?))).flatten();
    let show = async {
        match inline {
            Some((out, err)) => Ok((job.clone(), print_inline(out, err).await)),
            None => {
                let followed = follow(client, &job.id, feeds, &voice.progress);
                voice.progress.during(client, &job.id, followed).await
            }
        }
    };
    let ((ended, written), interrupted) = interruptible(client, &job.id, interrupts, voice, show).await?;
    if let Err(failure) = written {
        return Err(failure.with(&format!("job {} is {}", ended.id, ended.status)));
    }
    exit::epilogue(&ended).iter().for_each(|line| voice.say(line));
    let by_signal = interrupted.filter(|_| ended.status == "cancelled");
    let code = by_signal.unwrap_or_else(|| exit::of_job(&ended));
    match bring_home(client, args, &ended, voice).await {
        Ok(true) => Ok(code),
        // What it was run for is not there: that is no success.
        Ok(false) => Ok(if code == 0 { COULD_NOT_RUN } else { code }),
        Err(failure) => Err(failure.with(&format!("job {} is {}", ended.id, ended.status))),
    }
}

/// Saves the job's artifacts; whether all that was declared was there. What is amiss is said also where little is.
async fn bring_home(
    client: &Client,
    args: &RunArgs,
    ended: &JobBody,
    voice: &Voice,
) -> Result<bool, Failure> {
    if args.job.artifact.is_empty() {
        return Ok(true);
    }
    // A job that has never run has left nothing, and that was said.
    let missing: Vec<_> = artifacts::unkept(ended).collect();
    voice.progress.end();
    missing.iter().for_each(|line| exit::say(line));
    let to = args.artifacts_to.as_deref().unwrap_or(".".as_ref());
    artifacts::save(client, &ended.id, &ended.artifacts_kept, to).await?;
    Ok(missing.is_empty())
}

/// Whether standard input is `/dev/null`.
fn is_null_input() -> bool {
    let null = rustix::fs::stat("/dev/null");
    match (rustix::fs::fstat(rustix::stdio::stdin()), null) {
        (Ok(own), Ok(null)) => own.st_rdev == null.st_rdev && own.st_dev == null.st_dev,
        _ => true,
    }
}

/// Prints the output that came with the record.
async fn print_inline(out: Bytes, err: Bytes) -> Result<(), Failure> {
    let (stdout, stderr) = (Sink::stdout(), Sink::stderr());
    // A reader that has gone away is no failure of a job that is over.
    futures_util::future::join(stdout.write(out), stderr.write(err)).await;
    let (out, err) = futures_util::future::join(stdout.close(), stderr.close()).await;
    out.and(err)
}

/// A job that is over, and whether what it wrote could be passed on.
type Shown = (JobBody, Result<(), Failure>);

/// The whole output, when all of it came with the record.
fn inline(output: &OutputBody) -> Option<Bytes> {
    use base64::Engine;
    match (&output.text, &output.base64) {
        (Some(text), _) => Some(text.clone().into_bytes().into()),
        (None, Some(text)) => base64::engine::general_purpose::STANDARD.decode(text).ok().map(Bytes::from),
        (None, None) => (output.total_bytes == 0).then(Bytes::new),
    }
}

/// Waits for `shown`, which ends with the job. A signal cancels the job, a second one leaves it. The job, and the exit
/// code of the signal that came.
async fn interruptible(
    client: &Client,
    id: &str,
    mut interrupts: Interrupts,
    voice: &Voice,
    shown: impl Future<Output = Result<Shown, Failure>>,
) -> Result<(Shown, Option<i32>), Failure> {
    let interrupted = Cell::new(None);
    let cancelled = async {
        interrupted.set(Some(interrupts.next().await));
        voice.say("cancelling the job; once more to leave it");
        // If it cannot be cancelled it has ended, and the output ends with it.
        let _ = client.act(id, "cancel", &CancelBody::default()).await;
        interrupts.next().await
    };
    tokio::select! {
        ended = shown => Ok((ended?, interrupted.get())),
        code = cancelled => Err(Failure::new(code, "left; the job may still run")),
    }
}

/// Streams both outputs until the job is over, and the input into it. A reader of our output that goes away, or cannot
/// take it, ends the job, as it would end a plain command.
async fn follow(client: &Client, id: &str, feeds: bool, progress: &Progress) -> Result<Shown, Failure> {
    let (stdout, stderr) = (Sink::stdout(), Sink::stderr());
    let start = Start::Offset(0);
    let write = async |sink: &Sink, frame: LogFrame| {
        let bytes = bytes_of(&frame);
        if bytes.is_empty() {
            return true;
        }
        progress.end();
        sink.write(bytes).await
    };
    let outputs = async {
        let out = async {
            let streamed = tokio::select! {
                streamed = client.frames(id, "stdout", start, true, async |frame| write(&stdout, frame).await) => streamed,
                () = stdout.ended() => Ok(()),
            };
            if stdout.is_ended() {
                // If it cannot be cancelled it has ended.
                let _ = client.act(id, "cancel", &CancelBody::default()).await;
            }
            streamed
        };
        let err = client.frames(id, "stderr", start, true, async |frame| write(&stderr, frame).await);
        let (out, err) = futures_util::future::join(out, err).await;
        out.and(err)
    };
    let fed = async {
        if feeds {
            feed(client, id).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        streamed = outputs => streamed?,
        () = fed => {}
    }
    let (out, err) = futures_util::future::join(stdout.close(), stderr.close()).await;
    Ok((client.ended(id).await?, out.and(err)))
}

/// Hands standard input to the job piece by piece, as fast as it takes it.
async fn feed(client: &Client, id: &str) {
    let (sender, mut pieces) = tokio::sync::mpsc::channel::<Bytes>(2);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut piece = vec![0; INPUT_PIECE];
        while let Ok(count @ 1..) = std::io::Read::read(&mut input, &mut piece) {
            if sender.blocking_send(Bytes::copy_from_slice(&piece[..count])).is_err() {
                break;
            }
        }
    });
    let mut offset = 0;
    loop {
        let next = pieces.recv().await;
        let end = next.is_none();
        let mut piece = next.unwrap_or_default();
        let mut pause = OFFER_PAUSES.0;
        loop {
            match client.input(id, offset, piece.clone(), end).await {
                Ok(answer) if !answer.open => return,
                Ok(answer) => {
                    let taken =
                        usize::try_from(answer.accepted.saturating_sub(offset)).unwrap_or(0).min(piece.len());
                    piece = piece.slice(taken..);
                    offset += taken as u64;
                    if piece.is_empty() {
                        break;
                    }
                    if taken > 0 {
                        pause = OFFER_PAUSES.0;
                    }
                }
                // It has not started, or the server is busy: once more.
                Err(failure) if failure.code == NO_ANSWER => {}
                // Over, or no longer reading.
                Err(_) => return,
            }
            actix_rt::time::sleep(pause).await;
            pause = (pause * 2).min(OFFER_PAUSES.1);
        }
        if end {
            return;
        }
    }
}
