//! See `protocol_tests::fuzz_bodies::large_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocol_tests::fuzz_bodies::large_message(data));
