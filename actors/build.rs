//! Tells the crate which compiler builds it, for `callboard_build_info`. Nothing here may fail a build: what is not known
//! is left out.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "this is how a build script hears and speaks"
)]

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CALLBOARD_REVISION");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = Command::new(rustc).arg("--version").output().ok().filter(|told| told.status.success());
    let version = told.and_then(|told| String::from_utf8(told.stdout).ok());
    if let Some(number) = version.as_deref().and_then(|version| version.split_whitespace().nth(1)) {
        println!("cargo:rustc-env=CALLBOARD_RUSTC={number}");
    }
}
