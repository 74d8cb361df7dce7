//! Who jobs run as. It reads the machine's user list and decides nothing about rights.

use callboard_actors::exec::RunAs;

use crate::config::{ConfigError, JobUser};

/// The user of jobs when a server runs as root and nothing is configured: `nobody`.
const NOBODY: RunAs = RunAs { uid: 65534, gid: 65534 };

/// The user to run jobs as; none means the node's own.
///
/// # Errors
/// [`ConfigError`] for an unknown user, or when the node may not become another.
pub fn resolve(configured: Option<&JobUser>) -> Result<Option<RunAs>, ConfigError> {
    let own = rustix::process::getuid().as_raw();
    let wanted = match configured {
        None => return Ok((own == 0).then_some(NOBODY)),
        Some(JobUser::Ids { uid, gid }) => RunAs { uid: *uid, gid: gid.unwrap_or(*uid) },
        Some(JobUser::Name(name)) => named(name)?,
    };
    match (own, wanted.uid) {
        (0, 0) => Ok(None),
        (0, _) => Ok(Some(wanted)),
        (own, uid) if own == uid => Ok(None),
        _ => Err(ConfigError::Together("runner.user needs a server that runs as root".into())),
    }
}

fn named(name: &str) -> Result<RunAs, ConfigError> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found =
        users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name);
    let ids = found.and_then(|fields| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)));
    match ids {
        Some((uid, gid)) => Ok(RunAs { uid, gid }),
        None => Err(ConfigError::Together(format!("runner.user: this machine has no user `{name}`"))),
    }
}
