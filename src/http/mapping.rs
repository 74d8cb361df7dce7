//! The one place where an error of the platform becomes a problem. It decides nothing: every variant has its line.

use callboard_actors::model::Denial;
use callboard_actors::model::admission::SpecProblem;
use callboard_actors::protocol::{
    CancelError, ChangeRunnerError, DeleteError, LookupError, OutputError, RetryError, SubmitError,
};

use super::api::{FieldProblem, RuleBody};
use super::kinds::{self, ProblemKind};
use super::problem::Problem;

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let kind = match &error {
            SubmitError::Invalid(problems) => {
                return Self::fields(problems.iter().map(field).collect());
            }
            SubmitError::Denied { denial, .. } => return denied(denial),
            SubmitError::Isolation { refusal, .. } => return Self::isolation(refusal),
            SubmitError::QueueFull { .. } | SubmitError::TooVaried { .. } => &kinds::QUEUE_FULL,
            SubmitError::Busy => &kinds::TOO_MANY_REQUESTS,
            SubmitError::Draining => &kinds::DRAINING,
            SubmitError::KeyReused => &kinds::KEY_REUSED,
            SubmitError::Forgotten(_) => &kinds::GONE,
            SubmitError::Secret(_) => &kinds::SECRET_KEY,
            SubmitError::Store(_) => &kinds::STORE_FAILED,
            SubmitError::Gone => &kinds::UNAVAILABLE,
        };
        Self::new(kind, error.to_string())
    }
}

/// The whole job is meant: where in it a rule found something is the rule's business.
fn denied(denial: &Denial) -> Problem {
    let rule = match denial {
        Denial::Rule { number, name, .. } => Some(RuleBody { number: *number, name: name.clone() }),
        Denial::Default => None,
    };
    Problem::denied(denial.to_string(), rule)
}

/// The model's field names are those of the API but for the units that the API puts into them.
fn field(problem: &SpecProblem) -> FieldProblem {
    let unit = match problem.pointer.as_str() {
        "/timeout" | "/grace" => "_ms",
        _ => "",
    };
    FieldProblem { pointer: format!("#{}{unit}", problem.pointer), detail: problem.detail.clone() }
}

impl From<LookupError> for Problem {
    fn from(error: LookupError) -> Self {
        Self::new(lookup_kind(&error), error.to_string())
    }
}

fn lookup_kind(error: &LookupError) -> &'static ProblemKind {
    match error {
        LookupError::NotFound => &kinds::NOT_FOUND,
        LookupError::Ambiguous(_) => &kinds::AMBIGUOUS_ID,
        LookupError::TooManyWaiters | LookupError::Busy => &kinds::TOO_MANY_REQUESTS,
        LookupError::Store(_) => &kinds::STORE_FAILED,
        LookupError::Gone => &kinds::UNAVAILABLE,
    }
}

impl From<CancelError> for Problem {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::Ended { .. } => Self::new(&kinds::CONFLICT, error.to_string()),
            CancelError::Lookup(error) => error.into(),
        }
    }
}

impl From<DeleteError> for Problem {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::Live { .. } => Self::new(&kinds::CONFLICT, error.to_string()),
            DeleteError::Lookup(error) => error.into(),
        }
    }
}

impl From<RetryError> for Problem {
    fn from(error: RetryError) -> Self {
        match error {
            RetryError::Live { .. } | RetryError::StreamedInput(_) => {
                Self::new(&kinds::CONFLICT, error.to_string())
            }
            RetryError::Lookup(error) => error.into(),
            RetryError::Submit(error) => error.into(),
        }
    }
}

impl From<ChangeRunnerError> for Problem {
    fn from(error: ChangeRunnerError) -> Self {
        match error {
            ChangeRunnerError::Unknown => Self::new(&kinds::NOT_FOUND, error.to_string()),
            ChangeRunnerError::Busy { .. } | ChangeRunnerError::Local => {
                Self::new(&kinds::RUNNER_CONFLICT, error.to_string())
            }
            ChangeRunnerError::Why => Self::field("#/why", error.to_string()),
            ChangeRunnerError::Lookup(error) => error.into(),
        }
    }
}

impl From<OutputError> for Problem {
    fn from(error: OutputError) -> Self {
        match error {
            OutputError::Lookup(error) => error.into(),
            OutputError::Gone(_) => Self::new(&kinds::GONE, error.to_string()),
            OutputError::NoInput(_) | OutputError::InputClosed(_) => {
                Self::new(&kinds::CONFLICT, error.to_string())
            }
            OutputError::InputGap { expected, .. } => {
                Self::new(&kinds::INPUT_GAP, error.to_string()).with_accepted(expected)
            }
            OutputError::Node(_) => Self::new(&kinds::RUNNER_UNREACHABLE, error.to_string()),
        }
    }
}
