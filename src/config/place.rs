//! Where the file of settings is: what was named, or the usual place of the user. It refuses to know what is in it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{ConfigError, Environment, FileConfig, file};

/// Where the file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Somebody named it, so it must be there.
    Named(PathBuf),
    /// The usual one of this user, which need not be there.
    Usual(PathBuf),
    /// This user has no folder for one.
    Nowhere,
}

impl Place {
    /// The place: the flag, `CALLBOARD_CONFIG`, `$XDG_CONFIG_HOME/callboard/config.toml`,
    /// `~/.config/callboard/config.toml`.
    pub fn of(flag: Option<&Path>, environment: &Environment) -> Self {
        let named = flag.or_else(|| environment.get("CALLBOARD_CONFIG").map(Path::new));
        if let Some(path) = named {
            return Self::Named(path.to_owned());
        }
        let absolute = |name| environment.get(name).map(Path::new).filter(|path| path.is_absolute());
        let folder = absolute("XDG_CONFIG_HOME").map(Path::to_owned);
        let folder = folder.or_else(|| absolute("HOME").map(|home| home.join(".config")));
        folder.map_or(Self::Nowhere, |folder| Self::Usual(folder.join("callboard/config.toml")))
    }

    /// Its path, when there is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Named(path) | Self::Usual(path) => Some(path),
            Self::Nowhere => None,
        }
    }
}

/// The file's settings; none when there is no file and nobody named one.
///
/// # Errors
/// When it cannot be read or understood.
pub fn read_at(place: &Place) -> Result<Option<FileConfig>, ConfigError> {
    match text_at(place)? {
        Some(text) => file::parse(&text, &path_text(place)).map(Some),
        None => Ok(None),
    }
}

/// The file's text; none when there is no file and nobody named one.
///
/// # Errors
/// When it cannot be read.
pub fn text_at(place: &Place) -> Result<Option<String>, ConfigError> {
    match place {
        Place::Nowhere => Ok(None),
        Place::Named(path) => file::text(path).map(Some),
        Place::Usual(path) => match std::fs::metadata(path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            _ => file::text(path).map(Some),
        },
    }
}

fn path_text(place: &Place) -> String {
    place.path().map(|path| path.display().to_string()).unwrap_or_default()
}
