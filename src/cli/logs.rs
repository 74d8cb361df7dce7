//! `logs`: a job's output on standard output, and on standard error what is missing in it.

use super::args::{Global, LogsArgs};
use super::client::{Client, Sizes, Start, bytes_of};
use super::exit::{self, Failure};
use super::many::resolve;
use super::render::json_line;
use super::sink::Sink;
use crate::config::OutputForm;

/// Prints one stream of a job.
pub async fn logs(args: &LogsArgs, client: &Client, global: &Global) -> Result<i32, Failure> {
    let id = resolve(client, &args.id).await?;
    let stream = if args.stderr { "stderr" } else { "stdout" };
    let start = args.tail.map_or(Start::Offset(args.offset.unwrap_or(0)), Start::Tail);
    let out = Sink::stdout();
    let read = async {
        if matches!(global.looks.form, OutputForm::Json | OutputForm::Jsonl) {
            let line = async |frame| match json_line(&frame) {
                Ok(line) => out.write(line.into()).await,
                Err(_) => false,
            };
            client.frames(&id, stream, start, args.follow, line).await.map(|()| None)
        } else if args.follow {
            let text = async |frame| out.write(bytes_of(&frame)).await;
            client.frames(&id, stream, start, true, text).await.map(|()| None)
        } else {
            client.bytes(&id, stream, start, async |bytes| out.write(bytes).await).await.map(Some)
        }
    };
    // A job may be silent for long after nobody reads any more.
    let missing = tokio::select! {
        missing = read => missing,
        () = out.ended() => Ok(None),
    };
    // What came before a failure stands before its line.
    let written = out.close().await;
    let missing = missing?;
    written?;
    if let Some(sizes) = missing.filter(|_| !global.quiet) {
        missing_line(stream, sizes).iter().for_each(|line| exit::say(line));
    }
    Ok(0)
}

fn missing_line(stream: &str, sizes: Sizes) -> Option<String> {
    let (dropped, at) = sizes.missing()?;
    let Sizes { total, kept, .. } = sizes;
    Some(format!(
        "{dropped} bytes of {stream} are missing at byte {at}: the job wrote {total} bytes, {kept} were kept"
    ))
}
