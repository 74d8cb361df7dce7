//! The environment of a job: a clean base, the job's own variables, and what tells it which job it is.
//! Nothing of the node's own environment is in it.

use std::collections::BTreeMap;

use crate::model::AttemptId;

/// Where programs are looked up when nothing else is said.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The base that every job of a node starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseEnv {
    /// `PATH`.
    pub path: String,
    /// `HOME`.
    pub home: String,
    /// `LANG`.
    pub lang: String,
    /// `USER`.
    pub user: String,
}

impl Default for BaseEnv {
    fn default() -> Self {
        Self { path: DEFAULT_PATH.into(), home: "/".into(), lang: "C.UTF-8".into(), user: "nobody".into() }
    }
}

/// Builds a job's whole environment. Later parts win: the base, the job's own, then `CALLBOARD_JOB_ID`,
/// `CALLBOARD_ATTEMPT` (counted from 1) and `CALLBOARD_EPOCH`.
pub fn job_env(
    base: &BaseEnv,
    own: &BTreeMap<String, String>,
    attempt: AttemptId,
    attempt_number: u32,
) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> =
        [("PATH", &base.path), ("HOME", &base.home), ("LANG", &base.lang), ("USER", &base.user)]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
    env.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    env.insert(JOB_ID.into(), attempt.job.to_string());
    env.insert("CALLBOARD_ATTEMPT".into(), attempt_number.to_string());
    env.insert(EPOCH.into(), attempt.epoch.to_string());
    env
}

/// Names the job; also how survivors of a dead keeper are found.
pub(crate) const JOB_ID: &str = "CALLBOARD_JOB_ID";
/// Names the attempt's epoch.
pub(crate) const EPOCH: &str = "CALLBOARD_EPOCH";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Epoch, JobId};

    #[test]
    fn a_job_may_change_the_base_but_not_who_it_is() {
        let own = [("PATH", "/opt/bin"), ("X", "1"), (JOB_ID, "forged")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let attempt = AttemptId::new(JobId::from_bytes([1; 16]), Epoch(3));
        let env = job_env(&BaseEnv::default(), &own, attempt, 2);
        assert_eq!(env["PATH"], "/opt/bin");
        assert_eq!(env["LANG"], "C.UTF-8");
        assert_eq!(env[JOB_ID], attempt.job.to_string());
        assert_eq!(env["CALLBOARD_ATTEMPT"], "2");
        assert_eq!(env[EPOCH], "3");
        assert_eq!(env.len(), 8);
    }
}
