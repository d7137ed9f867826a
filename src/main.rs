//! The `hop` program: publish and follow astronomical alerts on Kafka.

use std::process::ExitCode;

fn main() -> ExitCode {
    hop::cli::run(hop::models::Registry::standard())
}
