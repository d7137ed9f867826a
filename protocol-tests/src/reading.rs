//! What a consumer makes of a scripted peer's log.

use hop::kafka::{Client, Error, StartOffset};

use crate::scripted_peer::TOPIC;

/// The values of all records, from the first to the end that the log has when it is first seen.
///
/// # Errors
///
/// What the consumer says.
pub async fn read_all(client: &Client) -> Result<Vec<String>, Error> {
    let consumer = client.consumer().topics([TOPIC]).start_at(StartOffset::Earliest).stop_at_end(true);
    let mut consumer = consumer.build().await?;
    let mut values = Vec::new();
    while let Some(batch) = consumer.next_batch().await? {
        for record in batch.records() {
            values.push(String::from_utf8_lossy(record?.value.unwrap_or_default()).into_owned());
        }
    }
    Ok(values)
}
