//! See `protocol_tests::fuzz_bodies::avro`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocol_tests::fuzz_bodies::avro(data));
