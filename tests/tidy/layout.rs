//! What may stand where: the top of the repository, and no file called `mod.rs`. Reads names, not contents.

use crate::report::Problem;
use crate::source::Source;
use std::fs;
use std::io;
use std::path::Path;

const RULE: &str = "layout";
const TOP: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "actors",
    "docker",
    "docs",
    "src",
    "tests",
];
/// These are owed as soon as there is a graph of actors to describe and to ship.
const OWED_WITH_GRAPH: [&str; 3] = ["docs", "docker", "README.md"];
const GRAPH: &str = "actors/src/graph.rs";

/// The top level is exactly the list; build output and dot files do not count.
pub fn check_top(root: &Path) -> io::Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !TOP.contains(&name.as_str()) && !name.starts_with('.') && name != "target" {
            let what = "does not belong at the top level: put it in docs/, docker/, tests/ or a dot folder";
            problems.push(Problem::new(RULE, &name, 0, what));
        }
    }
    let graph = root.join(GRAPH).exists();
    for name in TOP.into_iter().filter(|name| graph || !OWED_WITH_GRAPH.contains(name)) {
        if !root.join(name).exists() {
            problems.push(Problem::new(RULE, name, 0, "is missing at the top level: add it"));
        }
    }
    Ok(problems)
}

/// Every `mod.rs`.
pub fn check_mod_files(sources: &[Source]) -> Vec<Problem> {
    let named = |source: &&Source| source.path.rsplit('/').next() == Some("mod.rs");
    let what = "is called mod.rs: name the file after its module, beside the module's folder";
    sources.iter().filter(named).map(|source| Problem::new(RULE, &source.path, 0, what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::sample;

    fn complete() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for name in TOP {
            fs::create_dir(root.path().join(name)).expect("a folder");
        }
        root
    }

    fn complaints(root: &tempfile::TempDir) -> Vec<String> {
        check_top(root.path()).expect("the folder is readable").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_exact_list_passes_with_dot_files_and_target() {
        let root = complete();
        fs::write(root.path().join(".gitignore"), "").expect("a file");
        fs::create_dir(root.path().join("target")).expect("a folder");
        assert_eq!(complaints(&root), Vec::<String>::new());
    }

    #[test]
    fn a_stranger_is_refused() {
        let root = complete();
        fs::write(root.path().join("rustfmt.toml"), "").expect("a file");
        assert!(complaints(&root)[0].starts_with("rustfmt.toml: [layout] does not belong at the top level"));
    }

    #[test]
    fn what_is_missing_is_named_once_it_is_owed() {
        let root = complete();
        fs::remove_dir(root.path().join("LICENSE-MIT")).expect("it was there");
        fs::remove_dir(root.path().join("README.md")).expect("it was there");
        assert_eq!(complaints(&root), ["LICENSE-MIT: [layout] is missing at the top level: add it"]);
        fs::create_dir_all(root.path().join(GRAPH)).expect("a folder");
        assert_eq!(complaints(&root).len(), 2);
    }

    #[test]
    fn a_mod_file_is_refused() {
        let sources = [sample("actors/src/store/mod.rs", ""), sample("tests/it/common.rs", "")];
        let problems = check_mod_files(&sources);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().starts_with("actors/src/store/mod.rs: [layout] is called mod.rs"));
    }
}
