//! What was not said on the command line is taken from the environment, the context and the file, and what it all comes
//! to is settled here.

use std::io::IsTerminal;

use super::super::exit::{Failure, USAGE};
use super::super::render::Looks;
use super::super::style;
use super::Global;
use crate::config::{
    ClientConfig, ClientFlags, ClientSection, Environment, Millis, Origin, OutputForm, check_no_password,
};

impl Global {
    /// The form that a flag names.
    pub fn said_form(&self) -> Option<OutputForm> {
        self.output.or(self.json.then_some(OutputForm::Json))
    }

    /// What flags say about a client's settings.
    pub fn client_flags(&self) -> ClientFlags {
        ClientFlags {
            said: ClientSection {
                server: self.server.clone(),
                token_file: self.token_file.clone(),
                ca_cert: self.ca_cert.clone(),
                client_cert: self.client_cert.clone(),
                client_key: self.client_key.clone(),
                output: self.said_form(),
                color: self.color,
                request_timeout: self.request_timeout.map(Millis),
            },
            context: self.context.clone(),
            file: self.config.clone(),
        }
    }

    /// Takes from the environment, the context and the file what was not said; a form only where the command has it
    /// among its `forms`. An empty variable is an unset one, as container tools pass it.
    ///
    /// # Errors
    /// When a variable or a file has something that is not understood, or there is no such context.
    pub fn settled(self, forms: &[OutputForm], environment: &Environment) -> Result<Self, Failure> {
        if let Some(server) = &self.server {
            check_no_password(server).map_err(|why| Failure::new(USAGE, format!("--server: {why}")))?;
        }
        let config = ClientConfig::load(self.client_flags(), environment);
        let config = config.map_err(|error| Failure::config(&error))?;
        let looks = self.looks_of(&config, forms, environment);
        let named = config.server.origin != Origin::Default;
        Ok(Self {
            server: named.then_some(config.server.value),
            server_origin: named.then_some(config.server.origin),
            token: config.token.map(|token| token.value),
            token_file: config.token_file.value,
            ca_cert: config.tls.ca_cert.value,
            client_cert: config.tls.client_cert.value,
            client_key: config.tls.client_key.value,
            request_timeout: Some(config.request_timeout_ms.value),
            json: looks.form == OutputForm::Json,
            looks,
            ..self
        })
    }

    /// The same for a command that asks no server, and that a file with mistakes must not keep from its work: flags
    /// and environment settle how it prints, and everything else is left as it was said.
    ///
    /// # Errors
    /// When a variable is not understood.
    pub fn settled_without_file(
        self,
        forms: &[OutputForm],
        environment: &Environment,
    ) -> Result<Self, Failure> {
        let said = ClientSection { output: self.said_form(), color: self.color, ..ClientSection::default() };
        let config = ClientConfig::without_file(said, environment);
        let config = config.map_err(|error| Failure::config(&error))?;
        let looks = self.looks_of(&config, forms, environment);
        Ok(Self { json: looks.form == OutputForm::Json, looks, ..self })
    }

    fn looks_of(&self, config: &ClientConfig, forms: &[OutputForm], environment: &Environment) -> Looks {
        style::choose(config.color.value);
        // One that was not said for this command is for those that have it.
        let usable = |form: &OutputForm| forms.contains(form);
        let quiet = self.quiet.then_some(OutputForm::Name).filter(usable);
        let form = self.said_form().or(quiet).or_else(|| Some(config.output.value).filter(usable));
        let terminal = std::io::stdout().is_terminal();
        Looks {
            form: form.unwrap_or_default(),
            fields: self.fields.clone(),
            headers: !self.no_headers,
            utc: self.utc,
            colours: style::on_stdout(),
            terminal,
            width: terminal.then(|| width(environment)).flatten(),
            ..Looks::default()
        }
    }
}

/// Columns of the terminal: what the shell says, or the terminal itself.
fn width(environment: &Environment) -> Option<usize> {
    let said =
        environment.get("COLUMNS").and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
    said.or_else(|| terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0)))
}
