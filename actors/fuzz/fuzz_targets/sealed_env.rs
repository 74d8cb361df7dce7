//! Sealed secret variables.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    callboard_fuzz::sealed_env(bytes);
});
