//! Durations, in queries and settings.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    callboard_fuzz::duration(bytes);
});
