//! `api`: one request as it was written, with the server and the token of the context; the answer as it came.

use std::io::Read;

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::Value;

use super::args::{ApiArgs, Global};
use super::client::{Client, Raw, failure_of};
use super::exit::{Failure, NO_ANSWER, USAGE};
use super::render::json_line;
use super::sink::Sink;
use super::style::steers;
use crate::config::OutputForm;

/// Most data that is sent.
const MAX_DATA_BYTES: usize = 64 << 20;

/// Sends the request and prints the answer, also one that is no success.
pub async fn api(args: &ApiArgs, client: &Client, global: &Global) -> Result<i32, Failure> {
    let request = request(args)?;
    if args.paginate {
        return paginate(&request, client, global).await;
    }
    let mut answer = client.raw(&request).await?;
    let out = Sink::stdout();
    let safe = |bytes: Bytes| if global.looks.terminal { for_terminal(&bytes) } else { bytes };
    if args.include {
        out.write(safe(answer.head().into())).await;
    }
    // What is kept of an answer that is no success, for the line that says so.
    let mut kept = Vec::new();
    let status = answer.status();
    let mut cut = None;
    while let Some(piece) = answer.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => {
                cut = Some(client.cut_short(&error));
                break;
            }
        };
        if status >= 400 && kept.len() < MAX_PROBLEM_BYTES {
            kept.extend_from_slice(&piece);
        }
        if !out.write(safe(piece)).await {
            break;
        }
    }
    let written = out.close().await;
    match cut {
        Some(failure) => Err(failure),
        None if status >= 400 => Err(failure_of(status, &kept.into())),
        None => written.map(|()| 0),
    }
}

/// Most bytes of a problem that are looked at for its words.
const MAX_PROBLEM_BYTES: usize = 64 << 10;

/// The request that was written.
fn request(args: &ApiArgs) -> Result<Raw, Failure> {
    let usage = |what: String| Failure::new(USAGE, what);
    let (before, path) = match args.words.as_slice() {
        [path] => (None, path),
        [method, path] => (Some(method), path),
        _ => return Err(usage("say what is asked for: `callboard api [METHOD] PATH`".into())),
    };
    if before.is_some() && args.method.is_some() {
        return Err(usage("--method: the method stands before the path already".into()));
    }
    if path.split(['/', '?']).next().is_some_and(|first| first.ends_with(':')) {
        let what = format!("`{path}`: name the path only; --server or a context names the server");
        return Err(usage(what));
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    let path = format!("{slash}{path}");
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(usage(format!("`{path}` is no path: write other characters percent-encoded")));
    }
    let body = args.data.as_deref().map(data).transpose()?;
    let usual = if body.is_some() { "POST" } else { "GET" };
    let method = args.method.as_ref().or(before).map_or(usual, String::as_str).to_ascii_uppercase();
    if args.paginate && method != "GET" {
        return Err(usage(format!("--paginate: a list is read with GET, not with {method}")));
    }
    let headers = args.headers.iter().map(|header| {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| usage(format!("--header `{header}`: write it as NAME: VALUE")))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    });
    Ok(Raw { method, path, headers: headers.collect::<Result<_, Failure>>()?, body })
}

/// What is sent.
fn data(said: &str) -> Result<Bytes, Failure> {
    let read = |source: &str, from: &mut dyn Read| {
        let mut bytes = Vec::new();
        let done = from.take(MAX_DATA_BYTES as u64 + 1).read_to_end(&mut bytes);
        done.map_err(|error| Failure::new(1, format!("--data {source}: {error}")))?;
        if bytes.len() > MAX_DATA_BYTES {
            let what = format!("--data {source}: at most {MAX_DATA_BYTES} bytes can be sent");
            return Err(Failure::new(USAGE, what));
        }
        Ok(bytes.into())
    };
    match said.strip_prefix('@') {
        _ if said == "-" => read("-", &mut std::io::stdin().lock()),
        Some("-") => read("@-", &mut std::io::stdin().lock()),
        Some(path) => {
            let file = std::fs::File::open(path);
            read(said, &mut file.map_err(|error| Failure::new(1, format!("--data {said}: {error}")))?)
        }
        None => Ok(Bytes::copy_from_slice(said.as_bytes())),
    }
}

/// Prints the items of all pages as they come.
async fn paginate(first: &Raw, client: &Client, global: &Global) -> Result<i32, Failure> {
    let out = Sink::stdout();
    let done = pages(first, client, global.looks.form == OutputForm::Jsonl, &out).await;
    // What came before a failure stands before its line.
    let written = out.close().await;
    done.and(written).map(|()| 0)
}

async fn pages(first: &Raw, client: &Client, lines: bool, out: &Sink) -> Result<(), Failure> {
    let mut request = first.clone();
    let mut cursor = None;
    let mut begun = false;
    loop {
        let answer = client.page(&request).await?;
        let Some(Value::Array(items)) = answer.get("items") else {
            let what = format!("--paginate: the answer of {} is no list: it has no `items`", first.path);
            return Err(Failure::new(USAGE, what));
        };
        for item in items {
            let line = json_line(item)?;
            let text = match (lines, begun) {
                (true, _) => line,
                (false, true) => format!(",{}", line.trim_end()),
                (false, false) => format!("[{}", line.trim_end()),
            };
            begun = true;
            if !out.write(text.into()).await {
                return Ok(());
            }
        }
        let next = answer.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        if next.is_none() {
            break;
        }
        if next == cursor {
            let what = format!("{} gives the same page again and again", first.path);
            return Err(Failure::new(NO_ANSWER, what));
        }
        request = first.after(next.as_deref().unwrap_or_default());
        cursor = next;
    }
    if !lines {
        out.write(if begun { "]\n" } else { "[]\n" }.into()).await;
    }
    Ok(())
}

/// What a terminal is shown of bytes: text as it is, with a space for what could steer it.
fn for_terminal(bytes: &[u8]) -> Bytes {
    let safe = |c: char| if steers(c) && c != '\n' && c != '\t' { ' ' } else { c };
    String::from_utf8_lossy(bytes).chars().map(safe).collect::<String>().into()
}
