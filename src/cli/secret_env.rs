//! `--secret-env`: secret variables out of this process's environment or out of files, never out of its arguments.

use std::io::Read;

use callboard_actors::model::SecretEnv;
use callboard_actors::model::limits::MAX_ENV_BYTES;

use super::exit::{Failure, USAGE};
use crate::config::Environment;

/// The variables that these flags name.
///
/// # Errors
/// A usage failure that never shows a value.
pub fn read(flags: &[String], environment: &Environment) -> Result<SecretEnv, Failure> {
    let mut values = SecretEnv::default();
    for flag in flags {
        let (name, value) = match flag.split_once('=') {
            None => (flag.as_str(), of_environment(flag, environment)?),
            Some((name, source)) => match source.strip_prefix('@') {
                Some(path) => (name, of_file(name, path)?),
                None => {
                    let why = "a value among the arguments can be read by every user of this machine: write \
                               --secret-env NAME to take it from the environment, or NAME=@FILE to read it";
                    return Err(refuse(name, why));
                }
            },
        };
        if values.names().any(|known| known == name) {
            return Err(refuse(name, "it is given twice"));
        }
        values.insert(name, value);
    }
    Ok(values)
}

fn of_environment(name: &str, environment: &Environment) -> Result<String, Failure> {
    match environment.raw(name) {
        None => Err(refuse(name, "there is no such variable here")),
        Some(value) if value.is_empty() => Err(refuse(name, "the variable is empty here")),
        Some(value) => {
            let value = value.to_str().ok_or_else(|| refuse(name, "its value here is not UTF-8"))?;
            Ok(value.to_owned())
        }
    }
}

/// The text of a file, without the newline that editors put at its end.
fn of_file(name: &str, path: &str) -> Result<String, Failure> {
    let failed = |error: std::io::Error| refuse(name, &format!("{path} cannot be read: {error}"));
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_ENV_BYTES as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() > MAX_ENV_BYTES {
        return Err(refuse(name, &format!("{path} has more than {MAX_ENV_BYTES} bytes")));
    }
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    String::from_utf8(text).map_err(|_| refuse(name, &format!("{path} is not UTF-8")))
}

fn refuse(name: &str, why: &str) -> Failure {
    let shown: String = name.chars().take(40).collect();
    Failure::new(USAGE, format!("--secret-env {shown}: {why}"))
}
