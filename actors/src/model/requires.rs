//! What a job says its node must be: labels that it must carry, or which node it is. It refuses to know what nodes there
//! are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::id::NodeId;
use super::runner_spec::{MAX_NODE_NAME_BYTES, RunnerSpec};

/// Most labels that a job may require of its node.
pub const MAX_REQUIRED_LABELS: usize = 16;
/// Longest key of a required label, in bytes.
pub const MAX_LABEL_KEY_BYTES: usize = 64;
/// Longest value of a required label, in bytes.
pub const MAX_LABEL_VALUE_BYTES: usize = 256;

/// What a job requires of its node. Empty: any node will do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Requires {
    /// Labels that it must have, each with this very value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The one node that may run it, by its name or its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
}

impl Requires {
    /// Whether any node will do.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.runner.is_none()
    }

    /// Bytes that it occupies as text.
    pub fn byte_len(&self) -> usize {
        let labels: usize = self.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
        labels + self.runner.as_ref().map_or(0, String::len)
    }

    /// Whether this node is such a one.
    pub fn are_met_by(&self, node: NodeId, spec: &RunnerSpec) -> bool {
        let named = |name: &String| *name == spec.name || *name == node.to_string();
        self.runner.as_ref().is_none_or(named)
            && self.labels.iter().all(|(key, value)| spec.labels.get(key) == Some(value))
    }

    /// What is wrong with it: the end of a JSON pointer below it, and what is allowed.
    pub fn problems(&self) -> impl Iterator<Item = (&'static str, String)> {
        let many = (self.labels.len() > MAX_REQUIRED_LABELS)
            .then(|| ("/labels", format!("a job requires at most {MAX_REQUIRED_LABELS} labels")));
        let strange = self.labels.iter().any(|(key, value)| !is_label(key, value)).then(|| {
            let text = format!(
                "a label's key has 1 to {MAX_LABEL_KEY_BYTES} letters, digits or `-_./`, its value at most \
                 {MAX_LABEL_VALUE_BYTES} of them"
            );
            ("/labels", text)
        });
        let nobody = self.runner.as_ref().is_some_and(|name| !is_name(name)).then(|| {
            let text = format!(
                "a runner is named by its name or its id: 1 to {MAX_NODE_NAME_BYTES} letters, digits or `-_.`"
            );
            ("/runner", text)
        });
        many.into_iter().chain(strange).chain(nobody)
    }
}

/// Whether this can be a label.
pub fn is_label(key: &str, value: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    (1..=MAX_LABEL_KEY_BYTES).contains(&key.len())
        && key.chars().all(fine)
        && value.len() <= MAX_LABEL_VALUE_BYTES
        && value.chars().all(fine)
}

/// Whether this can be the name of a node.
pub fn is_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=MAX_NODE_NAME_BYTES).contains(&name.len()) && name.chars().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    #[test]
    fn a_node_is_the_right_one_by_its_labels_and_by_its_name_or_id() {
        let node = NodeId::from_bytes([7; 16]);
        let spec = RunnerSpec {
            name: "b1".into(),
            labels: labels(&[("gpu", "a100"), ("zone", "eu")]),
            ..RunnerSpec::default()
        };
        let met = |pairs: &[(&str, &str)], runner: Option<&str>| {
            Requires { labels: labels(pairs), runner: runner.map(String::from) }.are_met_by(node, &spec)
        };
        assert!(met(&[], None) && met(&[("gpu", "a100")], Some("b1")));
        assert!(met(&[], Some(&node.to_string())));
        assert!(!met(&[("gpu", "h100")], None), "another value");
        assert!(!met(&[("zone", "eu"), ("disk", "ssd")], None), "one of two");
        assert!(!met(&[("gpu", "a100")], Some("b2")), "another node");
    }

    #[test]
    fn what_cannot_be_required_is_told_where_it_stands() {
        let found = |requires: Requires| requires.problems().map(|(at, _)| at).collect::<Vec<_>>();
        let many = (0..=MAX_REQUIRED_LABELS).map(|n| (format!("k{n}"), String::new())).collect();
        let runner = Some(String::new());
        assert_eq!(found(Requires { labels: many, runner }), ["/labels", "/runner"]);
        assert_eq!(found(Requires { labels: labels(&[("a b", "")]), runner: None }), ["/labels"]);
        assert_eq!(found(Requires { labels: labels(&[("a", "b c")]), runner: None }), ["/labels"]);
        assert_eq!(found(Requires { runner: Some("b c".into()), ..Requires::default() }), ["/runner"]);
        assert_eq!(
            found(Requires { labels: labels(&[("a.b/c", "d_e")]), runner: Some("b1".into()) }),
            [""; 0]
        );
    }
}
