//! The settings of a client: flag, then `CALLBOARD_*`, then context, then `[client]` of the file, then default, each with
//! where it comes from. It refuses to know what a context or a setting is used for.

use std::path::{Path, PathBuf};

use super::place::{Place, read_at};
use super::{ClientSection, ColorWhen, ConfigError, Environment, FileConfig, Origin, OutputForm, Sourced};

/// Where clients look for a server when nobody names one.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8000";
/// Longest silence of a server that is not asked to wait, when nobody says otherwise, in milliseconds.
const DEFAULT_REQUEST_TIMEOUT_MS: u64 = 30_000;
/// Longest silence that may be allowed, in milliseconds.
pub const MAX_REQUEST_TIMEOUT_MS: u64 = 24 * 3_600_000;
/// Longest name of a context, in characters.
const MAX_CONTEXT_CHARS: usize = 64;

/// What a client was told on its command line.
#[derive(Clone, Debug, Default)]
pub struct ClientFlags {
    /// The settings.
    pub said: ClientSection,
    /// The context.
    pub context: Option<String>,
    /// The file.
    pub file: Option<PathBuf>,
}

/// Everything that a client is told, and by whom.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// The context, when there is one.
    pub context: Option<Sourced<String>>,
    /// The server to talk to.
    pub server: Sourced<String>,
    /// The token to show to it, when it was said itself.
    pub token: Option<Sourced<String>>,
    /// File of the token to show to it; none when the token was said itself.
    pub token_file: Sourced<Option<PathBuf>>,
    /// Whom it believes, and what it shows, where a server is with TLS.
    pub tls: ClientTls,
    /// The form of what is printed.
    pub output: Sourced<OutputForm>,
    /// When there is colour.
    pub color: Sourced<ColorWhen>,
    /// Longest silence of a server that is not asked to wait, in milliseconds.
    pub request_timeout_ms: Sourced<u64>,
}

/// Files for servers with TLS.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// Authorities that are believed, and no others.
    pub ca_cert: Sourced<Option<PathBuf>>,
    /// What is shown to a server that asks for a certificate.
    pub client_cert: Sourced<Option<PathBuf>>,
    /// The key of that.
    pub client_key: Sourced<Option<PathBuf>>,
}

impl ClientConfig {
    /// Assembles the settings.
    ///
    /// # Errors
    /// The first thing that is not understood, with where it stands.
    pub fn load(flags: ClientFlags, environment: &Environment) -> Result<Self, ConfigError> {
        let place = Place::of(flags.file.as_deref(), environment);
        let file = read_at(&place)?;
        Layers::of(flags, file, place.path(), environment)?.resolve(environment)
    }

    /// The settings of a command that asks no server: no file and no context.
    ///
    /// # Errors
    /// The first variable that is not understood.
    pub fn without_file(said: ClientSection, environment: &Environment) -> Result<Self, ConfigError> {
        let names = Names { context: String::new(), path: PathBuf::new() };
        Layers { layers: own_layers(said, environment)?, context: None, names, file: None }
            .resolve(environment)
    }
}

/// One layer and its name.
struct Layer {
    said: ClientSection,
    /// The token itself, which only a variable may hold: others can read a command line, and files are copied.
    token: Option<String>,
    origin: fn(&'static str, &'static str, &Names) -> Origin,
}

/// What is shown to a server.
enum Credential {
    Token(String),
    File(PathBuf),
}

impl Layer {
    fn credential(&self) -> Option<Credential> {
        let token = self.token.clone().map(Credential::Token);
        token.or_else(|| self.said.token_file.clone().map(Credential::File))
    }
}

/// What an origin is called by.
struct Names {
    context: String,
    path: PathBuf,
}

/// All layers, the strongest first.
struct Layers {
    layers: Vec<Layer>,
    context: Option<Sourced<String>>,
    names: Names,
    file: Option<PathBuf>,
}

impl Layers {
    fn of(
        flags: ClientFlags,
        file: Option<FileConfig>,
        path: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let read = file.as_ref().and(path).map(Path::to_owned);
        let file = file.unwrap_or_default();
        let context = chosen(flags.context, &file, path, environment);
        let beside = path.and_then(Path::parent);
        let by_context = match &context {
            Some(context) => known(context, &file, path)?.beside(beside),
            None => ClientSection::default(),
        };
        let said_so = context.as_ref().is_some_and(|context| matches!(context.origin, Origin::Flag(_)));
        let mut layers = own_layers(flags.said, environment)?;
        let by_file = |_, _, names: &Names| Origin::File { path: names.path.clone() };
        layers.push(Layer { said: file.client.clone().beside(beside), token: None, origin: by_file });
        // A context that was named on the command line was said later than the environment.
        let at = if said_so { 1 } else { 2 };
        let origin =
            |_, _, names: &Names| Origin::Context { name: names.context.clone(), path: names.path.clone() };
        layers.insert(at, Layer { said: by_context, token: None, origin });
        let name = context.as_ref().map(|context| context.value.clone()).unwrap_or_default();
        let names = Names { context: name, path: path.map(Path::to_owned).unwrap_or_default() };
        Ok(Self { layers, context, names, file: read })
    }

