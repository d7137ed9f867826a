//! The other clients that are Rust libraries, and librdkafka.

mod krafka_client;
mod rdkafka_client;
mod rskafka_client;
#[path = "../writing.rs"]
mod writing;

use std::process::ExitCode;

use writing::on_one_thread;

fn main() -> ExitCode {
    writing::main(|client, task| match client {
        "rdkafka" => rdkafka_client::write(task),
        "rskafka" => on_one_thread(rskafka_client::write(task)),
        "krafka" => on_one_thread(krafka_client::write(task)),
        _ => Err("there is no such client".into()),
    })
}
