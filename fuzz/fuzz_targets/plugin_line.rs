//! See `protocol_tests::fuzz_bodies::plugin_line`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocol_tests::fuzz_bodies::plugin_line(data));
