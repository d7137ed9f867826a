//! Compacted topics: gaps, batches without records, and a tail that holds none.

use hop::kafka::admin::{ConfigChange, ConfigResource};
use hop::kafka::{OutOfRange, StartOffset, TopicPartition};
use hop::wire::Compression;
use hop::wire::error_code::ErrorCode;
use hop::wire::record::{Batches, DecodeLimits, ProducerStamp};
use kafka_protocol::messages::{InitProducerIdRequest, ProducerId};
use protocol_tests::consuming::{offsets, reader, take, to_end};
use protocol_tests::peer::{Peer, Records, Topic, now};
use protocol_tests::target::{Target, eventually, only, unique};
use protocol_tests::transactions::{add, end, init};

/// Compacted as soon as there is something to compact, and as far as Kafka does: all but the newest segment.
const COMPACTED: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.0001"), ("delete.retention.ms", "0")];

/// The time between batches, as their timestamps have it: long enough for a segment each.
const STEP_MS: i64 = 1000;

/// A topic of one partition, to be compacted when everything is written.
struct Log {
    target: Target,
    topic: Topic,
    peer: Peer,
    time: i64,
}

impl Log {
    async fn new() -> Self {
        let target = Target::real().await;
        let topic = target.topic_with(1, &[("segment.ms", "100")]).await;
        let (peer, topic) = Peer::for_topic(&target.address, &topic).await;
        Self { target, topic, peer, time: now() - 1000 * STEP_MS }
    }

