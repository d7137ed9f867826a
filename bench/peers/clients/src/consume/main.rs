//! The other clients that are Rust libraries, and librdkafka.

mod krafka_client;
mod rdkafka_client;
#[path = "../reading.rs"]
mod reading;
mod rskafka_client;

use std::process::ExitCode;

use reading::on_one_thread;

fn main() -> ExitCode {
    reading::main(|client, task| match client {
        "rdkafka" => rdkafka_client::read(task),
        "rskafka" => on_one_thread(rskafka_client::read(task)),
        "krafka" => on_one_thread(krafka_client::read(task)),
        _ => Err("there is no such client".into()),
    })
}
