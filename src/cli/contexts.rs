//! `context`: servers by name, in the user's file of settings.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::{ContextCommand, Global};
use super::commands::{print_rows, put};
use super::exit::{CONFIG, Failure, USAGE};
use super::render::{Cell, Column};
use super::style::plain;
use crate::config::{
    ClientSection, Environment, FileConfig, Place, check_context_name, check_server, read_at, unknown_context,
};

mod edit;

use edit::{Edit, edit};

type Outcome = Result<i32, Failure>;

/// A context as it is shown.
#[derive(Serialize)]
struct Shown {
    name: String,
    current: bool,
    server: Option<String>,
    token_file: Option<String>,
    ca_cert: Option<String>,
    client_cert: Option<String>,
    client_key: Option<String>,
}

const CONTEXTS: &[Column<Shown>] = &[
    Column::new("name", "NAME", |context: &Shown| Cell::Text(context.name.clone())),
    Column::new("current", "CURRENT", |context: &Shown| Cell::Flag(context.current)),
    Column::new("server", "SERVER", |context: &Shown| Cell::text(context.server.as_deref())).flexible(),
    Column::new("token_file", "TOKEN-FILE", |context: &Shown| Cell::text(context.token_file.as_deref()))
        .flexible(),
    Column::new("ca_cert", "CA-CERT", |context: &Shown| Cell::text(context.ca_cert.as_deref())).wide(),
];

/// Does what is asked about contexts. Returns the exit code.
pub async fn run(command: &ContextCommand, global: &Global, environment: &Environment) -> Outcome {
    let book = Book::open(global, environment)?;
    match command {
        ContextCommand::List => print_rows(&book.all(), CONTEXTS, true, global)?,
        ContextCommand::Show { name } => show(name.as_deref(), &book, global)?,
        ContextCommand::Use { name } => {
            book.known(name)?;
            edit(&book.place, |file| file.use_context(name)).await?;
            said(name, &format!("Now using context {name}"), global, environment)?;
            book.warn_of_variable(name);
        }
        ContextCommand::Set { name } => set(name, &book, global, environment).await?,
        ContextCommand::Delete { name } => {
            let gone = book.shown(name, book.known(name)?);
            edit(&book.place, |file| file.delete(name)).await?;
            let left = if gone.current { "; no context is in use now" } else { "" };
            print_or(&[gone], &format!("Deleted context {name}{left}"), global)?;
        }
    }
    Ok(0)
}

/// The contexts that there are.
struct Book {
    place: Place,
    file: FileConfig,
    variable: Option<String>,
}

impl Book {
    fn open(global: &Global, environment: &Environment) -> Result<Self, Failure> {
        let mut place = Place::of(global.config.as_deref(), environment);
        // One that was named and is not there yet may be made by `set`.
        if let Place::Named(path) = &place
            && !path.exists()
        {
            place = Place::Usual(path.clone());
        }
        let file = read_at(&place).map_err(|error| Failure::config(&error))?.unwrap_or_default();
        Ok(Self { place, file, variable: environment.get("CALLBOARD_CONTEXT").map(str::to_owned) })
    }

    fn current(&self) -> Option<&str> {
        self.variable.as_deref().or(self.file.current_context.as_deref())
    }

    fn known(&self, name: &str) -> Result<&ClientSection, Failure> {
        self.file.contexts.get(name).ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> Failure {
        Failure::config(&unknown_context(name, &self.file, self.place.path(), ""))
    }

    fn shown(&self, name: &str, context: &ClientSection) -> Shown {
        let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        Shown {
            name: name.to_owned(),
            current: self.current() == Some(name),
            server: context.server.clone(),
            token_file: shown(&context.token_file),
            ca_cert: shown(&context.ca_cert),
            client_cert: shown(&context.client_cert),
            client_key: shown(&context.client_key),
        }
    }

    fn all(&self) -> Vec<Shown> {
        self.file.contexts.iter().map(|(name, context)| self.shown(name, context)).collect()
    }

    /// A variable that names another context goes on winning over the file.
    fn warn_of_variable(&self, name: &str) {
        if let Some(variable) = self.variable.as_deref().filter(|variable| *variable != name) {
            super::exit::say(&format!("CALLBOARD_CONTEXT is set to {variable} and goes before it: unset it"));
        }
    }
}

fn show(name: Option<&str>, book: &Book, global: &Global) -> Result<(), Failure> {
    let named = name.or(global.context.as_deref()).or_else(|| book.current());
    let nothing = || Failure::new(CONFIG, "no context is in use: `callboard context use NAME` changes that");
    let name = named.ok_or_else(nothing)?;
    let shown = book.shown(name, book.known(name)?);
    let line = |key: &str, value: Option<&str>| {
        value.map(|value| format!("\n{:<12}{}", format!("{key}:"), plain(value))).unwrap_or_default()
    };
    let current = if shown.current { "yes" } else { "no" };
    let text = format!(
        "{:<12}{}{}{}{}{}{}{}",
        "name:",
        plain(name),
        line("server", shown.server.as_deref()),
        line("token file", shown.token_file.as_deref()),
        line("CA", shown.ca_cert.as_deref()),
        line("certificate", shown.client_cert.as_deref()),
        line("key", shown.client_key.as_deref()),
        line("current", Some(current)),
    );
    print_or(&[shown], &text, global)
}

async fn set(name: &str, book: &Book, global: &Global, environment: &Environment) -> Result<(), Failure> {
    check_context_name(name).map_err(|why| Failure::new(USAGE, why))?;
    let server = global.server.as_deref();
    let files = [
        ("token_file", "--token-file", &global.token_file),
        ("ca_cert", "--ca-cert", &global.ca_cert),
        ("client_cert", "--client-cert", &global.client_cert),
        ("client_key", "--client-key", &global.client_key),
    ];
    if server.is_none() && files.iter().all(|(_, _, path)| path.is_none()) {
        let what = "say what the context is to have: --server URL, --token-file FILE, --ca-cert FILE";
        return Err(Failure::new(USAGE, what));
    }
    server.map_or(Ok(()), check_server).map_err(|why| Failure::new(USAGE, why))?;
    let mut pairs: Vec<_> = server.map(|server| ("server", server.to_owned())).into_iter().collect();
    for (key, flag, path) in files {
        pairs.extend(path.as_deref().map(|path| whole(flag, path)).transpose()?.map(|text| (key, text)));
    }
    edit(&book.place, |file| file.set_context(name, &pairs)).await?;
    said(name, &format!("Context {name} is set"), global, environment)
}

/// A path as it stands in a file: where it is must not depend on the folder that a later command is started in.
fn whole(flag: &str, path: &Path) -> Result<String, Failure> {
    let whole = std::path::absolute(path);
    let whole = whole.map_err(|error| Failure::new(1, format!("{}: {error}", path.display())))?;
    let text = whole.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::new(USAGE, format!("{flag}: its name must be UTF-8 to stand in a file")))
}

/// Says what was done, with the context as it is now.
fn said(name: &str, text: &str, global: &Global, environment: &Environment) -> Result<(), Failure> {
    let book = Book::open(global, environment)?;
    let shown = book.shown(name, book.known(name)?);
    let server = shown.server.as_deref().map(|server| format!(" ({server})")).unwrap_or_default();
    print_or(&[shown], &format!("{text}{server}"), global)
}

fn print_or(rows: &[Shown], text: &str, global: &Global) -> Result<(), Failure> {
    if global.looks.usual() {
        return put(&text.lines().map(|line| plain(line) + "\n").collect::<String>());
    }
    print_rows(rows, CONTEXTS, false, global)
}
