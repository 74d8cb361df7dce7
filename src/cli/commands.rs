//! The client's commands, one function each.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::time::Duration;

use callboard_actors::clock;
use callboard_actors::tls::{Identity, Trust, TrustFiles};
use serde::Serialize;

use super::api::api;
use super::args::{CancelArgs, Command, Global, Ids, ListArgs, WaitArgs};
use super::artifacts::artifacts;
use super::client::{Client, encode, is_over};
use super::events::events;
use super::exit::{self, CONFIG, CONFLICT, Failure, USAGE, WAIT_TIMED_OUT};
use super::help::help;
use super::history::history;
use super::logs::logs;
use super::man::man;
use super::many::each;
use super::progress::Progress;
use super::prune::prune;
use super::render::{self, Cell, Column};
use super::stats::stats;
use super::style::plain;
use super::submit::submit;
use super::{contexts, doctor, nodes, ops, run, settings, table, token};
use crate::config::{
    DEFAULT_SERVER, Environment, Origin, OutputForm, check_server, check_token, is_open_to_others, read_token,
};
use crate::http::api::{CancelBody, JobBody, NoBody, VersionBody};

type Outcome = Result<i32, Failure>;

/// Runs a client command and returns the exit code.
pub async fn run(command: &Command, global: &Global, environment: &Environment) -> i32 {
    let outcome = match command {
        Command::Run(args) => run::run(args, global, environment).await,
        Command::Config(command) => settings::run(command, global, environment),
        Command::Context(command) => contexts::run(command, global, environment).await,
        Command::Man(args) => man(args.dir.as_deref()),
        Command::Help(args) => help(&args.words),
        Command::Openapi => ops::openapi(),
        Command::Doctor => doctor::doctor(global).await,
        Command::Completions { shell } => ops::completions(*shell),
        Command::Healthcheck(args) if global.server.is_none() && has_certificate(environment) => {
            match client_of_itself(environment) {
                Ok(client) => ops::healthcheck(args, &patient(client, global), global).await,
                Err(failure) => Err(failure),
            }
        }
        command => match client(global) {
            Ok(client) => talk(command, &client, global, environment).await,
            Err(failure) => Err(failure),
        },
    };
    outcome.unwrap_or_else(|failure| report(command, failure))
}

/// Says why a command failed and returns its exit code.
pub fn report(command: &Command, failure: Failure) -> i32 {
    let of_job = match command {
        Command::Run(_) => true,
        Command::Submit(args) => args.wait,
        Command::Wait(args) => args.ids.ids.len() == 1,
        _ => false,
    };
    if of_job { failure.of_pass_through() } else { failure }.report()
}

/// The client of the server that was named, or of the usual one.
pub fn client(global: &Global) -> Result<Client, Failure> {
    let token = match &global.token {
        Some(token) => Some(check_token(token, "CALLBOARD_TOKEN")).transpose(),
        None => global.token_file.as_deref().map(read_token).transpose(),
    };
    // A token that was said itself has no file, and the settings then name none.
    let open = global.token_file.as_deref().filter(|path| !global.quiet && is_open_to_others(path));
    if let Some(path) = open {
        let path = path.display();
        exit::say(&format!(
            "warning: others than its owner may read or change the token in {path}: chmod 600 {path}"
        ));
    }
    let token = token.map_err(|error| Failure::config(&error))?;
    let server = global.server.as_deref().unwrap_or(DEFAULT_SERVER);
    check_server(server).map_err(|why| match &global.server_origin {
        Some(origin @ (Origin::Context { .. } | Origin::File { .. })) => {
            Failure::new(CONFIG, format!("{origin}: server: {why}"))
        }
        _ => Failure::new(USAGE, why),
    })?;
    let identity = global.client_cert.clone().zip(global.client_key.clone());
    let files = TrustFiles {
        ca: global.ca_cert.clone(),
        identity: identity.map(|(cert, key)| Identity { cert, key }),
        skips_verify: global.insecure_skip_tls_verify,
    };
    let trust = Trust::to([server], &files).map_err(|error| Failure::new(CONFIG, error.to_string()))?;
    Ok(patient(Client::believing(server, token, trust), global))
}

/// Whether the node beside which this command is run speaks TLS, as its own health check in a container is told.
fn has_certificate(environment: &Environment) -> bool {
    environment.get("CALLBOARD_TLS_CERT").is_some()
}

