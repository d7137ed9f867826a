//! See `protocol_tests::fuzz_bodies::broker_connection`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocol_tests::fuzz_bodies::broker_connection(data));
