//! A leader that lacks what was read (KIP-320).

use hop::kafka::{Consumer, ConsumerEvent, Error, Group, OutOfRange, StartOffset, TopicPartition};
use protocol_tests::consuming::{Read, next, offsets, reader, take, to_end, within};
use protocol_tests::target::unique;

use crate::cluster::Cluster;

/// As many records survive, and as many were read.
const SURVIVE: i64 = 10;
const READ: i64 = 20;

fn values(prefix: &str, range: std::ops::Range<i64>) -> Vec<String> {
    range.map(|number| format!("{prefix} {number}")).collect()
}

/// The next event that tells of a truncation: what was read, and where the log differs.
async fn truncation(consumer: &mut Consumer) -> (i64, i64) {
    within("truncation", async {
        loop {
            match consumer.next_event().await.unwrap().expect("no end") {
                ConsumerEvent::Truncated { partition, read_up_to, diverges_at } => {
                    assert_eq!(partition.partition, 0);
                    break (read_up_to, diverges_at);
                }
                ConsumerEvent::Assigned(_) => {}
                event => panic!("{event:?}"),
            }
        }
    })
    .await
}

#[tokio::test]
async fn readers_of_what_an_unclean_election_cut_off_are_told_and_go_on_where_the_log_differs() {
    let cluster = Cluster::take().await;
    let configs = [("min.insync.replicas", "1"), ("unclean.leader.election.enable", "true")];
    let topic = cluster.topic(&[1, 2], &configs).await;
    let partition = TopicPartition::new(topic.as_str(), 0);
    let target = &cluster.target;
    target.write_values(&topic, 0, values("old", 0..SURVIVE)).await;

    // The follower stands still, and the leader goes on alone.
    cluster.operate(&["stop-node", "2"]).await;
    cluster.until("the leader is alone", &topic, |of| of.in_sync_replicas == [1]).await;
    target.write_values(&topic, 0, values("old", SURVIVE..READ)).await;

    let all = usize::try_from(READ).unwrap();
    let mut told = reader(&cluster.client().await, &topic).build().await.unwrap();
    assert_eq!(offsets(&take(&mut told, all).await), (0..READ).collect::<Vec<_>>());
    let fails = reader(&cluster.client().await, &topic).out_of_range(OutOfRange::Fail);
    let mut fails = fails.build().await.unwrap();
    take(&mut fails, all).await;
    // In the part that does not survive, and not yet at its end.
    let with_end = reader(&cluster.client().await, &topic).max_partition_bytes(1).stop_at_end(true);
    let mut with_end = with_end.build().await.unwrap();
    take(&mut with_end, all - 5).await;
    let group = Group::new(unique("group"));
    let in_group = reader(&cluster.client().await, &topic).group(group);
    let mut member = in_group.clone().build().await.unwrap();
    take(&mut member, all).await;
    member.close().await.unwrap();

    // The leader dies, and the one that comes back is all that there is.
    cluster.operate(&["kill-node", "1"]).await;
    cluster.operate(&["start-node", "2"]).await;
    cluster.until("the other leads", &topic, |of| of.leader == Some(2)).await;

    assert_eq!(truncation(&mut told).await, (READ, SURVIVE));
    assert_eq!(told.position(&partition), Some(SURVIVE));
    for _ in 0..2 {
        let error = within("error", fails.next()).await.unwrap_err();
        let Error::Truncated { topic: named, partition: 0, offset: READ, diverges_at: SURVIVE } = &error
        else {
            panic!("{error}")
        };
        assert_eq!(*named, topic);
    }
    // Up to the end that is there now: what was its end will not come again.
    let rest = to_end(&mut with_end).await;
    assert!(rest.iter().all(|(_, offset, _)| *offset > READ - 6), "{rest:?}");

    target.write_values(&topic, 0, values("new", SURVIVE..READ + 5)).await;
    let expected: Vec<Read> =
        (SURVIVE..).zip(values("new", SURVIVE..READ + 5)).map(|(offset, value)| (0, offset, value)).collect();
    assert_eq!(take(&mut told, expected.len()).await, expected);
    fails.seek(&partition, StartOffset::Offset(SURVIVE)).unwrap();
    assert_eq!(take(&mut fails, expected.len()).await, expected);
    // The group has committed what is gone, though the log is longer than that again.
    let mut member = in_group.build().await.unwrap();
    assert_eq!(truncation(&mut member).await, (READ, SURVIVE));
    assert_eq!(take(&mut member, expected.len()).await, expected);
    member.close().await.unwrap();

    // The old leader comes back, gives up what the new one lacks, and leads again: nobody notices.
    cluster.operate(&["start-node", "1"]).await;
    cluster.operate(&["move-leader", &topic, "0", "1"]).await;
    target.write_values(&topic, 0, values("newer", READ + 5..READ + 6)).await;
    let record = next(&mut told).await;
    assert_eq!(record.offset, READ + 5);
}
