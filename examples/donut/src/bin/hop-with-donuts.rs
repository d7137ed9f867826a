//! The whole `hop` command line, with one more format: `hop-with-donuts publish -f DONUT URL FILE`.

use std::process::ExitCode;
use std::sync::Arc;

use donut::DonutFormat;
use hop::models::Registry;

fn main() -> ExitCode {
    let mut registry = Registry::standard();
    registry.register(Arc::new(DonutFormat));
    hop::cli::run(registry)
}
