//! What a check hands back, and which of it is excused. Knows nothing about Rust source.

use std::fmt;

/// One breach of one rule at one place. `line` 0 means the file as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub path: String,
    pub line: usize,
    pub rule: &'static str,
    pub what: String,
}

impl Problem {
    pub fn new(rule: &'static str, path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: [{}] {}", self.path, self.rule, self.what),
            line => write!(f, "{}:{line}: [{}] {}", self.path, self.rule, self.what),
        }
    }
}

/// A breach that is tolerated: one rule in one file, with the reason why.
pub struct Exemption {
    pub rule: &'static str,
    pub path: &'static str,
    pub why: &'static str,
}

impl Exemption {
    fn covers(&self, problem: &Problem) -> bool {
        self.rule == problem.rule && self.path == problem.path
    }
}

/// The problems that no exemption covers, and a new problem for every exemption that covers nothing or gives
/// no reason, so that the list can only shrink.
pub fn settle(problems: Vec<Problem>, exemptions: &[Exemption]) -> Vec<Problem> {
    let stale = exemptions.iter().filter(|e| !problems.iter().any(|p| e.covers(p)));
    let silent = exemptions.iter().filter(|e| e.why.trim().is_empty());
    let mut left: Vec<Problem> = stale
        .map(|e| {
            Problem::new(
                "exemption",
                e.path,
                0,
                format!("nothing breaks `{}` here: delete the exemption", e.rule),
            )
        })
        .chain(silent.map(|e| Problem::new("exemption", e.path, 0, "an exemption says why")))
        .collect();
    left.extend(problems.into_iter().filter(|p| !exemptions.iter().any(|e| e.covers(p))));
    left.sort();
    left.dedup();
    left
}

/// Fails the running test with one line for each problem.
#[track_caller]
pub fn assert_none(problems: &[Problem]) {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    assert!(lines.is_empty(), "{} breaches of the house rules:\n{}\n", lines.len(), lines.join("\n"));
}

#[test]
fn a_problem_reads_as_file_line_rule_and_advice() {
    let problem = Problem::new("size", "src/a.rs", 3, "too long: split it");
    assert_eq!(problem.to_string(), "src/a.rs:3: [size] too long: split it");
    assert_eq!(Problem { line: 0, ..problem }.to_string(), "src/a.rs: [size] too long: split it");
}

#[test]
fn an_exemption_excuses_one_rule_in_one_file_and_must_be_needed() {
    let problems =
        || vec![Problem::new("size", "src/a.rs", 3, "x"), Problem::new("word", "src/a.rs", 4, "y")];
    let excused = |path| [Exemption { rule: "size", path, why: "generated" }];
    assert_eq!(settle(problems(), &excused("src/a.rs")), [problems()[1].clone()]);
    assert_eq!(settle(problems(), &excused("src/b.rs")).len(), 3, "two problems and a stale exemption");
    let silent = [Exemption { rule: "size", path: "src/a.rs", why: " " }];
    assert_eq!(settle(problems(), &silent).len(), 2);
}

#[test]
#[should_panic(expected = "src/a.rs:3: [size] x")]
fn a_problem_fails_the_test() {
    assert_none(&[Problem::new("size", "src/a.rs", 3, "x")]);
}
