//! The `callboard` executable: arguments in, exit code out. The only place that ends the process.

#[allow(clippy::disallowed_methods, reason = "the only place that may end the process")]
fn main() {
    // First of all: this process may be a keeper, which must start no thread and open nothing.
    if let Some(code) = callboard_actors::sandbox_entry() {
        std::process::exit(code);
    }
    std::process::exit(callboard::cli::main());
}
