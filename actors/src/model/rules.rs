//! Rules over what jobs ask for: the first one that fits a job allows or denies it. They are an operator's word,
//! written as data and compiled once. It refuses to know where they are kept, and what else guards the platform: a
//! rule sees who asks and what a job says that it will do, never what it does.

mod compiled;

use serde::Deserialize;

use super::access::TokenLabel;
use super::limits::{
    MAX_RULE_NAME_BYTES, MAX_RULE_REASON_BYTES, MAX_RULE_REGEX_BYTES, MAX_RULE_WORD_BYTES, MAX_RULE_WORDS,
    MAX_RULES,
};
use super::spec::JobSpec;
use super::tenant::Tenant;
use compiled::{Asked, Compiled};

/// What becomes of a job that a rule fits, or that none does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is taken in.
    #[default]
    Allow,
    /// It is refused.
    Deny,
}

impl Action {
    /// The word that stands for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// One rule, as it is written. It fits a job when everything that it names fits; of a list one entry is enough. A rule
/// that names nothing fits every job.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What becomes of a job that it fits.
    pub action: Action,
    /// A name for people.
    pub name: Option<String>,
    /// Why, in words for whoever is refused.
    pub reason: String,
    /// Regular expressions, one of which is found somewhere in the command as it is shown.
    pub commands: Option<Vec<String>>,
    /// Tenants, with `*` and `?`, to one of which the job would belong.
    pub tenants: Option<Vec<String>>,
    /// Ids or names of tokens, with `*` and `?`, one of which is shown. Whoever needs no token, or shows that of
    /// `--token-file`, shows none of them.
    pub tokens: Option<Vec<String>>,
    /// Programs, with `*` and `?` for anything but a slash: `git` is any program of that name, `/usr/bin/git` is that
    /// one. A shell line is the program `/bin/sh`.
    pub programs: Option<Vec<String>>,
    /// Whether the command is a shell line.
    pub shell: Option<bool>,
    /// Names of variables, with `*` and `?`, one of which the job sets.
    pub env: Option<Vec<String>>,
    /// Absolute folders, in or below one of which the job asks to start.
    pub cwd: Option<Vec<String>>,
}

impl Rule {
    /// A rule that fits every job, until it is told more.
    pub fn new(action: Action, reason: impl Into<String>) -> Self {
        Self {
            action,
            name: None,
            reason: reason.into(),
            tenants: None,
            tokens: None,
            commands: None,
            programs: None,
            shell: None,
            env: None,
            cwd: None,
        }
    }
}

/// Who asks for a job. The default is whoever needs no token, for the default tenant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asker<'a> {
    /// Whom the job would belong to.
    pub tenant: Tenant,
    /// The token that is shown, of those that were made.
    pub token: Option<&'a TokenLabel>,
}

/// The rules in force. The default has none and allows everything.
#[derive(Clone, Debug, Default)]
pub struct AdmissionRules {
    default: Action,
    rules: Vec<Compiled>,
}

impl PartialEq for AdmissionRules {
    fn eq(&self, other: &Self) -> bool {
        self.default == other.default && self.written().eq(other.written())
    }
}

impl AdmissionRules {
    /// Compiles rules; `default` is for jobs that none of them fits.
    ///
    /// # Errors
    /// [`RuleError`] about the first rule that means nothing.
    pub fn new(default: Action, rules: impl IntoIterator<Item = Rule>) -> Result<Self, RuleError> {
        let mut compiled = Vec::new();
        for rule in rules {
            let number = compiled.len() + 1;
            if number > MAX_RULES {
                return Err(RuleError::TooMany);
            }
            compiled.push(Compiled::new(rule).map_err(|fault| RuleError::Rule { number, fault })?);
        }
        Ok(Self { default, rules: compiled })
    }

    /// Whether there is nothing to judge: no rule, and everything is allowed.
    pub fn allow_all(&self) -> bool {
        self.rules.is_empty() && self.default == Action::Allow
    }

    /// What becomes of jobs that no rule fits.
    pub fn default_action(&self) -> Action {
        self.default
    }

