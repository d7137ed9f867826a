//! Transactional topics: aborted, interleaved and open transactions, and control records at the end.

use hop::kafka::{ConsumerEvent, Isolation, TopicPartition};
use hop::wire::error_code::ErrorCode;
use kafka_protocol::messages::InitProducerIdResponse;
use protocol_tests::consuming::{Read, next, parts, reader, take, to_end, within};
use protocol_tests::peer::{Peer, Records, Topic};
use protocol_tests::target::{Target, eventually, unique};
use protocol_tests::transactions::{add, end, init, write};

const UNCOMMITTED: i8 = 0;

/// A topic of one partition, and what writes to it outside of transactions.
struct Log {
    target: Target,
    topic: Topic,
    peer: Peer,
}

impl Log {
    async fn new() -> Self {
        let target = Target::new().await;
        let (peer, topic) = Peer::for_topic(&target.address, &target.topic(1).await).await;
        Self { target, topic, peer }
    }

    async fn producer(&self) -> TransactionalProducer {
        let mut peer = Peer::connect_to(&self.target.address).await;
        let id = unique("transaction");
        let identity = init(&mut peer, &id).await;
        TransactionalProducer { peer, id, identity, topic: self.topic.clone(), sequence: 0 }
    }

    async fn write(&mut self, value: &str) {
        let answer = self.peer.produce(&self.topic, 0, Records::of(&[value]).batch()).await;
        assert_eq!(ErrorCode(answer.error_code), ErrorCode::NONE);
    }

    /// Waits until the log has so many records, marks of ends among them: a Kafka writes those behind its answer.
    async fn has(&mut self, records: i64) {
        eventually("the marks are written", async || {
            self.peer.offset_of(&self.topic, -1, UNCOMMITTED).await.0 == records
        })
        .await;
    }
}

struct TransactionalProducer {
    peer: Peer,
    id: String,
    identity: InitProducerIdResponse,
    topic: Topic,
    sequence: i32,
}

impl TransactionalProducer {
    /// Writes a record in the transaction, which begins with the first.
    async fn write(&mut self, value: &str) {
        let Self { peer, id, identity, topic, .. } = self;
        assert_eq!(add(peer, id, identity, topic).await, ErrorCode::NONE);
        let batch = write(identity, self.sequence, &[value]);
        let answer = peer.produce_as(topic, 0, batch, Some(id)).await;
        assert_eq!(ErrorCode(answer.error_code), ErrorCode::NONE);
        self.sequence += 1;
    }

    async fn commit(&mut self) {
        assert_eq!(end(&mut self.peer, &self.id, &self.identity, true).await, ErrorCode::NONE);
    }

    async fn abort(&mut self) {
        assert_eq!(end(&mut self.peer, &self.id, &self.identity, false).await, ErrorCode::NONE);
    }
}

fn read(expected: &[(i64, &str)]) -> Vec<Read> {
    expected.iter().map(|&(offset, value)| (0, offset, value.to_owned())).collect()
}

#[tokio::test]
async fn interleaved_transactions_are_told_apart_also_when_each_batch_comes_in_a_fetch_of_its_own() {
    let mut log = Log::new().await;
    let (mut one, mut two) = (log.producer().await, log.producer().await);
    one.write("aborted 0").await;
    log.write("plain 1").await;
    two.write("committed 2").await;
    one.write("aborted 3").await;
    two.write("committed 4").await;
    two.commit().await;
    log.has(6).await;
    one.write("aborted 6").await;
    log.write("plain 7").await;
    one.abort().await;
    log.has(9).await;
    // The same producers the other way round.
    one.write("committed 9").await;
    two.write("aborted 10").await;
    one.commit().await;
    log.has(12).await;
    two.write("aborted 12").await;
    two.abort().await;
    log.has(14).await;
    log.write("plain 14").await;

    let committed = read(&[
        (1, "plain 1"),
        (2, "committed 2"),
        (4, "committed 4"),
        (7, "plain 7"),
        (9, "committed 9"),
        (14, "plain 14"),
    ]);
    // As much as there is comes in a fetch, or one batch.
    for most in [1024 * 1024, 1] {
        let client = &log.target.client;
        let consumer = || reader(client, &log.topic.name).max_partition_bytes(most).stop_at_end(true);
        let mut some = consumer().build().await.unwrap();
        assert_eq!(to_end(&mut some).await, committed, "{most}");
        let mut all = consumer().isolation(Isolation::ReadUncommitted).build().await.unwrap();
        let all: Vec<_> = to_end(&mut all).await.into_iter().map(|(_, offset, _)| offset).collect();
        assert_eq!(all, [0, 1, 2, 3, 4, 6, 7, 9, 10, 12, 14], "{most}");
    }
}

/// Reads to the end in a group, by batches or one by one; how many records there were, and what is committed then.
async fn read_in_group(log: &Log, group: &str, by_batches: bool) -> (usize, Vec<i64>) {
    let consumer = reader(&log.target.client, &log.topic.name).group(group).stop_at_end(true);
    let mut consumer = consumer.build().await.unwrap();
    let mut count = 0;
    if by_batches {
        while let Some(batch) = within("batch or end", consumer.next_batch()).await.unwrap() {
            count += batch.records().count();
        }
    } else {
        count = to_end(&mut consumer).await.len();
    }
    consumer.close().await.unwrap();
    let committed = log.target.client.admin().committed_offsets(group).await.unwrap();
    (count, committed.into_iter().map(|(_, offset)| offset.offset).collect())
}

