//! Records that are larger than what is asked for, and records whose time is the broker's.

use hop::kafka::{Record, StartOffset};
use hop::wire::Compression;
use hop::wire::record::TimestampType;
use protocol_tests::consuming::{next, offsets, reader, to_end};
use protocol_tests::peer::{Peer, Records, now};
use protocol_tests::target::Target;

#[tokio::test]
async fn records_that_are_larger_than_every_limit_are_delivered() {
    let target = Target::new().await;
    let topic = target.topic(3).await;
    let producer = target.client.producer().build().unwrap();
    for number in 0..4_u8 {
        for partition in 0..3 {
            let large = vec![number; 300_000 + usize::from(number)];
            let record = Record::new(topic.as_str()).partition(partition).value(large);
            producer.send(record).await.unwrap().await.unwrap();
        }
    }
    let limited = || reader(&target.client, &topic).stop_at_end(true);
    for consumer in [
        limited().max_partition_bytes(1000),
        limited().max_bytes(1000),
        limited().prefetch_bytes(1000),
        limited().max_partition_bytes(1).max_bytes(1).prefetch_bytes(1),
    ] {
        let mut consumer = consumer.build().await.unwrap();
        let mut lengths = [(); 3].map(|()| Vec::new());
        while let Some(record) = consumer.next().await.unwrap() {
            let value = record.value.unwrap();
            assert!(value.iter().all(|byte| value[0] == *byte));
            lengths[usize::try_from(record.partition).unwrap()].push(value.len());
        }
        for lengths in lengths {
            assert_eq!(lengths, [300_000, 300_001, 300_002, 300_003]);
        }
    }
}

#[tokio::test]
async fn records_of_a_log_append_time_topic_have_the_time_of_the_broker() {
    let target = Target::new().await;
    let topic = target.topic_with(1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let (mut peer, raw) = Peer::for_topic(&target.address, &topic).await;
    let started = now();
    for compression in [Compression::None, Compression::Gzip] {
        let records =
            Records { compression, ..Records::at(&[started - 9000, started - 5000, started - 7000]) };
        assert_eq!(peer.produce(&raw, 0, records.batch()).await.error_code, 0);
    }
    let mut consumer = reader(&target.client, &topic).build().await.unwrap();
    let mut times = Vec::new();
    for offset in 0..6 {
        let record = next(&mut consumer).await;
        assert_eq!((record.offset, record.timestamp_type), (offset, TimestampType::LogAppendTime));
        times.push(record.timestamp);
    }
    assert!(times.iter().all(|&time| time >= started), "{times:?} from {started}");
    assert!(
        times[..3].iter().all(|time| *time == times[0]) && times[3..].iter().all(|time| *time == times[3])
    );
    // The times by which records are looked up are the same.
    for (time, expected) in [(started - 6000, vec![0, 1, 2, 3, 4, 5]), (times[5] + 1, vec![])] {
        let consumer = reader(&target.client, &topic).start_at(StartOffset::Timestamp(time));
        let mut consumer = consumer.stop_at_end(true).build().await.unwrap();
        assert_eq!(offsets(&to_end(&mut consumer).await), expected);
    }
}
