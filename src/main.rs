//! The `hop` program: publish and follow astronomical alerts on Kafka.

use std::process::ExitCode;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    hop::cli::run(hop::models::Registry::standard())
}