/// The client of that node. It shows no token, and so believes whoever answers.
fn client_of_itself(environment: &Environment) -> Result<Client, Failure> {
    let file = |name| environment.get(name).map(PathBuf::from);
    let identity = file("CALLBOARD_TLS_CERT").zip(file("CALLBOARD_TLS_KEY"));
    let identity = identity.map(|(cert, key)| Identity { cert, key });
    let server = DEFAULT_SERVER.replacen("http:", "https:", 1);
    let files = TrustFiles { ca: None, identity, skips_verify: true };
    let trust = Trust::to([server.as_str()], &files);
    Ok(Client::believing(&server, None, trust.map_err(|error| Failure::new(CONFIG, error.to_string()))?))
}

/// The client, as patient as was said.
pub fn patient(client: Client, global: &Global) -> Client {
    match global.request_timeout {
        Some(ms) => client.patient_for(Duration::from_millis(ms)),
        None => client,
    }
}

async fn talk(command: &Command, client: &Client, global: &Global, environment: &Environment) -> Outcome {
    match command {
        Command::Submit(args) => submit(args, client, global, environment).await,
        Command::List(args) => list(args, client, global).await,
        Command::Show(ids) => {
            let shown = each(client, &ids.ids, async |id| client.job(id, 0).await).await?;
            let colours = global.looks.colours;
            print_jobs(&shown.done, shown.asked > 1, global, |job| table::job(job, colours))?;
            Ok(shown.code)
        }
        Command::Logs(args) => logs(args, client, global).await,
        Command::Artifacts(args) => artifacts(args, client, global).await,
        Command::Wait(args) => wait(args, client, global, environment).await,
        Command::Cancel(args) => cancel(args, client, global).await,
        Command::Retry(ids) => retry(ids, client, global).await,
        Command::Delete(ids) => delete(ids, client, global).await,
        Command::History(args) => history(args, client, global).await,
        Command::Stats(args) => stats(args, client, global, environment).await,
        Command::Events(args) => events(args, client, global).await,
        Command::Prune(args) => prune(args, client, global).await,
        Command::Version => version(client, global).await,
        Command::Queue(verb) => ops::queue(*verb, client, global).await,
        Command::Nodes(verb) => nodes::nodes(verb, client, global).await,
        Command::Token(verb) => token::token(verb, client, global).await,
        Command::Healthcheck(args) => ops::healthcheck(args, client, global).await,
        Command::Api(args) => api(args, client, global).await,
        Command::Run(_)
        | Command::Config(_)
        | Command::Context(_)
        | Command::Man(_)
        | Command::Help(_)
        | Command::Openapi
        | Command::Doctor
        | Command::Completions { .. }
        | Command::Serve(_)
        | Command::Runner(_)
        | Command::Demo(_)
        | Command::Bench(_) => Ok(USAGE),
    }
}

/// Writes text and a line end on standard output. A reader that has gone away is no failure; one that cannot take it is.
pub fn print(text: &str) -> Result<(), Failure> {
    put(&format!("{text}\n"))
}

/// Writes text as it is on standard output. A reader that has gone away is no failure; one that cannot take it is.
pub fn put(text: &str) -> Result<(), Failure> {
    heard(text).map(drop)
}

/// The same, and whether there is still a reader.
pub fn heard(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    // Flushed here: what is written at the end of the process tells nobody that it failed.
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::unwritten("standard output", &error)),
    }
}

/// Writes one JSON value on a line of standard output.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    put(&render::json_line(value)?)
}

/// Rows in the form that was asked for. `several` says whether there could be more than one.
pub fn print_rows<R: Serialize>(
    rows: &[R],
    columns: &[Column<R>],
    several: bool,
    global: &Global,
) -> Result<(), Failure> {
    put(&render::rows(rows, columns, several, &global.looks)?)
}

/// Jobs in the form that was asked for; each as this text where none was.
pub fn print_jobs(
    jobs: &[JobBody],
    several: bool,
    global: &Global,
    text: impl Fn(&JobBody) -> String,
) -> Result<(), Failure> {
    if !global.looks.usual() {
        return print_rows(jobs, table::JOBS, several, global);
    }
    put(&jobs.iter().map(|job| text(job) + "\n").collect::<String>())
}

async fn list(args: &ListArgs, client: &Client, global: &Global) -> Outcome {
    let mut query = format!("limit={}", args.limit);
    for (name, value) in [("status", &args.status), ("name", &args.name), ("cursor", &args.cursor)] {
        if let Some(value) = value {
            query += &format!("&{name}={}", encode(value));
        }
    }
    let page = client.list(&query).await?;
    print_rows(&page.items, table::JOBS, true, global)?;
    // Also when only ids were asked for: they are not all, and nothing else would tell.
    if let Some(cursor) = page.next_cursor {
        exit::say(&format!("{} shown, more: --cursor {cursor}", page.items.len()));
    }
    Ok(0)
}

