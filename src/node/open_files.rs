//! How many files the node may have open: the limit is raised as far as the system lets us, and whether that is enough
//! is reckoned here. What opens them is not known here but for what each costs.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::ServerSettings;

/// Files of a slot: the lifeline of its keeper, the keeper's process, and room for reading its output.
const PER_SLOT: u64 = 4;
/// Files of everything else: the database and its readers, listeners, the threads' own.
const FIXED: u64 = 64;

/// The limits before and after they were raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// The soft limit that this process was started with, for its jobs; none means no limit.
    pub given: Option<u64>,
    /// What it may have open now; none means no limit.
    pub now: Option<u64>,
}

/// Raises the soft limit of this process to the hard one.
pub fn raise() -> OpenFiles {
    let Rlimit { current: given, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    if let Err(error) = &raised {
        log::warn!("the limit on open files cannot be raised: {error}");
    }
    OpenFiles { given, now: if raised.is_ok() { maximum } else { given } }
}

impl OpenFiles {
    /// What to tell the operator when the settings may need more files than may be open.
    pub fn shortage(self, server: &ServerSettings) -> Option<String> {
        let needed = server.max_connections as u64 + server.slots as u64 * PER_SLOT + FIXED;
        let now = self.now.filter(|now| *now < needed)?;
        Some(format!(
            "only {now} files may be open, but max_connections = {} with slots = {} may need {needed}: raise the hard \
             limit (ulimit -Hn, LimitNOFILE), or lower max_connections",
            server.max_connections, server.slots
        ))
    }
}
