//! Results on the disk of a node that is elsewhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    callboard_fuzz::result_log(bytes);
});
