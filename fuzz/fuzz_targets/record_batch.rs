//! See `protocol_tests::fuzz_bodies::record_batch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocol_tests::fuzz_bodies::record_batch(data));
