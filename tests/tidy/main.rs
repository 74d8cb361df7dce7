//! The rules of the house, as an ordinary test: it reads the source and says `file:line`, the rule and what to do.
//!
//! Each check is a module with a pure function from sources to problems and its own tests on small samples. A rule
//! lives in a table at the top of its module; a new check is a new module and one more test here.

mod documents;
mod documents_tests;
mod layout;
mod lexer;
mod lexer_tests;
mod licences;
mod report;
mod rooms;
mod rooms_tests;
mod size;
mod size_tests;
mod source;
mod words;
mod words_tests;

use report::{Exemption, Problem, assert_none, settle};
use source::Source;
use std::io::Write;
use std::path::Path;

/// Breaches that are tolerated, each with its reason. One that covers nothing fails the test.
const EXEMPT: &[Exemption] = &[];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> (Vec<Source>, Vec<Problem>) {
    source::read_all(root()).expect("the repository is readable")
}

fn document(path: &str) -> Option<String> {
    std::fs::read_to_string(root().join(path)).ok()
}

/// What the checks of the source say of this repository.
fn problems() -> Vec<Problem> {
    let (sources, mut problems) = sources();
    problems.extend(rooms::check(&sources));
    problems.extend(words::check(&sources));
    problems.extend(size::check(&sources));
    problems.extend(size::check_figures(&size::figures(&sources)));
    problems.extend(layout::check_mod_files(&sources));
    problems.extend(layout::check_top(root()).expect("the repository is readable"));
    problems.extend(documents::check_messages(&sources, document(documents::PROTOCOL).as_deref()));
    problems.extend(documents::check_settings(&sources, document(documents::CONFIGURATION).as_deref()));
    problems
}

#[test]
fn the_repository_keeps_the_rules() {
    let (sources, _) = sources();
    // Straight to stderr, so that the figures are seen when the test passes too.
    writeln!(std::io::stderr(), "tidy: {}", size::figures(&sources)).expect("stderr is open");
    assert_none(&settle(problems(), EXEMPT));
}

#[test]
fn the_checks_see_this_repository() {
    let (sources, _) = sources();
    let seen = |path: &str| sources.iter().any(|source| source.path == path);
    for path in
        ["src/main.rs", "src/lib.rs", "actors/src/lib.rs", "actors/tests/it/main.rs", "tests/tidy/main.rs"]
    {
        assert!(seen(path), "{path} is not read");
    }
}

#[test]
fn dependencies_have_permissive_licences_and_no_git_sources() {
    assert_none(&licences::check(&licences::metadata(root()).expect("cargo metadata answers")));
}
