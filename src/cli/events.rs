//! `events`: what happened and what comes, a line each.

use callboard_actors::model::time::short_duration;

use super::args::{EventsArgs, Global};
use super::client::{Client, EventsEnd, encode};
use super::exit::{Failure, NO_ANSWER};
use super::many::resolve;
use super::render::json_line;
use super::sink::Sink;
use super::style::plain;
use crate::config::OutputForm;
use crate::http::api::EventBody;

/// Prints them.
pub async fn events(args: &EventsArgs, client: &Client, global: &Global) -> Result<i32, Failure> {
    let mut query = format!("follow={}", args.follow);
    let job = match &args.job {
        Some(job) => Some(resolve(client, job).await?),
        None => None,
    };
    for (name, value) in [("since", &args.since), ("job", &job), ("topic", &args.topic)] {
        if let Some(value) = value {
            query += &format!("&{name}={}", encode(value));
        }
    }
    let raw = matches!(global.looks.form, OutputForm::Json | OutputForm::Jsonl);
    let out = Sink::stdout();
    let mut last = args.since.clone();
    let read = client.events(&query, async |event: EventBody| {
        last = Some(event.id.clone());
        if event.event == "heartbeat" {
            return true;
        }
        let text = if raw { json_line(&event) } else { Ok(line(&event)) };
        match text {
            Ok(text) => out.write(text.into()).await,
            Err(_) => false,
        }
    });
    // Nothing may happen for long after nobody reads any more.
    let end = tokio::select! {
        end = read => end,
        () = out.ended() => Ok(EventsEnd::Left),
    };
    // What came before a failure stands before its line.
    let written = out.close().await;
    let end = end?;
    written?;
    match end {
        EventsEnd::Over if args.follow => Err(went_away(last.as_deref())),
        EventsEnd::Over | EventsEnd::Left => Ok(0),
    }
}

fn went_away(last: Option<&str>) -> Failure {
    let since = last.map(|id| format!(" --since {id}")).unwrap_or_default();
    let message =
        format!("the server is stopping or went away: `callboard events -f{since}` goes on once it is back");
    Failure::new(NO_ANSWER, message)
}

fn line(event: &EventBody) -> String {
    let mut words = vec![event.at.clone(), event.id.clone(), event.event.clone()];
    words.extend(
        [&event.job, &event.runner, &event.status, &event.state, &event.reason]
            .into_iter()
            .flatten()
            .cloned(),
    );
    words.extend(event.waited_ms.map(|ms| format!("after {}", short_duration(ms))));
    words.extend(event.runtime_ms.map(|ms| format!("ran {}", short_duration(ms))));
    words.extend(event.slots.map(|slots| format!("{slots} slots")));
    words.extend(event.why.as_deref().map(|why| match (why, event.missed) {
        ("restart", _) => "the server was started anew: list jobs again".to_owned(),
        (_, Some(missed)) => format!("{missed} events are missing: list jobs again"),
        (why, None) => why.to_owned(),
    }));
    plain(&words.join(" ")) + "\n"
}
