//! What was not said on the command line is taken from the environment, and what it all comes to is settled here.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::super::exit::{Failure, USAGE};
use super::super::render::Looks;
use super::super::style;
use super::Global;
use crate::config::{Environment, OutputForm};

impl Global {
    /// The form that a flag names.
    pub fn said_form(&self) -> Option<OutputForm> {
        self.output.or(self.json.then_some(OutputForm::Json))
    }

    /// Takes from the environment what was not said; a form only where the command has it among its `forms`. An empty variable is an unset one, as container tools pass it.
    ///
    /// # Errors
    /// A usage error when flags or variables do not fit together or are not understood.
    pub fn settled(self, forms: &[OutputForm], environment: &Environment) -> Result<Self, Failure> {
        let told = |name| environment.get(name).map(str::to_owned);
        let looks = self.looks_of(forms, environment)?;
        // What was said wins; of the environment, the token itself.
        let token = told("CALLBOARD_TOKEN").filter(|_| self.token_file.is_none());
        Ok(Self {
            server: self.server.or_else(|| told("CALLBOARD_SERVER")),
            token_file: self
                .token_file
                .or_else(|| told("CALLBOARD_TOKEN_FILE").map(PathBuf::from).filter(|_| token.is_none())),
            token,
            json: looks.form == OutputForm::Json,
            looks,
            ..self
        })
    }

    fn looks_of(&self, forms: &[OutputForm], environment: &Environment) -> Result<Looks, Failure> {
        let variable = environment.get("CALLBOARD_OUTPUT").map(str::parse).transpose();
        let variable =
            variable.map_err(|why: String| Failure::new(USAGE, format!("CALLBOARD_OUTPUT: {why}")))?;
        // One that was not said for this command is for those that have it.
        let variable = variable.filter(|form| forms.contains(form));
        let quiet = self.quiet.then_some(OutputForm::Name).filter(|form| forms.contains(form));
        let form = self.said_form().or(quiet).or(variable).unwrap_or_default();
        let terminal = std::io::stdout().is_terminal();
        Ok(Looks {
            form,
            fields: self.fields.clone(),
            headers: !self.no_headers,
            utc: self.utc,
            colours: style::on_stdout(),
            terminal,
            width: terminal.then(|| width(environment)).flatten(),
            ..Looks::default()
        })
    }
}

/// Columns of the terminal: what the shell says, or the terminal itself.
fn width(environment: &Environment) -> Option<usize> {
    let said =
        environment.get("COLUMNS").and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
    said.or_else(|| terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0)))
}
