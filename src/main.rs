//! The `hop` program.
fn main() {}
