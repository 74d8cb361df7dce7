//! The bodies that submit jobs, and what becomes of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    callboard_fuzz::job_body(bytes);
});