#[tokio::test]
async fn a_group_that_has_read_everything_does_not_lag_behind_by_marks_and_what_was_aborted() {
    for by_batches in [true, false] {
        let mut log = Log::new().await;
        let group = unique("group");
        let mut producer = log.producer().await;
        producer.write("committed 0").await;
        producer.commit().await;
        log.has(2).await;
        assert_eq!(read_in_group(&log, &group, by_batches).await, (1, vec![2]));
        producer.write("aborted 2").await;
        producer.write("aborted 3").await;
        producer.abort().await;
        log.has(5).await;
        assert_eq!(read_in_group(&log, &group, by_batches).await, (0, vec![5]));
    }
}

#[tokio::test]
async fn a_reader_that_begins_amid_an_aborted_transaction_gets_nothing_of_it() {
    let mut log = Log::new().await;
    let mut producer = log.producer().await;
    for value in ["aborted 0", "aborted 1", "aborted 2"] {
        producer.write(value).await;
    }
    producer.abort().await;
    log.has(4).await;
    log.write("plain 4").await;
    for from in 0..=4 {
        let start = hop::kafka::StartOffset::Offset(from);
        let consumer = reader(&log.target.client, &log.topic.name).start_at(start).stop_at_end(true);
        let mut consumer = consumer.build().await.unwrap();
        assert_eq!(to_end(&mut consumer).await, read(&[(4, "plain 4")]), "from {from}");
    }
}

#[tokio::test]
async fn a_reader_with_an_end_ends_before_an_open_transaction_and_one_without_goes_on_when_it_is_committed() {
    let mut log = Log::new().await;
    let mut producer = log.producer().await;
    log.write("plain 0").await;
    producer.write("open 1").await;
    log.write("behind 2").await;

    let with_end = reader(&log.target.client, &log.topic.name).stop_at_end(true);
    let mut committed = with_end.clone().build().await.unwrap();
    assert_eq!(to_end(&mut committed).await, read(&[(0, "plain 0")]));
    let mut everything = with_end.clone().isolation(Isolation::ReadUncommitted).build().await.unwrap();
    assert_eq!(to_end(&mut everything).await, read(&[(0, "plain 0"), (1, "open 1"), (2, "behind 2")]));

    let mut lasting = reader(&log.target.client, &log.topic.name).build().await.unwrap();
    assert_eq!(take(&mut lasting, 1).await, read(&[(0, "plain 0")]));
    let lags: Vec<_> = lasting.lag().into_iter().map(|lag| (lag.position, lag.end)).collect();
    assert_eq!(lags, [(1, 1)], "the end is that of what may be read");
    producer.commit().await;
    assert_eq!(take(&mut lasting, 2).await, read(&[(1, "open 1"), (2, "behind 2")]));
    log.has(4).await;
    let mut committed = with_end.build().await.unwrap();
    assert_eq!(to_end(&mut committed).await, read(&[(0, "plain 0"), (1, "open 1"), (2, "behind 2")]));
}

#[tokio::test]
async fn a_transaction_that_is_open_at_the_beginning_leaves_a_reader_with_an_end_nothing() {
    let log = Log::new().await;
    let mut producer = log.producer().await;
    producer.write("open 0").await;
    let mut consumer = reader(&log.target.client, &log.topic.name).stop_at_end(true).build().await.unwrap();
    assert_eq!(to_end(&mut consumer).await, []);
    producer.abort().await;
}

#[tokio::test]
async fn control_records_and_aborted_records_at_the_end_are_passed_over_up_to_the_end_of_the_log() {
    for aborts in [false, true] {
        let mut log = Log::new().await;
        let mut producer = log.producer().await;
        log.write("plain 0").await;
        producer.write("of the transaction 1").await;
        let expected = if aborts {
            producer.abort().await;
            read(&[(0, "plain 0")])
        } else {
            producer.commit().await;
            read(&[(0, "plain 0"), (1, "of the transaction 1")])
        };
        log.has(3).await;
        let partition = TopicPartition::new(log.topic.name.as_str(), 0);

        let mut with_end =
            reader(&log.target.client, &log.topic.name).stop_at_end(true).build().await.unwrap();
        assert_eq!(to_end(&mut with_end).await, expected);
        assert_eq!(with_end.position(&partition), Some(3));

        let lasting = reader(&log.target.client, &log.topic.name).announce_ends(true);
        let mut lasting = lasting.build().await.unwrap();
        let end = within("end of the partition", async {
            loop {
                if let Some(ConsumerEvent::EndOfPartition { offset, .. }) =
                    lasting.next_event().await.unwrap()
                {
                    break offset;
                }
            }
        });
        assert_eq!(end.await, 3);
        assert_eq!(
            lasting.lag().iter().map(|lag| (lag.position, lag.end, lag.lag())).collect::<Vec<_>>(),
            [(3, 3, 0)]
        );
        log.write("plain 3").await;
        assert_eq!(parts(&next(&mut lasting).await), (0, 3, "plain 3".to_owned()));
    }
}
