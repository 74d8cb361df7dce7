//! The lexer on small sources.

use crate::lexer::{Lexed, lex, texts};

fn product(source: &str) -> Lexed {
    lex(source, false).expect("the sample lexes")
}

fn body(source: &str) -> String {
    let body = product(source).body;
    body.iter().map(|tok| tok.text.as_str()).collect::<Vec<_>>().join(" ")
}

fn uses(source: &str) -> Vec<String> {
    let path = |path: &Vec<crate::lexer::Tok>| path.iter().map(|tok| tok.text.as_str()).collect();
    product(source).uses.iter().map(path).collect()
}

#[test]
fn comments_vanish_and_a_string_is_one_token() {
    let source = "/* unsafe */ fn a() { // unsafe\n b(\"unsafe x\") }";
    assert_eq!(body(source), "fn a ( ) { b ( \"unsafe x\" ) }");
    assert_eq!(product(source).body.last().map(|tok| tok.line), Some(2));
}

#[test]
fn a_use_tree_becomes_one_path_for_each_leaf() {
    assert_eq!(
        uses("pub(crate) use a::{self, b::{c, d as e}, *}; use f::g; fn h() { use i::j; }"),
        ["a::self", "a::b::c", "a::b::dase", "a::*", "f::g", "i::j"]
    );
    assert_eq!(uses("fn f<'a>(x: &'a u8) -> impl Sized + use<'a> { x }"), Vec::<String>::new());
}

#[test]
fn test_items_are_left_out() {
    let left_out = [
        "#[cfg(test)] mod tests { fn x() {} }",
        "#[cfg(test)] #[path = \"x.rs\"] mod tests;",
        "#[cfg(all(test, unix))] fn x() -> [u8; 2] { [1; 2] }",
        "#[cfg(any(test, feature = \"testing\"))] pub(crate) mod probe;",
        "#[test] fn x() {}",
        "#[actix::test] async fn x() { y() }",
        "#[test] #[should_panic(expected = \"x\")] fn x() {}",
        "#[cfg(test)] use a::{b, c};",
        "#[cfg(test)] const X: T = T { a: 1 };",
        "#[cfg(test)] const fn x() {}",
        "#[cfg(test)] impl X for Y { fn z() {} }",
        "#![cfg(test)] fn y() {}",
    ];
    for source in left_out {
        assert_eq!(body(&format!("fn a() {{}} {source}")), "fn a ( ) { }", "{source}");
    }
    assert_eq!(body("struct A { #[cfg(test)] b: u8, c: u8 }"), "struct A { c : u8 }");
    assert_eq!(body("#[cfg(test)] fn x() {} fn a() {}"), "fn a ( ) { }");
}

#[test]
fn product_items_stay() {
    for source in
        ["#[cfg(not(test))] fn a() {}", "#[cfg(feature = \"test\")] mod a;", "#[derive(Debug)] struct A;"]
    {
        assert_eq!(body(source).split(' ').next(), Some("#"), "{source}");
    }
    assert_eq!(lex("#[test] fn a() {}", true).expect("it lexes").body.len(), 10);
}

#[test]
fn modules_that_only_tests_compile_are_named() {
    assert_eq!(product("#[cfg(test)] pub mod probe; mod b;").test_mods, ["probe"]);
    assert!(product("#![cfg(test)] fn a() {}").all_test);
    assert!(!product("mod a { #![cfg(test)] }").all_test);
    assert_eq!(product("fn a() {}\n#[test]\nfn b() {\n}\n").test_lines, [2..=4]);
}

#[test]
fn inline_modules_are_counted() {
    let lexed = product("x; mod a { y; pub mod b { z; } w; }");
    let depth = |text: &str| lexed.body.iter().find(|tok| tok.text == text).map(|tok| tok.inline_mods);
    assert_eq!([depth("x"), depth("y"), depth("z"), depth("w")], [Some(0), Some(1), Some(2), Some(1)]);
}

#[test]
fn a_pattern_is_split_like_source() {
    assert_eq!(texts(".unwrap()"), [".", "unwrap", "(", ")"]);
    assert_eq!(texts("Addr<"), ["Addr", "<"]);
}
