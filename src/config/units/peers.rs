//! What settings say of other machines: where they are, and labels. It refuses to know what is asked of them.

use std::str::FromStr;

use callboard_actors::model::requires::{MAX_LABEL_KEY_BYTES, MAX_LABEL_VALUE_BYTES, is_label};

/// Longest address of another machine, in bytes.
const MAX_URL_BYTES: usize = 1024;

/// Where another node is: scheme and authority, and a path below which its API is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerUrl(pub String);

impl FromStr for PeerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = text.trim_end_matches('/');
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let names_host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
        let is_plain = url.len() <= MAX_URL_BYTES
            && url.bytes().all(|byte| byte.is_ascii_graphic())
            && !url.contains(['?', '#', '@']);
        if names_host && is_plain {
            Ok(Self(url.to_owned()))
        } else {
            let shown: String = text.chars().take(100).collect();
            Err(format!(
                "`{shown}` is no address of another node: write http://HOST:PORT or https://HOST:PORT"
            ))
        }
    }
}

/// A label, `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(pub String, pub String);

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if is_label(key, value) => Ok(Self(key.into(), value.into())),
            _ => {
                let shown: String = text.chars().take(100).collect();
                Err(format!(
                    "`{shown}` is no label: write KEY=VALUE, at most {MAX_LABEL_KEY_BYTES} and {MAX_LABEL_VALUE_BYTES} letters, \
                     digits, dots, dashes, underscores and slashes"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host_and_no_secret() {
        assert_eq!("http://a:8080/".parse(), Ok(PeerUrl("http://a:8080".into())));
        assert!("http://[::1]:1/base".parse::<PeerUrl>().is_ok());
        assert_eq!("https://a:1".parse(), Ok(PeerUrl("https://a:1".into())));
        for wrong in [
            "",
            "a:8080",
            "http://",
            "http:///x",
            "https://",
            "ftp://a",
            "http://u:p@a",
            "http://a b",
            "http://a?x",
        ] {
            assert!(wrong.parse::<PeerUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_label_is_a_key_and_a_value_of_plain_characters() {
        assert_eq!("zone=eu/1".parse(), Ok(Label("zone".into(), "eu/1".into())));
        assert_eq!("gpu=".parse(), Ok(Label("gpu".into(), String::new())));
        for wrong in ["", "gpu", "=x", "a b=c", "a=b c", "a=b=c"] {
            assert!(wrong.parse::<Label>().is_err(), "{wrong}");
        }
    }
}
