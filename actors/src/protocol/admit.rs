//! Holds what a guest asks for against the admission rules, on the guest's own thread: patterns over long commands
//! take their time, and the actors have none to spare. It knows no actor.

use super::errors::SubmitError;
use super::jobs::{SubmitJobs, SubmitResults};
use crate::model::access::TokenLabel;
use crate::model::rules::Asker;
use crate::model::{AdmissionRules, JobSpec};

/// A request without the submissions that may not be taken in.
#[derive(Debug)]
pub(super) struct Sifted {
    /// What is left of it, if anything.
    allowed: Option<SubmitJobs>,
    /// How many submissions the rules deny.
    pub(super) count: u64,
    /// For each submission of the whole request why it is not in `allowed`; nothing where all are.
    refusals: Vec<Option<SubmitError>>,
}

impl Sifted {
    /// What there is to ask the platform; none when every submission is refused.
    pub(super) fn take_allowed(&mut self) -> Option<SubmitJobs> {
        self.allowed.take()
    }

    /// One result for each submission of the whole request, of those for what was left of it.
    pub(super) fn merge(self, results: SubmitResults) -> SubmitResults {
        if self.refusals.is_empty() {
            return results;
        }
        let mut results = results.into_iter();
        let answer = |refusal: Option<SubmitError>| match refusal {
            Some(refusal) => Err(refusal),
            None => results.next().unwrap_or(Err(SubmitError::Gone)),
        };
        self.refusals.into_iter().map(answer).collect()
    }
}

/// Takes out of a request what the rules deny; all of it if it is to be accepted as a whole. `token` is the one that is
/// shown.
pub(super) fn sift(rules: &AdmissionRules, token: Option<&TokenLabel>, mut request: SubmitJobs) -> Sifted {
    if rules.allow_all() {
        return Sifted { allowed: Some(request), count: 0, refusals: Vec::new() };
    }
    let judged = request.jobs.iter().enumerate().map(|(index, job)| {
        let asker = Asker { tenant: job.tenant, token };
        judge(rules, asker, &job.spec, job.secret_env.names(), index).err()
    });
    let mut refusals: Vec<_> = judged.collect();
    let count = refusals.iter().flatten().count() as u64;
    if request.all_or_nothing
        && let Some(first) = refusals.iter().flatten().next().cloned()
    {
        // Each keeps its own refusal; the sound ones are refused with the first.
        refusals.iter_mut().for_each(|refusal| *refusal = refusal.take().or_else(|| Some(first.clone())));
    }
    let mut kept = refusals.iter().map(Option::is_none);
    request.jobs.retain(|_| kept.next().unwrap_or(true));
    let allowed = refusals.iter().any(Option::is_none).then_some(request);
    Sifted { allowed, count, refusals }
}

/// Whether the rules allow a job, which is this one of its request. Secret variables are variables too.
pub(super) fn judge<'a>(
    rules: &AdmissionRules,
    asker: Asker<'_>,
    spec: &JobSpec,
    secrets: impl Iterator<Item = &'a str>,
    index: usize,
) -> Result<(), SubmitError> {
    let mut secrets = secrets.map(|name| (name.to_owned(), String::new())).peekable();
    let judged = if secrets.peek().is_none() {
        rules.judge(asker, spec)
    } else {
        let mut named = spec.clone();
        named.env.extend(secrets);
        rules.judge(asker, &named)
    };
    judged.map_err(|denial| SubmitError::Denied { index, denial })
}