    fn resolve(self, environment: &Environment) -> Result<ClientConfig, ConfigError> {
        let server = self.pick("--server", "CALLBOARD_SERVER", |layer| layer.said.server.clone());
        let server = server.or_default(|| DEFAULT_SERVER.to_owned());
        // Before anything shows it. A flag was looked at before.
        check_no_password(&server.value)
            .map_err(|why| ConfigError::Together(format!("server ({}): {why}", server.origin)))?;
        let shown = self.pick("--token-file", "CALLBOARD_TOKEN_FILE", |layer| {
            // A token that stands beside a server is for that server; no other one is shown it.
            let own = layer.said.server.as_deref();
            layer.credential().filter(|_| own.is_none_or(|own| same_server(own, &server.value)))
        });
        let (token, token_file) = match shown.value {
            Some(Credential::Token(value)) => {
                let token = Sourced { value, origin: Origin::Variable("CALLBOARD_TOKEN") };
                (Some(token), Sourced { value: None, origin: Origin::Default })
            }
            Some(Credential::File(path)) => (None, Sourced { value: Some(path), origin: shown.origin }),
            None => (None, Sourced { value: None, origin: Origin::Default }),
        };
        let output = self.pick("--output", "CALLBOARD_OUTPUT", |layer| layer.said.output);
        let color = self.pick("--color", "CALLBOARD_COLOR", |layer| layer.said.color);
        let timeout =
            self.pick("--request-timeout", "CALLBOARD_REQUEST_TIMEOUT", |layer| layer.said.request_timeout);
        let timeout = timeout.map(|millis| millis.0).or_default(|| DEFAULT_REQUEST_TIMEOUT_MS);
        if !(1..=MAX_REQUEST_TIMEOUT_MS).contains(&timeout.value) {
            return Err(ConfigError::Together(format!(
                "request_timeout ({}) must be more than 0 and at most 24h",
                timeout.origin
            )));
        }
        let tls = self.tls(&server.value)?;
        Ok(ClientConfig {
            tls,
            file: self.file,
            context: self.context,
            server,
            token,
            token_file,
            output: output.or_default(OutputForm::default),
            color: by_convention(color.or_default(ColorWhen::default), environment),
            request_timeout_ms: timeout,
        })
    }

    /// The files, each for the servers that it was meant for: one that stands beside a server is for that one.
    fn tls(&self, server: &str) -> Result<ClientTls, ConfigError> {
        let pick = |flag, variable, of: fn(&ClientSection) -> &Option<PathBuf>| {
            self.pick(flag, variable, |layer| {
                let own = layer.said.server.as_deref();
                of(&layer.said).clone().filter(|_| own.is_none_or(|own| same_server(own, server)))
            })
        };
        let tls = ClientTls {
            ca_cert: pick("--ca-cert", "CALLBOARD_CA_CERT", |said| &said.ca_cert),
            client_cert: pick("--client-cert", "CALLBOARD_CLIENT_CERT", |said| &said.client_cert),
            client_key: pick("--client-key", "CALLBOARD_CLIENT_KEY", |said| &said.client_key),
        };
        if tls.client_cert.value.is_some() != tls.client_key.value.is_some() {
            let why =
                "a certificate and its key go together: say both client_cert and client_key, or neither";
            return Err(ConfigError::Together(why.into()));
        }
        Ok(tls)
    }

    /// What the strongest layer says that says something.
    fn pick<T>(
        &self,
        flag: &'static str,
        variable: &'static str,
        of: impl Fn(&Layer) -> Option<T>,
    ) -> Sourced<Option<T>> {
        let found = self.layers.iter().find_map(|layer| Some((of(layer)?, layer.origin)));
        match found {
            Some((value, origin)) => {
                Sourced { value: Some(value), origin: origin(flag, variable, &self.names) }
            }
            None => Sourced { value: None, origin: Origin::Default },
        }
    }
}

/// What flags and variables say.
fn own_layers(said: ClientSection, environment: &Environment) -> Result<Vec<Layer>, ConfigError> {
    let variables = ClientSection::from_environment(environment)?;
    let token = environment.get("CALLBOARD_TOKEN").map(str::to_owned);
    Ok(vec![
        Layer { said, token: None, origin: |flag, _, _| Origin::Flag(flag) },
        Layer { said: variables, token, origin: |_, variable, _| Origin::Variable(variable) },
    ])
}

