//! What a room's first process tells its keeper.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    callboard_fuzz::room_words(bytes);
});
