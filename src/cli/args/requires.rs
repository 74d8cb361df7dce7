//! Flags that say which node a job runs on, and what becomes of it without one.

use std::collections::BTreeMap;

use clap::Args;

use crate::http::api::RequiresBody;

/// What a job requires of the node that runs it; until there is such a node it waits.
#[derive(Debug, Args)]
pub struct RequireArgs {
    /// A label that the node must have; may be repeated.
    #[arg(long = "require", value_parser = label, value_name = "KEY=VALUE")]
    pub require: Vec<(String, String)>,
    /// The one node that may run it, by name or id.
    #[arg(long, value_name = "NAME")]
    pub runner: Option<String>,
}

impl RequireArgs {
    /// As it is sent; none when nothing was said.
    pub fn body(&self) -> Option<RequiresBody> {
        let labels: BTreeMap<String, String> = self.require.iter().cloned().collect();
        let body = RequiresBody { labels, runner: self.runner.clone() };
        (body != RequiresBody::default()).then_some(body)
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, for example gpu=a100")?;
    Ok((key.into(), value.into()))
}

/// What becomes of a job when its node and the server lose each other.
#[derive(Debug, Args)]
pub struct LossArgs {
    /// What happens when the node is lost: requeue or never; the server's default unless said.
    #[arg(long, value_name = "POLICY")]
    pub on_lost: Option<String>,
    /// What its node does when it has had no answer from the server for too long: keep it running, or kill it, so that no
    /// two attempts run at once; the server's default unless said.
    #[arg(long, value_name = "POLICY")]
    pub on_disconnect: Option<String>,
}
