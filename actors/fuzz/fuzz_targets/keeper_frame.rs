//! What keepers and nodes say to each other.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    callboard_fuzz::keeper_frame(bytes);
});