    /// The rules as they were written, in order.
    pub fn written(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|compiled| &compiled.rule)
    }

    /// Whether a job may be taken in: the first rule that fits it decides. The time it takes is linear in the size of
    /// the job.
    ///
    /// # Errors
    /// [`Denial`], which names the rule.
    pub fn judge(&self, asker: Asker<'_>, spec: &JobSpec) -> Result<(), Denial> {
        let asked = Asked::new(asker, spec);
        let found = self.rules.iter().position(|rule| rule.fits(&asked));
        let rule = found.map(|at| &self.rules[at].rule);
        match (rule.map_or(self.default, |rule| rule.action), found, rule) {
            (Action::Allow, ..) => Ok(()),
            (Action::Deny, Some(at), Some(rule)) => {
                Err(Denial::Rule { number: at + 1, name: rule.name.clone(), reason: rule.reason.clone() })
            }
            (Action::Deny, ..) => Err(Denial::Default),
        }
    }
}

/// Why a job may not be taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// A rule says so.
    #[error("admission rule {number}{} refuses this job: {reason}", in_brackets(.name.as_deref()))]
    Rule {
        /// Its place, from 1.
        number: usize,
        /// Its name.
        name: Option<String>,
        /// Its reason.
        reason: String,
    },
    /// No rule allows it, and somebody has to.
    #[error(
        "no admission rule allows this job, and jobs that none allows are refused here (admission.default)"
    )]
    Default,
}

fn in_brackets(name: Option<&str>) -> String {
    name.map(|name| format!(" ({name})")).unwrap_or_default()
}

/// Why rules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// There are too many.
    #[error("there are at most {MAX_RULES} admission rules: put several patterns into one rule")]
    TooMany,
    /// One of them means nothing.
    #[error("admission rule {number}: {fault}")]
    Rule {
        /// Its place, from 1.
        number: usize,
        /// What is wrong with it.
        fault: RuleFault,
    },
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleFault {
    /// The reason cannot be shown.
    #[error(
        "`reason` is shown to whoever is refused: 1 to {MAX_RULE_REASON_BYTES} bytes, no control characters"
    )]
    Reason,
    /// The name cannot be shown.
    #[error("`name` has 1 to {MAX_RULE_NAME_BYTES} bytes and no control characters")]
    Name,
    /// A list that no job would fit.
    #[error("`{list}` is empty, so the rule would fit no job: name something, or leave it out")]
    Empty {
        /// The list.
        list: &'static str,
    },
    /// A list that is too long.
    #[error("`{list}` has at most {MAX_RULE_WORDS} entries: write another rule for the others")]
    TooManyWords {
        /// The list.
        list: &'static str,
    },
    /// An entry that is too long.
    #[error("`{list}`: an entry has at most {MAX_RULE_WORD_BYTES} bytes, also `{start}...`")]
    LongWord {
        /// The list.
        list: &'static str,
        /// How the entry begins.
        start: String,
    },
    /// A pattern that is none.
    #[error("`commands`: `{pattern}` is not a regular expression: {why}")]
    Pattern {
        /// As it was written.
        pattern: String,
        /// In the words of the library that reads it.
        why: String,
    },
    /// Patterns that would take too much memory.
    #[error(
        "`{list}` takes more than {MAX_RULE_REGEX_BYTES} bytes once compiled: write fewer or simpler patterns"
    )]
    TooLarge {
        /// The list.
        list: &'static str,
    },
    /// A pattern that no tenant could fit.
    #[error("`tenants`: `{0}` fits no tenant: write a-z, 0-9, _ and -, and * or ? for any of them")]
    Tenant(String),
    /// A pattern that no token could fit.
    #[error("`tokens`: {0:?} fits no token: write its id or its name, and * or ? for any letters")]
    Token(String),
    /// A program that no command could name.
    #[error(
        "`programs`: `{0}` is no program: write a name like `git`, or a path like `/usr/bin/git`, and * or ? for any letters"
    )]
    Program(String),
    /// A pattern that no variable could fit.
    #[error("`env`: `{0}` fits no variable: write letters, digits and _, and * or ? for any of them")]
    Variable(String),
    /// A folder that no job could ask for.
    #[error("`cwd`: `{0}` is no absolute folder: write a path that begins with /")]
    Folder(String),
}
