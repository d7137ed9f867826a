//! A test of a program that publishes and reads, on a broker of its own: no Kafka, no fixed port, nothing to clean up.
//!
//! As a program: `cargo run --example broker_in_a_test`.

use hop::Stream;
use hop::broker::{Broker, Fault};
use hop::models::JsonBlob;
use hop::stream::StartPosition;
use hop::wire::error_code::ErrorCode;
use hop::wire::messages::ProduceRequest;

/// What is to be tested: publishes an alert, and gives back the first that is there.
async fn echo(url: &str) -> Result<String, Box<dyn std::error::Error>> {
    let stream = Stream::anonymous();
    let writer = stream.writer(url).open().await?;
    writer.write(&JsonBlob::load(br#"{"flux": 1.5}"#)?).await?.await?;
    let mut alerts = stream.reader(url).start_at(StartPosition::Earliest).open().await?;
    let first = alerts.next().await?.ok_or("no alert")?;
    Ok(first.model().to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().topic("alerts", 1).start().await?;
    // It works even if the broker is not itself at first.
    broker.misbehave(Fault::on::<ProduceRequest>().answer(ErrorCode::NOT_LEADER_OR_FOLLOWER).times(2));
    let alert = echo(&format!("kafka://{}/alerts", broker.address())).await?;
    assert_eq!(alert, r#"{"flux": 1.5}"#);
    Ok(())
}