/// Waits for each job. The time runs for all of them together.
async fn wait(args: &WaitArgs, client: &Client, global: &Global, environment: &Environment) -> Outcome {
    let progress = Progress::new(!args.no_progress && !global.quiet, environment);
    let began = clock::moment();
    let waited = each(client, &args.ids.ids, async |id| {
        let left = args.timeout.map(|limit| limit.saturating_sub(began.elapsed_ms()));
        progress.during(client, id, client.until_over(id, left)).await
    });
    let waited = waited.await?;
    let bare_ids = global.looks.form == OutputForm::Name;
    // An id alone says that its job is over.
    let shown: Vec<_> = waited.done.iter().filter(|job| is_over(job) || !bare_ids).cloned().collect();
    print_jobs(&shown, waited.asked > 1, global, |job| format!("{} {}", plain(&job.id), plain(&job.status)))?;
    let late = |job: &JobBody| {
        Failure::new(WAIT_TIMED_OUT, format!("job {} is still {} after the time", job.id, job.status))
    };
    if let ([job], 1) = (waited.done.as_slice(), waited.asked) {
        return if is_over(job) { Ok(exit::of_job(job)) } else { Err(late(job)) };
    }
    let late = waited.done.iter().filter(|job| !is_over(job)).map(|job| late(job).report());
    let code = late.fold(waited.code, i32::max);
    Ok(code.max(i32::from(!waited.done.iter().all(|job| job.status == "completed"))))
}

async fn cancel(args: &CancelArgs, client: &Client, global: &Global) -> Outcome {
    let body = CancelBody { grace_ms: args.grace, note: args.note.clone() };
    let several = args.ids.ids.len() > 1;
    let tried = each(client, &args.ids.ids, async |id| match client.act(id, "cancel", &body).await {
        Ok(job) => Ok(Some(job)),
        // Of several jobs some may well have ended meanwhile.
        Err(failure) if several && failure.code == CONFLICT => match client.job(id, 0).await {
            Ok(job) if is_over(&job) => Ok(None),
            _ => Err(failure),
        },
        Err(failure) => Err(failure),
    });
    let tried = tried.await?;
    let cancelled: Vec<_> = tried.done.iter().flatten().cloned().collect();
    if !global.looks.usual() {
        print_rows(&cancelled, table::JOBS, several, global)?;
        return Ok(tried.code);
    }
    let ended = tried.done.len() - cancelled.len();
    let ended = if ended > 0 { format!(" ({ended} already finished)") } else { String::new() };
    print(&format!("Cancelled {} of {} jobs{ended}", cancelled.len(), tried.asked))?;
    Ok(tried.code)
}

async fn retry(ids: &Ids, client: &Client, global: &Global) -> Outcome {
    let made = each(client, &ids.ids, async |id| client.act(id, "retry", &NoBody {}).await).await?;
    print_jobs(&made.done, made.asked > 1, global, |job| {
        format!("{} repeats {}", plain(&job.id), plain(job.retry_of.as_deref().unwrap_or_default()))
    })?;
    Ok(made.code)
}

/// What is said of a job that was forgotten.
#[derive(Serialize)]
struct Deleted {
    id: String,
    deleted: bool,
}

const DELETED: &[Column<Deleted>] = &[
    Column::new("id", "ID", |gone: &Deleted| Cell::Text(gone.id.clone())).id(),
    Column::new("deleted", "DELETED", |gone: &Deleted| Cell::Flag(gone.deleted)),
];

async fn delete(ids: &Ids, client: &Client, global: &Global) -> Outcome {
    let forgotten = each(client, &ids.ids, async |id| {
        // What is forgotten is told by its whole id, also when only the beginning was written.
        let job = client.job(id, 0).await?;
        client.delete(&job.id).await.map(|()| Deleted { id: job.id, deleted: true })
    });
    let forgotten = forgotten.await?;
    if global.looks.usual() {
        print(&format!("Deleted {} of {} jobs", forgotten.done.len(), forgotten.asked))?;
    } else {
        print_rows(&forgotten.done, DELETED, forgotten.asked > 1, global)?;
    }
    Ok(forgotten.code)
}

async fn version(client: &Client, global: &Global) -> Outcome {
    let own = env!("CARGO_PKG_VERSION");
    if global.quiet && !global.json {
        print(own)?;
        return Ok(0);
    }
    let server: Option<VersionBody> = client.version().await.ok();
    if global.json {
        print_json(&serde_json::json!({ "client": own, "server": server }))?;
        return Ok(0);
    }
    let server = server.map_or_else(|| "no answer".into(), |server| plain(&server.version));
    print(&format!("callboard {own} (server: {server})"))?;
    Ok(0)
}
