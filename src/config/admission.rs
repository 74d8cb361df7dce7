//! `[admission]`: which jobs may be taken in, in a file only. It refuses to know what a rule means: that is the model's.

use callboard_actors::model::AdmissionRules;
use callboard_actors::model::limits::MAX_RULES;
use callboard_actors::model::rules::{Action, Rule, RuleError};
use serde::Deserialize;
use toml::Spanned;

/// `[admission]` and its `[[admission.rules]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdmissionSection {
    /// What becomes of jobs that no rule fits.
    pub default: Option<Action>,
    /// The first that fits decides.
    pub rules: Vec<Spanned<Rule>>,
}

impl AdmissionSection {
    /// What this layer says, and what the one below says where this one is silent. Rules are never mixed.
    pub(super) fn or(self, lower: Self) -> Self {
        let rules = if self.rules.is_empty() { lower.rules } else { self.rules };
        Self { default: self.default.or(lower.default), rules }
    }

    /// The rules, ready to be used.
    pub(super) fn compile(&self) -> Result<AdmissionRules, RuleError> {
        let rules = self.rules.iter().map(|rule| rule.get_ref().clone());
        AdmissionRules::new(self.default.unwrap_or_default(), rules)
    }

    /// Where in its file a rule stands.
    pub(super) fn place_of(&self, error: &RuleError) -> usize {
        let at = match error {
            RuleError::TooMany => MAX_RULES,
            RuleError::Rule { number, .. } => number.saturating_sub(1),
        };
        self.rules.get(at).map_or(0, |rule| rule.span().start)
    }
}