/// The name of the context, and who named it.
fn chosen(
    flag: Option<String>,
    file: &FileConfig,
    path: Option<&Path>,
    environment: &Environment,
) -> Option<Sourced<String>> {
    let by_flag = flag.map(|value| Sourced { value, origin: Origin::Flag("--context") });
    let by_variable = || {
        let value = environment.get("CALLBOARD_CONTEXT")?.to_owned();
        Some(Sourced { value, origin: Origin::Variable("CALLBOARD_CONTEXT") })
    };
    let by_file = || {
        let value = file.current_context.clone()?;
        Some(Sourced { value, origin: Origin::File { path: path?.to_owned() } })
    };
    by_flag.or_else(by_variable).or_else(by_file)
}

fn known(
    context: &Sourced<String>,
    file: &FileConfig,
    path: Option<&Path>,
) -> Result<ClientSection, ConfigError> {
    let found = file.contexts.get(&context.value).cloned();
    found.ok_or_else(|| unknown_context(&context.value, file, path, &format!(" ({})", context.origin)))
}

/// The error for a context that there is not.
pub fn unknown_context(name: &str, file: &FileConfig, path: Option<&Path>, by: &str) -> ConfigError {
    let known: Vec<&str> = file.contexts.keys().map(String::as_str).collect();
    let known = match (known.as_slice(), path) {
        ([], Some(path)) => format!("{} has none", path.display()),
        ([], None) => "there is no file of settings".to_owned(),
        (known, _) => format!("known are {}", known.join(", ")),
    };
    ConfigError::Together(format!(
        "there is no context `{name}`{by}: {known}; `callboard context set NAME --server URL` makes one"
    ))
}

/// Why a context cannot be called so.
///
/// # Errors
/// What its name may be.
pub fn check_context_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let fine = (1..=MAX_CONTEXT_CHARS).contains(&name.len()) && name.chars().all(plain);
    if fine {
        Ok(())
    } else {
        Err(format!(
            "`{name}` is no name of a context: take 1 to {MAX_CONTEXT_CHARS} letters, digits, `-`, `_` and `.`"
        ))
    }
}

/// Why a server cannot be written so.
///
/// # Errors
/// How it is written.
pub fn check_server(url: &str) -> Result<(), String> {
    check_no_password(url)?;
    let scheme =
        |scheme: &str| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let is_named = |start: &str| scheme(start) && url.len() > start.len();
    let fine = url.bytes().all(|byte| byte.is_ascii_graphic());
    if (is_named("http://") || is_named("https://")) && fine {
        Ok(())
    } else {
        Err(format!("`{url}` is no server: write it as {DEFAULT_SERVER}"))
    }
}

/// Why a server with a user or a password in it is not taken. It is not repeated: it would stand in every message and log.
///
/// # Errors
/// What to do instead.
pub fn check_no_password(url: &str) -> Result<(), String> {
    if url.contains('@') {
        return Err(format!(
            "a server is written without user, password and `@`, as {DEFAULT_SERVER}: show a token with --token-file"
        ));
    }
    Ok(())
}

/// Whether two URLs name one server, as far as can be told without asking.
fn same_server(one: &str, other: &str) -> bool {
    let plain = |url: &str| url.trim_end_matches('/').to_ascii_lowercase();
    plain(one) == plain(other)
}

/// `NO_COLOR` and `CLICOLOR_FORCE` are said by the environment, and so come before a file.
fn by_convention(color: Sourced<ColorWhen>, environment: &Environment) -> Sourced<ColorWhen> {
    let by_file = matches!(color.origin, Origin::Context { .. } | Origin::File { .. });
    let forced = environment.get("CLICOLOR_FORCE").filter(|value| *value != "0");
    let variable = match (environment.get("NO_COLOR"), forced) {
        (Some(_), _) => "NO_COLOR",
        (None, Some(_)) => "CLICOLOR_FORCE",
        (None, None) => return color,
    };
    if by_file { Sourced { value: ColorWhen::Auto, origin: Origin::Variable(variable) } } else { color }
}

impl ClientSection {
    /// With paths that are written relative to the file's folder.
    fn beside(self, folder: Option<&Path>) -> Self {
        let whole = |path: Option<PathBuf>| match (path, folder) {
            (Some(path), Some(folder)) => Some(folder.join(path)),
            (path, _) => path,
        };
        Self {
            token_file: whole(self.token_file),
            ca_cert: whole(self.ca_cert),
            client_cert: whole(self.client_cert),
            client_key: whole(self.client_key),
            ..self
        }
    }
}
