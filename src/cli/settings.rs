//! `config`: which settings hold and where they come from, what is wrong with a file of them, where it is.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::args::{ConfigCommand, ConfigShowArgs, Global, Whose};
use super::commands::{print, print_json, put};
use super::exit::{self, CONFIG, Failure};
use super::render::json_line;
use super::style::plain;
use crate::config::{
    ClientConfig, Environment, FileConfig, Mistake, NodeConfig, Place, Role, Setting, client_settings,
    mistakes, node_settings, parse_file, text_at, unknown_context,
};

/// Does what is asked of the settings. Returns the exit code.
pub fn run(command: &ConfigCommand, global: &Global, environment: &Environment) -> Result<i32, Failure> {
    match command {
        ConfigCommand::Show(args) => show(args, global, environment),
        ConfigCommand::Check { file } => check(file.as_deref(), global, environment),
        ConfigCommand::Path => path(global, environment),
    }
}

fn show(args: &ConfigShowArgs, global: &Global, environment: &Environment) -> Result<i32, Failure> {
    let node = |role| {
        let mut flags = FileConfig::default();
        flags.server.token_file.clone_from(&global.token_file);
        node_settings(role, flags, global.config.clone(), environment)
    };
    let settings = match args.whose {
        Whose::Client => {
            ClientConfig::load(global.client_flags(), environment).map(|config| client_settings(&config))
        }
        Whose::Serve => node(Role::Coordinator),
        Whose::Runner => node(Role::Runner),
    };
    let settings = settings.map_err(|error| Failure::config(&error))?;
    if global.json {
        print_json(&object(&settings, args.origin))?;
    } else {
        put(&text(&settings, args.origin)?)?;
    }
    Ok(0)
}

/// The settings as a file would have them, with what is not set as a remark.
fn text(settings: &[Setting], origins: bool) -> Result<String, Failure> {
    let mut text = String::new();
    let mut section = "";
    for setting in settings {
        if setting.section != section {
            section = setting.section;
            let space = if text.is_empty() { "" } else { "\n" };
            text += &format!("{space}[{section}]\n");
        }
        let origin =
            if origins { format!("  # {}", plain(&setting.origin.to_string())) } else { String::new() };
        text += &match &setting.value {
            _ if setting.remark.is_some() => {
                format!("# {}{origin}\n", setting.remark.as_deref().unwrap_or_default())
            }
            Value::Null => format!("# {} is not set{origin}\n", setting.key),
            value => format!("{} = {}{origin}\n", setting.key, json_line(value)?.trim_end()),
        };
    }
    Ok(text)
}

/// The settings by section and key; with origins each is an object of both.
fn object(settings: &[Setting], origins: bool) -> Value {
    let mut whole = Map::new();
    for setting in settings {
        let value = if origins {
            json!({ "value": setting.value, "origin": setting.origin.to_string() })
        } else {
            setting.value.clone()
        };
        let place = match setting.section {
            "" => &mut whole,
            section => match whole.entry(section).or_insert_with(|| json!({})) {
                Value::Object(section) => section,
                _ => continue,
            },
        };
        place.insert(setting.key.to_owned(), value);
    }
    Value::Object(whole)
}

/// What `config check` found.
#[derive(Serialize)]
struct Checked {
    file: PathBuf,
    mistakes: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    line: Option<usize>,
    key: Option<String>,
    what: String,
}

impl From<Mistake> for Found {
    fn from(mistake: Mistake) -> Self {
        Self { line: Some(mistake.line), key: mistake.key, what: mistake.what }
    }
}

fn check(named: Option<&Path>, global: &Global, environment: &Environment) -> Result<i32, Failure> {
    let place = Place::of(named.or(global.config.as_deref()), environment);
    let text = text_at(&place).map_err(|error| Failure::config(&error))?;
    let (Some(text), Some(path)) = (text, place.path()) else {
        return Err(nowhere(&place));
    };
    let mut found: Vec<Found> = mistakes(&text).into_iter().map(Found::from).collect();
    if found.is_empty() {
        found.extend(together(&text, path, environment).map(|what| Found { line: None, key: None, what }));
    }
    let checked = Checked { file: path.to_owned(), mistakes: found };
    let shown = path.display();
    for Found { line, key, what } in &checked.mistakes {
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        let key = key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default();
        exit::say(&format!("{shown}{line}: {key}{what}"));
    }
    let code = if checked.mistakes.is_empty() { 0 } else { CONFIG };
    if global.json {
        print_json(&checked)?;
    } else if code == 0 && !global.quiet {
        print(&plain(&format!("{shown} is fine")))?;
    }
    if matches!(place, Place::Usual(_)) && !global.quiet && of_node(&text) {
        exit::say(&format!(
            "{shown} has settings of a node: `serve` reads them only with --config or CALLBOARD_CONFIG"
        ));
    }
    Ok(code)
}

fn of_node(text: &str) -> bool {
    parse_file(text, "").is_ok_and(|file| file.is_of_node())
}

/// What keys that are fine one by one have against each other.
fn together(text: &str, path: &Path, environment: &Environment) -> Option<String> {
    let file = match parse_file(text, &path.display().to_string()) {
        Ok(file) => file,
        Err(error) => return Some(error.to_string()),
    };
    let current = file.current_context.as_deref().filter(|name| !file.contexts.contains_key(*name));
    if let Some(name) = current {
        return Some(unknown_context(name, &file, Some(path), " (current_context)").to_string());
    }
    if !file.is_of_node() {
        return None;
    }
    // As `serve` would have it, this file and the environment together.
    let flags = FileConfig::default();
    NodeConfig::load(Role::Coordinator, flags, Some(path.to_owned()), environment)
        .err()
        .map(|e| e.to_string())
}

fn path(global: &Global, environment: &Environment) -> Result<i32, Failure> {
    let place = Place::of(global.config.as_deref(), environment);
    let Some(path) = place.path() else { return Err(nowhere(&place)) };
    let shown = path.display().to_string();
    if global.json {
        print_json(&json!({ "path": shown, "exists": path.exists() }))?;
    } else {
        print(&plain(&shown))?;
    }
    Ok(0)
}

/// There is no file.
pub fn nowhere(place: &Place) -> Failure {
    let why = match place.path() {
        Some(path) => {
            format!("{} is not there: `callboard context set NAME --server URL` makes it", path.display())
        }
        None => {
            "there is no place for a file of settings: set CALLBOARD_CONFIG, XDG_CONFIG_HOME or HOME".into()
        }
    };
    Failure::new(CONFIG, why)
}
