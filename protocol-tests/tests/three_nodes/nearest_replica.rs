//! Reading from the nearest replica (KIP-392).

use hop::kafka::{Address, Client};
use protocol_tests::consuming::{offsets, reader, take};

use crate::cluster::Cluster;

const RECORDS: i64 = 200;
const RECORD_BYTES: usize = 10_000;
const ALL_BYTES: u64 = 2_000_000;

/// How many bytes a client has got from each node.
fn received(client: &Client, cluster: &Cluster) -> Vec<u64> {
    let metrics = client.metrics();
    let of = |address: String| {
        let address: Address = address.parse().unwrap();
        metrics.iter().filter(|of| of.broker == address).map(|of| of.bytes_received).sum()
    };
    cluster.addresses().into_iter().map(of).collect()
}

#[tokio::test]
async fn a_reader_in_a_rack_fetches_from_the_replica_there_and_from_the_leader_when_that_is_gone() {
    let cluster = Cluster::take().await;
    let topic = cluster.topic(&[1, 2, 3], &[]).await;
    let value = "x".repeat(RECORD_BYTES);
    cluster.target.write_values(&topic, 0, (0..RECORDS).map(|_| value.clone())).await;

    for (rack, nearest) in [(None, 1), (Some("rack-1"), 1), (Some("rack-3"), 3), (Some("rack-2"), 2)] {
        let client = cluster.client().await;
        let consumer = reader(&client, &topic);
        let consumer = match rack {
            Some(rack) => consumer.rack(rack),
            None => consumer,
        };
        let mut consumer = consumer.build().await.unwrap();
        let read = take(&mut consumer, usize::try_from(RECORDS).unwrap()).await;
        assert_eq!(offsets(&read), (0..RECORDS).collect::<Vec<_>>());
        for (bytes, node) in received(&client, &cluster).into_iter().zip(1..) {
            let served = bytes >= ALL_BYTES;
            // What others send beside: who leads, and who is nearest.
            assert!(
                served == (node == nearest) && (served || bytes < ALL_BYTES / 10),
                "{rack:?}: {bytes} from {node}"
            );
        }
        if nearest == 2 {
            cluster.operate(&["kill-node", "2"]).await;
            cluster.target.write_values(&topic, 0, (0..RECORDS).map(|_| value.clone())).await;
            let read = take(&mut consumer, usize::try_from(RECORDS).unwrap()).await;
            assert_eq!(offsets(&read), (RECORDS..2 * RECORDS).collect::<Vec<_>>());
            assert!(received(&client, &cluster)[0] >= ALL_BYTES);
        }
    }
}
