//! How long files and functions may be, and how often the product may panic. Knows no rooms.

use crate::lexer::Tok;
use crate::report::Problem;
use crate::source::Source;
use std::fmt;

const RULE: &str = "size";
const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_MEDIAN_FILE_LINES: usize = 150;
const MAX_MEDIAN_FUNCTION_LINES: usize = 10;
const MAX_PANICS_PER_1000_LINES: usize = 3;

/// A function and the lines between its braces; a body that shares a line with a brace has one.
#[derive(Debug, PartialEq, Eq)]
struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// Figures over the product: what is not a test.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub files: usize,
    pub lines: usize,
    pub functions: usize,
    pub median_file_lines: usize,
    pub median_function_lines: usize,
    pub panics: usize,
}

/// Every file and every function that is too long, tests included.
pub fn check(sources: &[Source]) -> Vec<Problem> {
    sources.iter().flat_map(|source| long_file(source).into_iter().chain(long_functions(source))).collect()
}

/// Every figure that is over its limit.
pub fn check_figures(figures: &Figures) -> Vec<Problem> {
    let over = |name: &str, value: usize, limit: usize| {
        let what = format!("{name} is {value}, the limit is {limit}: {figures}");
        (value > limit).then(|| Problem::new(RULE, "src, actors/src", 0, what))
    };
    let allowed_panics = figures.lines.max(1000) * MAX_PANICS_PER_1000_LINES / 1000;
    [
        over("the median length of a file", figures.median_file_lines, MAX_MEDIAN_FILE_LINES),
        over("the median length of a function", figures.median_function_lines, MAX_MEDIAN_FUNCTION_LINES),
        over("the number of panicking calls", figures.panics, allowed_panics),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The figures of the product.
pub fn figures(sources: &[Source]) -> Figures {
    let product: Vec<&Source> = sources.iter().filter(|source| !source.is_test).collect();
    let files: Vec<usize> = product.iter().map(|source| source.product_line_count()).collect();
    let functions: Vec<usize> =
        product.iter().flat_map(|s| functions(&s.product.body)).map(|f| f.lines).collect();
    Figures {
        files: files.len(),
        lines: files.iter().sum(),
        functions: functions.len(),
        median_file_lines: median(files),
        median_function_lines: median(functions),
        panics: product.iter().map(|source| panics(&source.product.body).len()).sum(),
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} files of {} lines (median {}), {} functions (median {}), {} panicking calls, tests left out",
            self.files,
            self.lines,
            self.median_file_lines,
            self.functions,
            self.median_function_lines,
            self.panics
        )
    }
}

fn long_file(source: &Source) -> Option<Problem> {
    let lines = source.line_count();
    let what = format!("{lines} lines, the limit is {MAX_FILE_LINES}: split it by what its parts are for");
    (lines > MAX_FILE_LINES).then(|| Problem::new(RULE, &source.path, 0, what))
}

fn long_functions(source: &Source) -> Vec<Problem> {
    let long =
        functions(&source.whole.body).into_iter().filter(|function| function.lines > MAX_FUNCTION_LINES);
    long.map(|Function { name, line, lines }| {
        let what =
            format!("fn {name} has {lines} lines, the limit is {MAX_FUNCTION_LINES}: give its steps names");
        Problem::new(RULE, &source.path, line, what)
    })
    .collect()
}

/// Every `fn name` with a body. A function inside another counts for both.
fn functions(toks: &[Tok]) -> Vec<Function> {
    (0..toks.len()).filter(|&at| toks[at].text == "fn").filter_map(|at| function(&toks[at..])).collect()
}

fn function(toks: &[Tok]) -> Option<Function> {
    let name = match toks.get(1)?.text.as_str() {
        "(" | "," | "}" => return None,
        "$" => toks.get(2)?.text.clone(),
        name => name.to_owned(),
    };
    let open = at_top_level(toks, &["{", ";"]).filter(|&at| toks[at].text == "{")?;
    let close = open + 1 + at_top_level(&toks[open + 1..], &["}"])?;
    let lines = toks[close].line.saturating_sub(toks[open].line + 1).max(1);
    Some(Function { name, line: toks[0].line, lines })
}

/// The first of these tokens that no bracket opened since the start encloses.
fn at_top_level(toks: &[Tok], wanted: &[&str]) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, tok) in toks.iter().enumerate() {
        let text = tok.text.as_str();
        if depth == 0 && wanted.contains(&text) {
            return Some(at);
        }
        match text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// The lines of calls that panic when they fail. An `assert!` states an invariant and is not counted.
fn panics(toks: &[Tok]) -> Vec<usize> {
    let text = |at: usize| toks.get(at).map_or("", |tok| tok.text.as_str());
    let method =
        |at: usize| at > 0 && [".", ":"].contains(&text(at - 1)) && ["unwrap", "expect"].contains(&text(at));
    let macros = ["panic", "unreachable", "todo", "unimplemented"];
    let called = |at: usize| macros.contains(&text(at)) && text(at + 1) == "!";
    (0..toks.len()).filter(|&at| method(at) || called(at)).map(|at| toks[at].line).collect()
}

fn median(mut values: Vec<usize>) -> usize {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
