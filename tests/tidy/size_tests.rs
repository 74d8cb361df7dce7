//! The rules of size on small sources.

use crate::size::{Figures, check, check_figures, figures};
use crate::source::{Source, sample};

fn refused(source: Source) -> Vec<String> {
    check(&[source]).iter().map(ToString::to_string).collect()
}

fn function_of(lines: usize) -> String {
    format!("fn long() {{\n{}}}\n", "    step();\n".repeat(lines))
}

#[test]
fn a_file_of_400_lines_is_the_longest() {
    assert!(refused(sample("src/a.rs", &"//\n".repeat(400))).is_empty());
    assert_eq!(
        refused(sample("tests/it/a.rs", &"//\n".repeat(401))),
        ["tests/it/a.rs: [size] 401 lines, the limit is 400: split it by what its parts are for"]
    );
}

#[test]
fn a_function_of_70_lines_is_the_longest() {
    assert!(refused(sample("src/a.rs", &function_of(70))).is_empty());
    assert_eq!(
        refused(sample("src/a.rs", &format!("\n{}", function_of(71)))),
        ["src/a.rs:2: [size] fn long has 71 lines, the limit is 70: give its steps names"]
    );
}

#[test]
fn long_functions_are_found_wherever_they_stand() {
    let long = function_of(71);
    for text in [
        format!("impl A {{ pub async {long} }}"),
        format!("#[cfg(test)] mod tests {{ #[test] {long} }}"),
        format!("mod a {{ mod b {{ {long} }} }}"),
        format!("macro_rules! a {{ () => {{ {long} }} }}"),
        long.replace("fn long()", "fn long<T: Fn(u8) -> [u8; 2]>(a: fn(u8), b: [u8; 3]) -> T where T: Sized"),
    ] {
        assert_eq!(refused(sample("src/a.rs", &text)).len(), 1, "{text}");
    }
    assert!(refused(sample("src/a.rs", "trait A { fn b(); fn c(d: fn()); }\n")).is_empty());
}

#[test]
fn figures_leave_tests_out() {
    let text = "fn a() { b() }\nfn c() {\n  d().expect(\"x\");\n  unreachable!();\n  e.unwrap_or(1)\n}\n\
                #[cfg(test)]\nmod tests {\n  fn f() { g().unwrap() }\n}\n";
    let found = figures(&[sample("src/a.rs", text), sample("tests/it/main.rs", "fn h() { panic!() }")]);
    let expected = Figures {
        files: 1,
        lines: 6,
        functions: 2,
        median_file_lines: 6,
        median_function_lines: 3,
        panics: 2,
    };
    assert_eq!(found, expected);
}

#[test]
fn every_figure_has_a_limit() {
    let fine = Figures {
        lines: 2000,
        median_file_lines: 150,
        median_function_lines: 10,
        panics: 6,
        ..Default::default()
    };
    assert!(check_figures(&fine).is_empty());
    let over = Figures { median_file_lines: 151, median_function_lines: 11, panics: 7, ..fine };
    assert_eq!(check_figures(&over).len(), 3);
    assert!(check_figures(&over)[2].what.starts_with("the number of panicking calls is 7, the limit is 6"));
}
