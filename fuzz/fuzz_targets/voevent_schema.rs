//! See `protocol_tests::fuzz_bodies::voevent_schema`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocol_tests::fuzz_bodies::voevent_schema(data));
