//! The files of the repository, lexed, with what each is: product or test, which crate, which room.

use crate::lexer::{Lexed, lex};
use crate::report::Problem;
use std::fs;
use std::io;
use std::path::Path;

/// The folders whose Rust files are under the rules of size.
const FOLDERS: [&str; 8] = [
    "src",
    "tests",
    "actors/src",
    "actors/tests",
    "actors/examples",
    "actors/benches",
    "actors/fuzz/src",
    "actors/fuzz/fuzz_targets",
];

/// A Rust file, named by its path from the top of the repository.
pub struct Source {
    pub path: String,
    pub text: String,
    /// Everything, tests included.
    pub whole: Lexed,
    /// What the product is made of; empty in a file that holds tests only.
    pub product: Lexed,
    pub is_test: bool,
}

impl Source {
    pub fn parse(path: &str, text: &str) -> Result<Self, Problem> {
        let failed = |error| Problem::new("lex", path, 0, format!("cannot be lexed: {error}"));
        let whole = lex(text, true).map_err(failed)?;
        let product = lex(text, false).map_err(failed)?;
        let is_test = named_as_test(path) || product.all_test;
        let mut source = Self { path: path.to_owned(), text: text.to_owned(), whole, product, is_test };
        if source.is_test {
            source.hide_from_product();
        }
        Ok(source)
    }

    pub fn line_count(&self) -> usize {
        self.text.lines().count()
    }

    /// Lines outside tests.
    pub fn product_line_count(&self) -> usize {
        let tests: usize = self.product.test_lines.iter().map(|lines| lines.end() - lines.start() + 1).sum();
        if self.is_test { 0 } else { self.line_count().saturating_sub(tests) }
    }

    /// The room in a folder such as `actors/src`: the file's stem or its first folder.
    pub fn room(&self, folder: &str) -> Option<&str> {
        let inside = self.path.strip_prefix(folder)?.strip_prefix('/')?;
        let first = inside.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    fn hide_from_product(&mut self) {
        self.is_test = true;
        self.product.body.clear();
        self.product.uses.clear();
    }

    /// The folder that holds the modules this file declares.
    fn module_folder(&self) -> String {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        match name {
            "lib.rs" | "main.rs" => folder.to_owned(),
            _ => format!("{folder}/{}", name.trim_end_matches(".rs")),
        }
    }
}

/// Tests, benches and examples are told by their names: `tests.rs`, `*_tests.rs`, or a folder of that name.
fn named_as_test(path: &str) -> bool {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    name == "tests.rs"
        || name.ends_with("_tests.rs")
        || folders.split('/').any(|folder| ["tests", "benches", "examples"].contains(&folder))
}

/// Marks as tests the files that are declared by `#[cfg(test)] mod name;` somewhere, with all below them.
pub fn mark_test_modules(sources: &mut [Source]) {
    let declared = |source: &Source| {
        let folder = source.module_folder();
        source.product.test_mods.iter().map(move |name| format!("{folder}/{name}")).collect::<Vec<_>>()
    };
    let modules: Vec<String> = sources.iter().flat_map(declared).collect();
    for source in sources {
        let stem = source.path.trim_end_matches(".rs");
        let below = |module: &String| stem == module || source.path.starts_with(&format!("{module}/"));
        if modules.iter().any(below) {
            source.hide_from_product();
        }
    }
}

/// Reads every Rust file of the repository. A file that cannot be lexed is a problem.
pub fn read_all(root: &Path) -> io::Result<(Vec<Source>, Vec<Problem>)> {
    let mut paths = Vec::new();
    for folder in FOLDERS.iter().filter(|folder| root.join(folder).is_dir()) {
        rust_files(root, folder, &mut paths)?;
    }
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match Source::parse(&path, &fs::read_to_string(root.join(&path))?) {
            Ok(source) => sources.push(source),
            Err(problem) => problems.push(problem),
        }
    }
    mark_test_modules(&mut sources);
    Ok((sources, problems))
}