    /// The next batch, of records with these keys, in a segment of its own.
    fn batch(&mut self, keys: &[&'static str], stamp: ProducerStamp) -> bytes::Bytes {
        self.time += STEP_MS;
        let values = keys.iter().map(|&key| (self.time, Some(key), format!("of {key}")));
        Records { values: values.collect(), compression: Compression::None, stamp }.batch()
    }

    async fn write(&mut self, keys: &[&'static str]) {
        let batch = self.batch(keys, ProducerStamp::NONE);
        let answer = self.peer.produce(&self.topic, 0, batch).await;
        assert_eq!(ErrorCode(answer.error_code), ErrorCode::NONE);
    }

    /// The batches as they are: the offset of each, how many it spans, and those of its records.
    async fn batches(&mut self) -> Vec<(i64, i64, Vec<i64>)> {
        let end = self.peer.end(&self.topic).await.unwrap();
        let mut found = Vec::new();
        let mut from = 0;
        while from < end {
            let bytes = self.peer.fetch(&self.topic, from, |request| request).await.records.unwrap();
            for batch in Batches::new(bytes, DecodeLimits::default()) {
                let batch = batch.unwrap();
                let records = batch.records().map(|record| record.unwrap().offset);
                found.push((
                    batch.base_offset(),
                    batch.next_offset() - batch.base_offset(),
                    records.collect(),
                ));
                from = batch.next_offset();
            }
        }
        found
    }

    /// Compacts it, and waits until these are all records that there are, control records among them.
    async fn compact_to(&mut self, expected: &[i64]) {
        let changes = COMPACTED.map(|(name, value)| ConfigChange::set(name, value));
        let topic = ConfigResource::topic(&self.topic.name);
        only(self.target.admin.alter_configs(&[(topic, &changes)]).await.unwrap()).unwrap();
        eventually("the log is compacted", async || {
            let found: Vec<_> =
                self.batches().await.into_iter().flat_map(|(_, _, records)| records).collect();
            found == expected
        })
        .await;
    }

    async fn read(&self, from: i64, most: u32) -> Vec<i64> {
        let consumer = reader(&self.target.client, &self.topic.name).start_at(StartOffset::Offset(from));
        // An offset in a gap is not out of range.
        let consumer = consumer.out_of_range(OutOfRange::Fail).max_partition_bytes(most).stop_at_end(true);
        let mut consumer = consumer.build().await.unwrap();
        let read = to_end(&mut consumer).await;
        let end = consumer.position(&TopicPartition::new(self.topic.name.as_str(), 0));
        assert_eq!(end, Some(self.peer.another().await.end(&self.topic).await.unwrap()));
        offsets(&read)
    }
}

/// Everything that there is in a fetch, or one batch.
const LIMITS: [u32; 2] = [1024 * 1024, 1];

#[tokio::test]
async fn what_compaction_has_left_is_read_in_order_past_the_gaps() {
    let mut log = Log::new().await;
    log.write(&["a", "b", "c", "d"]).await;
    log.write(&["a", "b", "e"]).await;
    log.write(&["a"]).await;
    log.write(&["newest"]).await;
    log.compact_to(&[2, 3, 5, 6, 7, 8]).await;
    for most in LIMITS {
        assert_eq!(log.read(0, most).await, [2, 3, 5, 6, 7, 8]);
        // From a gap on, between batches and in one.
        assert_eq!(log.read(1, most).await, [2, 3, 5, 6, 7, 8]);
        assert_eq!(log.read(4, most).await, [5, 6, 7, 8]);
    }
}

#[tokio::test]
async fn batches_that_compaction_has_emptied_are_passed_over() {
    let mut log = Log::new().await;
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let identity = log.peer.ask(request).await;
    assert_eq!(ErrorCode(identity.error_code), ErrorCode::NONE);
    let stamp = ProducerStamp {
        producer_id: identity.producer_id.0,
        producer_epoch: identity.producer_epoch,
        base_sequence: 0,
        transactional: false,
    };
    // Kafka keeps the last batch of a producer for its sequence number, without records if need be.
    let batch = log.batch(&["a", "b", "c"], stamp);
    assert_eq!(log.peer.produce(&log.topic, 0, batch).await.error_code, 0);
    log.write(&["a", "b", "c"]).await;
    log.write(&["newest"]).await;
    log.compact_to(&[3, 4, 5, 6]).await;
    assert_eq!(log.batches().await[0], (0, 3, vec![]));
    for most in LIMITS {
        assert_eq!(log.read(0, most).await, [3, 4, 5, 6]);
        assert_eq!(log.read(1, most).await, [3, 4, 5, 6]);
    }
}

#[tokio::test]
async fn a_compacted_tail_without_records_ends_where_the_log_ends() {
    for commits in [true, false] {
        let mut log = Log::new().await;
        log.write(&["a"]).await;
        let id = unique("transaction");
        let identity = init(&mut log.peer, &id).await;
        assert_eq!(add(&mut log.peer, &id, &identity, &log.topic).await, ErrorCode::NONE);
        let stamp = ProducerStamp {
            producer_id: identity.producer_id.0,
            producer_epoch: identity.producer_epoch,
            base_sequence: 0,
            transactional: true,
        };
        let batch = log.batch(&["b", "c"], stamp);
        assert_eq!(log.peer.produce_as(&log.topic, 0, batch, Some(&id)).await.error_code, 0);
        let expected = if commits {
            // In the transaction, and so before its end.
            let stamp = ProducerStamp { base_sequence: 2, ..stamp };
            let batch = log.batch(&["b", "c"], stamp);
            assert_eq!(log.peer.produce_as(&log.topic, 0, batch, Some(&id)).await.error_code, 0);
            vec![0, 3, 4]
        } else {
            vec![0]
        };
        assert_eq!(end(&mut log.peer, &id, &identity, commits).await, ErrorCode::NONE);
        // The newest segment holds nothing but the mark of the end.
        let mark = if commits { 5 } else { 3 };
        log.compact_to(&[expected.as_slice(), &[mark]].concat()).await;
        for most in LIMITS {
            assert_eq!(log.read(0, most).await, expected);
            assert_eq!(log.read(1, most).await, expected[1..]);
        }
    }
}

#[tokio::test]
async fn a_reader_whose_end_is_compacted_away_under_it_ends_all_the_same() {
    let mut log = Log::new().await;
    for _ in 0..10 {
        log.write(&["a"]).await;
    }
    let one_by_one = reader(&log.target.client, &log.topic.name).max_partition_bytes(1);
    let mut with_end = one_by_one.clone().stop_at_end(true).build().await.unwrap();
    let mut without = one_by_one.build().await.unwrap();
    assert_eq!(offsets(&take(&mut with_end, 1).await), [0]);
    assert_eq!(offsets(&take(&mut without, 1).await), [0]);
    log.write(&["a"]).await;
    log.write(&["newest"]).await;
    log.compact_to(&[10, 11]).await;
    // What was fetched before may still come.
    let rest = offsets(&to_end(&mut with_end).await);
    assert!(
        rest.len() < 10 && rest.iter().zip(1..).all(|(offset, expected)| *offset == expected),
        "{rest:?}"
    );
    let mut read = vec![0];
    while read.last() < Some(&11) {
        read.extend(offsets(&take(&mut without, 1).await));
    }
    let before = read.len() - 2;
    assert_eq!(read[before..], [10, 11]);
    assert!(
        before < 5 && read[..before].iter().zip(0..).all(|(offset, expected)| *offset == expected),
        "{read:?}"
    );
}
