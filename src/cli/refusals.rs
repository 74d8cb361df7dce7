//! Flags that a command could only ignore: they are refused by name, with what to say instead.

use super::args::{Command, Global};
use super::exit::{Failure, USAGE};
use crate::config::OutputForm;

/// Why this command does not take what was said; none when it takes it all.
pub fn refused(command: &Command, global: &Global) -> Option<Failure> {
    let json = global.said_form() == Some(OutputForm::Json);
    let (server, token) = (global.server.is_some(), global.token_file.is_some());
    let said: &[(bool, &str)] = match command {
        Command::Serve(_) => &[
            (server, "--server: `serve` is the server; --bind says where it listens"),
            (json, "--json: `serve` writes log lines; --log-format json makes them JSON"),
            (global.quiet, "--quiet: `serve` prints no ids; --log-level error leaves only errors"),
        ],
        Command::Runner(_) => &[
            (server, "--server: `runner` waits for requests; --bind says where it listens"),
            (json, "--json: `runner` writes log lines; --log-format json makes them JSON"),
            (global.quiet, "--quiet: `runner` prints no ids; --log-level error leaves only errors"),
        ],
        Command::Demo(_) => &[
            (server, "--server: `demo` starts a node of its own; --bind says where it listens"),
            (token, "--token-file: `demo` listens on this machine only, without a token"),
            (json, "--json: `demo` is shown to people; its jobs are at the URL that it prints"),
            (global.quiet, "--quiet: showing is all that `demo` does"),
        ],
        Command::Bench(_) => &[
            (server, "--server: `bench` measures a node of its own, started for the measurement"),
            (token, "--token-file: `bench` measures a node of its own, which has a token of its own"),
        ],
        Command::Run(_) => &[(
            json,
            "--json: `run` prints what the job prints; `submit --wait --json` prints the job itself",
        )],
        Command::Openapi | Command::Completions { .. } | Command::Man(_) | Command::Help(_) => &[
            (server, "--server: this is printed by the program itself, no server is asked"),
            (token, "--token-file: this is printed by the program itself, no server is asked"),
            (global.quiet, "--quiet: there would be nothing left to print"),
            (
                json && matches!(command, Command::Completions { .. }),
                "--json: a completion script is for a shell to read",
            ),
            (
                json && matches!(command, Command::Man(_) | Command::Help(_)),
                "--json: this is for people to read",
            ),
        ],
        Command::Stats(_) | Command::Events(_) => {
            &[(global.quiet, "--quiet: nothing else is printed than what was asked for")]
        }
        _ => &[],
    };
    let said = said.iter().find(|(said, _)| *said).map(|(_, why)| Failure::new(USAGE, *why));
    said.or_else(|| form_refused(command, global))
}

/// What a command prints, and so in which forms it can.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prints {
    /// A table.
    Table,
    /// Words about each row, or a table when one is asked for.
    Rows,
    /// Pieces of a stream.
    Pieces,
    /// One thing.
    Object,
    /// Something that has its own form.
    Itself,
}

fn prints(command: &Command) -> Prints {
    match command {
        Command::List(_) | Command::History(_) => Prints::Table,
        Command::Submit(_)
        | Command::Show(_)
        | Command::Wait(_)
        | Command::Cancel(_)
        | Command::Retry(_)
        | Command::Delete(_) => Prints::Rows,
        Command::Logs(_) | Command::Events(_) | Command::Stats(_) => Prints::Pieces,
        Command::Version
        | Command::Queue(_)
        | Command::Token(_)
        | Command::Prune(_)
        | Command::Healthcheck(_)
        | Command::Bench(_)
        | Command::Openapi => Prints::Object,
        Command::Serve(_)
        | Command::Runner(_)
        | Command::Run(_)
        | Command::Demo(_)
        | Command::Man(_)
        | Command::Help(_)
        | Command::Completions { .. } => Prints::Itself,
    }
}

/// The forms that a command has; the first is the usual one.
pub fn forms(command: &Command) -> &'static [OutputForm] {
    use OutputForm::{Csv, Json, Jsonl, Name, Table, Wide};
    match prints(command) {
        Prints::Table | Prints::Rows => &[Table, Wide, Json, Jsonl, Name, Csv],
        Prints::Pieces => &[Table, Json, Jsonl],
        Prints::Object => &[Table, Json],
        Prints::Itself => &[Table],
    }
}

/// A form that the command does not have, and columns where there are none.
fn form_refused(command: &Command, global: &Global) -> Option<Failure> {
    let forms = forms(command);
    if let Some(form) = global.said_form().filter(|form| !forms.contains(form)) {
        let known: Vec<&str> = forms.iter().map(|form| form.as_str()).collect();
        let known =
            if known.len() == 1 { "has one form only".into() } else { format!("has {}", known.join(", ")) };
        return Some(Failure::new(USAGE, format!("--output {}: this command {known}", form.as_str())));
    }
    if matches!(prints(command), Prints::Table | Prints::Rows) {
        return None;
    }
    let said =
        [(!global.fields.is_empty(), "--fields"), (global.no_headers, "--no-headers"), (global.utc, "--utc")];
    let said = said.iter().find(|(said, _)| *said);
    said.map(|(_, flag)| Failure::new(USAGE, format!("{flag}: this command prints no table")))
}

/// Flags about columns that the settled form has no use for.
pub fn without_use(command: &Command, global: &Global) -> Option<Failure> {
    let (looks, kind) = (&global.looks, prints(command));
    let table = looks.form == OutputForm::Wide
        || looks.form == OutputForm::Table && (kind == Prints::Table || !looks.fields.is_empty());
    let csv = looks.form == OutputForm::Csv;
    let form = looks.form.as_str();
    let why = if !looks.fields.is_empty() && looks.form == OutputForm::Name {
        "--fields: ids alone have no columns; -o table, csv, json and jsonl have".to_owned()
    } else if !looks.headers && !table && !csv {
        format!("--no-headers: there are none in what is printed here ({form}); -o wide and csv have them")
    } else if looks.utc && !table {
        format!("--utc: what is printed here ({form}) has no ages; tables have")
    } else {
        return None;
    };
    Some(Failure::new(USAGE, why))
}
