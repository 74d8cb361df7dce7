//! Which licences and which sources a dependency may have. Knows only what `cargo metadata` says.

use crate::report::Problem;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const RULE: &str = "licence";
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
const PERMITTED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-2-Clause-Patent",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Every package whose licence or source is not permitted.
pub fn check(metadata: &Value) -> Vec<Problem> {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    if packages.is_empty() {
        return vec![Problem::new(
            RULE,
            "Cargo.lock",
            0,
            "cargo metadata lists no packages: this check sees nothing",
        )];
    }
    packages.iter().flat_map(check_package).collect()
}

fn check_package(package: &Value) -> Vec<Problem> {
    let word = |key: &str| package[key].as_str().unwrap_or("none");
    let name = format!("{} {}", word("name"), word("version"));
    let problem = |what: String| Problem::new(RULE, "Cargo.lock", 0, what);
    let licence = (!permits(word("license"))).then(|| {
        problem(format!(
            "{name} has the licence `{}`, which is not permitted: use another crate",
            word("license")
        ))
    });
    let source = match package["source"].as_str() {
        None | Some(REGISTRY) => None,
        Some(source) => Some(problem(format!("{name} comes from {source}: use a release on crates.io"))),
    };
    licence.into_iter().chain(source).collect()
}

/// What cargo knows of all dependencies: without the network if it can, of this platform alone at the last.
pub fn metadata(root: &Path) -> Result<Value, String> {
    let host = format!("--filter-platform={}-unknown-linux-gnu", std::env::consts::ARCH);
    let attempts = [vec!["--offline"], vec![], vec!["--offline", &host]];
    let mut errors = String::new();
    for extra in attempts {
        match run_metadata(root, &extra) {
            Ok(value) => return Ok(value),
            Err(error) => errors += &error,
        }
    }
    Err(errors)
}

fn run_metadata(root: &Path, extra: &[&str]) -> Result<Value, String> {
    let output = Command::new(option_env!("CARGO").unwrap_or("cargo"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(extra)
        .current_dir(root)
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// Whether an SPDX expression lets us use the code under permitted licences alone.
fn permits(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, at: 0 };
    let permitted = parser.any();
    parser.at == words.len() && permitted
}

/// `AND` binds closer than `OR`.
struct Parser<'a> {
    words: &'a [&'a str],
    at: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> bool {
        let mut permitted = self.all();
        while self.takes("OR") {
            permitted |= self.all();
        }
        permitted
    }

    fn all(&mut self) -> bool {
        let mut permitted = self.one();
        while self.takes("AND") {
            permitted &= self.one();
        }
        permitted
    }

    fn one(&mut self) -> bool {
        if self.takes("(") {
            let permitted = self.any();
            return self.takes(")") && permitted;
        }
        let permitted = self.words.get(self.at).is_some_and(|word| PERMITTED.contains(word));
        self.at += 1;
        if self.takes("WITH") {
            self.at += 1; // an exception only ever adds permissions
        }
        permitted
    }

    fn takes(&mut self, word: &str) -> bool {
        let here = self.words.get(self.at) == Some(&word);
        self.at += usize::from(here);
        here
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_expression_is_permitted_when_one_choice_is() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0-only OR MIT",
            "MIT AND BSD-3-Clause",
            "(MIT OR GPL-2.0-only) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR MPL-2.0",
        ] {
            assert!(permits(good), "{good}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "MPL-2.0",
            "MIT AND GPL-3.0-only",
            "none",
            "",
            "MIT OR",
            "MIT Apache-2.0",
            "(MIT",
            "BSD-Protection",
        ] {
            assert!(!permits(bad), "{bad}");
        }
    }

    #[test]
    fn a_bad_licence_and_a_git_source_are_named() {
        let metadata = json!({"packages": [
            {"name": "a", "version": "1.0.0", "license": "MIT", "source": REGISTRY},
            {"name": "b", "version": "1.0.0", "license": null, "source": REGISTRY},
            {"name": "c", "version": "1.0.0", "license": "MIT", "source": "git+https://example.org/c"},
            {"name": "own", "version": "1.0.0", "license": "MIT OR Apache-2.0", "source": null},
        ]});
        let found: Vec<String> = check(&metadata).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "Cargo.lock: [licence] b 1.0.0 has the licence `none`, which is not permitted: use another crate",
                "Cargo.lock: [licence] c 1.0.0 comes from git+https://example.org/c: use a release on crates.io",
            ]
        );
        assert_eq!(check(&json!({})).len(), 1, "an empty list is no proof");
    }
}
