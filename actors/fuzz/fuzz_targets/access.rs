//! Tokens, names of tenants, and lists of scopes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    callboard_fuzz::access(bytes);
});
