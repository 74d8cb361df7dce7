//! `[client]` and each of `[contexts.NAME]`. It refuses to know defaults.

use std::path::PathBuf;

use serde::Deserialize;

use super::{ColorWhen, Millis, OutputForm, from_variable};
use crate::config::{ConfigError, Environment};

section! {
    /// `[client]` and each of `[contexts.NAME]`: what the commands that ask a server use.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
    pub struct ClientSection {
        /// The server to talk to.
        pub server: Option<String> = "CALLBOARD_SERVER",
        /// File that holds the token to show to it.
        pub token_file: Option<PathBuf> = "CALLBOARD_TOKEN_FILE",
        /// The form of what is printed.
        pub output: Option<OutputForm> = "CALLBOARD_OUTPUT",
        /// When there is colour.
        pub color: Option<ColorWhen> = "CALLBOARD_COLOR",
        /// Authorities that are believed of a server with TLS, and no others.
        pub ca_cert: Option<PathBuf> = "CALLBOARD_CA_CERT",
        /// Certificate that is shown to a server that asks for one.
        pub client_cert: Option<PathBuf> = "CALLBOARD_CLIENT_CERT",
        /// Its key.
        pub client_key: Option<PathBuf> = "CALLBOARD_CLIENT_KEY",
        /// Longest silence of a server that is not asked to wait.
        pub request_timeout: Option<Millis> = "CALLBOARD_REQUEST_TIMEOUT",
    }
}