fn rust_files(root: &Path, folder: &str, found: &mut Vec<String>) -> io::Result<()> {
    let mut names: Vec<(String, bool)> = fs::read_dir(root.join(folder))?
        .map(|entry| {
            entry.and_then(|e| Ok((e.file_name().to_string_lossy().into_owned(), e.file_type()?.is_dir())))
        })
        .collect::<io::Result<_>>()?;
    names.sort();
    for (name, is_folder) in names {
        let path = format!("{folder}/{name}");
        if is_folder {
            rust_files(root, &path, found)?;
        } else if path.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// A sample for the tests of the checks.
#[track_caller]
pub fn sample(path: &str, text: &str) -> Source {
    Source::parse(path, text).expect("the sample lexes")
}

/// The one problem that `check` finds in a sample.
#[track_caller]
pub fn sample_refused(check: fn(&[Source]) -> Vec<Problem>, path: &str, text: &str) -> String {
    let problems = check(&[sample(path, text)]);
    assert_eq!(problems.len(), 1, "{path}: {text}: {problems:?}");
    problems[0].to_string()
}

/// `check` finds nothing in a sample.
#[track_caller]
pub fn sample_permitted(check: fn(&[Source]) -> Vec<Problem>, path: &str, text: &str) {
    let problems = check(&[sample(path, text)]);
    assert!(problems.is_empty(), "{path}: {text}: {problems:?}");
}

#[test]
fn a_room_is_a_file_or_a_folder() {
    assert_eq!(sample("actors/src/model.rs", "").room("actors/src"), Some("model"));
    assert_eq!(sample("actors/src/model/id.rs", "").room("actors/src"), Some("model"));
    assert_eq!(sample("src/http/api.rs", "").room("src"), Some("http"));
    assert_eq!(sample("src/http.rs", "").room("actors/src"), None);
}

#[test]
fn tests_are_told_by_name_by_attribute_or_by_declaration() {
    for path in ["src/a/tests.rs", "src/a_tests.rs", "actors/tests/it/b.rs", "actors/src/a/tests/b.rs"] {
        assert!(sample(path, "fn a() {}").is_test, "{path}");
    }
    assert!(sample("src/a.rs", "#![cfg(test)]").is_test);
    assert!(!sample("src/latests.rs", "fn a() {}").is_test);
    let mut sources = vec![
        sample(
            "actors/src/store.rs",
            "#[cfg(any(test, feature = \"testing\"))] pub mod conformance;\nfn a() {}",
        ),
        sample("actors/src/store/conformance.rs", "mod b; fn c() {}"),
        sample("actors/src/store/conformance/b.rs", "fn d() {}"),
        sample("actors/src/store/conformance_b.rs", "fn e() {}"),
        sample("src/lib.rs", "#[cfg(test)] mod probe;"),
        sample("src/probe.rs", ""),
    ];
    mark_test_modules(&mut sources);
    assert_eq!(
        sources.iter().map(|s| s.is_test).collect::<Vec<_>>(),
        [false, true, true, false, false, true]
    );
}

#[test]
fn lines_of_tests_are_not_lines_of_the_product() {
    assert_eq!(sample("src/a.rs", "fn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n").product_line_count(), 2);
}

#[test]
fn every_rust_file_is_read_and_a_broken_one_is_reported() {
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(root.path().join("actors/src/model")).expect("a folder");
    fs::write(root.path().join("actors/src/model/a.rs"), "fn a() {}").expect("a file");
    fs::write(root.path().join("actors/src/model/b.rs"), "fn a( {}").expect("a file");
    fs::write(root.path().join("actors/src/model/c.txt"), "").expect("a file");
    let (sources, problems) = read_all(root.path()).expect("the folder is readable");
    assert_eq!(sources.len(), 1);
    assert_eq!(problems.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), ["actors/src/model/b.rs"]);
}
