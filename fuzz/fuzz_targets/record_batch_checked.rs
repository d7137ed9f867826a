//! See `protocol_tests::fuzz_bodies::record_batch_checked`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocol_tests::fuzz_bodies::record_batch_checked(data));
