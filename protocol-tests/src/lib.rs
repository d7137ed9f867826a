//! Conformance tests of hop-client; see `tests/`.
