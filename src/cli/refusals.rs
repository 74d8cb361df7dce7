//! Flags that a command could only ignore: they are refused by name, with what to say instead.

use super::args::{ApiArgs, Command, ConfigCommand, ConfigShowArgs, ContextCommand, Global, Nodes, Whose};
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
        Command::Api(_) => &[(global.quiet, "--quiet: `api` prints the answer and nothing else")],
        Command::Config(ConfigCommand::Show(_) | ConfigCommand::Path) => {
            &[(global.quiet, "--quiet: there would be nothing left to print")]
        }
        _ => &[],
    };
    let said = said.iter().find(|(said, _)| *said).map(|(_, why)| Failure::new(USAGE, *why));
    said.or_else(|| settings(command, global)).or_else(|| form_refused(command, global))
}

/// Whether a command asks a server, and so has a context, a server, a token and patience.
pub fn asks_a_server(command: &Command) -> bool {
    !matches!(
        command,
        Command::Serve(_)
            | Command::Runner(_)
            | Command::Demo(_)
            | Command::Bench(_)
            | Command::Openapi
            | Command::Doctor
            | Command::Completions { .. }
            | Command::Man(_)
            | Command::Help(_)
            | Command::Config(_)
            | Command::Context(_)
    )
}

/// Flags about the client's settings where there is no client.
fn settings(command: &Command, global: &Global) -> Option<Failure> {
    let shows_client = |args: &ConfigShowArgs| args.whose == Whose::Client;
    let config = match command {
        Command::Config(ConfigCommand::Show(args)) => Some(shows_client(args)),
        Command::Config(_) => Some(false),
        _ => None,
    };
    let context = match command {
        Command::Context(command) => Some(command),
        _ => None,
    };
    let asks = asks_a_server(command) || config == Some(true);
    let sets = matches!(context, Some(ContextCommand::Set { .. }));
    let shows = matches!(context, Some(ContextCommand::Show { name: None }));
    let node_token = matches!(command, Command::Serve(_) | Command::Runner(_))
        || matches!(command, Command::Config(ConfigCommand::Show(_)));
    let reads_file = asks
        || config.is_some()
        || context.is_some()
        || matches!(command, Command::Serve(_) | Command::Runner(_));
    let said = [
        (global.server.is_some() && !asks && !sets, "--server"),
        (global.token_file.is_some() && !asks && !sets && !node_token, "--token-file"),
        (global.ca_cert.is_some() && !asks && !sets, "--ca-cert"),
        (global.client_cert.is_some() && !asks && !sets, "--client-cert"),
        (global.client_key.is_some() && !asks && !sets, "--client-key"),
        (global.insecure_skip_tls_verify && !asks_a_server(command), "--insecure-skip-tls-verify"),
        (global.context.is_some() && !asks && !shows, "--context"),
        (global.request_timeout.is_some() && !asks, "--request-timeout"),
        (global.config.is_some() && !reads_file, "--config"),
        (global.verbose > 0 && !asks_a_server(command), "--verbose"),
    ];
    let flag = said.iter().find(|(said, _)| *said)?.1;
    Some(Failure::new(USAGE, format!("{flag}: this command has no use for it")))
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
        Command::List(_)
        | Command::History(_)
        | Command::Artifacts(_)
        | Command::Nodes(Nodes::List | Nodes::Wait(_))
        | Command::Context(ContextCommand::List) => Prints::Table,
        Command::Submit(_)
        | Command::Show(_)
        | Command::Wait(_)
        | Command::Cancel(_)
        | Command::Retry(_)
        | Command::Delete(_)
        | Command::Nodes(_)
        | Command::Context(_) => Prints::Rows,
        Command::Logs(_)
        | Command::Events(_)
        | Command::Stats(_)
        | Command::Api(ApiArgs { paginate: true, .. }) => Prints::Pieces,
        Command::Version
        | Command::Queue(_)
        | Command::Token(_)
        | Command::Prune(_)
        | Command::Healthcheck(_)
        | Command::Bench(_)
        | Command::Config(_)
        | Command::Doctor
        | Command::Openapi => Prints::Object,
        Command::Serve(_)
        | Command::Runner(_)
        | Command::Run(_)
        | Command::Demo(_)
        | Command::Api(_)
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
        let known = if known.len() == 1 {
            "has one form only".to_owned()
        } else {
            format!("prints {}", known.join(", "))
        };
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
