//! What a broker of share groups does not do on demand, done by a scripted peer: it says no, cuts connections, sends
//! damaged records, and notices every request that is out of turn.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hop::kafka::{Acknowledgement, Client, Error, ShareConsumer};
use hop::wire::Compression;
use hop::wire::error_code::ErrorCode;
use hop::wire::record::{BatchBuilder, ProducerStamp, place};
use kafka_protocol::messages::share_fetch_response::{
    AcquiredRecords, PartitionData, ShareFetchableTopicResponse,
};
use kafka_protocol::messages::share_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use protocol_tests::scripted_peer::{Answer, Asked, Peer, TOPIC, TOPIC_ID};

use crate::target::{eventually, number, numbers};

/// A broker with one member, one partition and one batch of records after the other.
#[derive(Default)]
struct Share {
    address: (String, i32),
    heartbeat_code: i16,
    /// What the next fetches bring: records, and the range acquired.
    batches: Vec<(Bytes, i64, i64)>,
    /// What is to be done about the next request of a session instead of answering.
    next: Option<Answer>,
    /// How long the next fetch takes.
    delay: Option<Duration>,
    expected_epoch: Option<i32>,
    /// What was acknowledged: first and last offset, and how.
    acknowledged: Vec<(i64, i64, i8)>,
    /// The epochs of heartbeats.
    heartbeats: Vec<i32>,
    ended: bool,
}

type Shared = Arc<Mutex<Share>>;

fn lock(share: &Shared) -> MutexGuard<'_, Share> {
    share.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn start() -> (Peer, Shared, Client) {
    let share = Shared::default();
    let scripted = Arc::clone(&share);
    let peer = Peer::start(move |asked| lock(&scripted).answer(asked)).await;
    let address = peer.bootstrap();
    let (host, port) = address.rsplit_once(':').unwrap();
    lock(&share).address = (host.to_owned(), port.parse().unwrap());
    let client = Client::builder().bootstrap(&address).connect().await.unwrap();
    (peer, share, client)
}

async fn explicit(client: &Client) -> ShareConsumer {
    let builder = client.share_consumer().topics([TOPIC]).group("g").max_wait(Duration::from_millis(20));
    builder.acknowledge_explicitly(true).build().await.unwrap()
}

/// Numbers from `first` on, as one batch.
fn batch(first: i64, count: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for number in first..first + count {
        builder.append(0, None, Some(number.to_string().as_bytes()), &[]).unwrap();
    }
    place(&builder.finish(ProducerStamp::NONE).unwrap(), first, 0, None)
}

impl Share {
    fn answer(&mut self, asked: &Asked) -> Answer {
        match asked.api {
            ApiKey::FindCoordinator => {
                let found = FindCoordinatorResponse::default()
                    .with_host(StrBytes::from_string(self.address.0.clone()))
                    .with_port(self.address.1);
                asked.with(&found)
            }
            ApiKey::ShareGroupHeartbeat => {
                let request: ShareGroupHeartbeatRequest = asked.request();
                self.heartbeats.push(request.member_epoch);
                let assigned = TopicPartitions::default().with_topic_id(TOPIC_ID).with_partitions(vec![0]);
                let response = ShareGroupHeartbeatResponse::default()
                    .with_error_code(self.heartbeat_code)
                    .with_member_id(Some(request.member_id))
                    .with_member_epoch(if request.member_epoch < 0 { -1 } else { 1 })
                    .with_heartbeat_interval_ms(200)
                    .with_assignment(Some(Assignment::default().with_topic_partitions(vec![assigned])));
                asked.with(&response)
            }
            ApiKey::ShareFetch => {
                let request: ShareFetchRequest = asked.request();
                let told: Vec<_> = request
                    .topics
                    .iter()
                    .flat_map(|topic| &topic.partitions)
                    .flat_map(|partition| &partition.acknowledgement_batches)
                    .map(|batch| (batch.first_offset, batch.last_offset, batch.acknowledge_types[0]))
                    .collect();
                if let Some(instead) = self.in_session(request.share_session_epoch, &told) {
                    return instead;
                }
                let mut data = PartitionData::default();
                if !self.batches.is_empty() {
                    let (records, first, last) = self.batches.remove(0);
                    let acquired = AcquiredRecords::default()
                        .with_first_offset(first)
                        .with_last_offset(last)
                        .with_delivery_count(1);
                    data = data.with_records(Some(records)).with_acquired_records(vec![acquired]);
                }
                let topic = ShareFetchableTopicResponse::default()
                    .with_topic_id(TOPIC_ID)
                    .with_partitions(vec![data]);
                let response = ShareFetchResponse::default()
                    .with_acquisition_lock_timeout_ms(30_000)
                    .with_responses(vec![topic]);
                match (asked.with(&response), self.delay.take()) {
                    (Answer::Message(body), Some(delay)) => Answer::LateMessage(body, delay),
                    (answer, _) => answer,
                }
            }
            ApiKey::ShareAcknowledge => {
                use kafka_protocol::messages::share_acknowledge_response as response;
                let request: ShareAcknowledgeRequest = asked.request();
                let told: Vec<_> = request
                    .topics
                    .iter()
                    .flat_map(|topic| &topic.partitions)
                    .flat_map(|partition| &partition.acknowledgement_batches)
                    .map(|batch| (batch.first_offset, batch.last_offset, batch.acknowledge_types[0]))
                    .collect();
                if let Some(instead) = self.in_session(request.share_session_epoch, &told) {
                    return instead;
                }
                let topic = response::ShareAcknowledgeTopicResponse::default()
                    .with_topic_id(TOPIC_ID)
                    .with_partitions(vec![response::PartitionData::default()]);
                asked.with(&ShareAcknowledgeResponse::default().with_responses(vec![topic]))
            }
            _ => Answer::Normally,
        }
    }

    /// Every request has its number; one that begins a session acknowledges nothing.
    fn in_session(&mut self, epoch: i32, told: &[(i64, i64, i8)]) -> Option<Answer> {
        match epoch {
            0 => assert!(told.is_empty(), "{told:?} in a first request"),
            -1 => self.ended = true,
            epoch => assert_eq!(Some(epoch), self.expected_epoch, "out of turn"),
        }
        if let Some(instead) = self.next.take() {
            // The session ends with the connection.
            self.expected_epoch = None;
            return Some(instead);
        }
        self.expected_epoch = Some(if epoch < 0 { 0 } else { epoch + 1 });
        self.acknowledged.extend(told);
        None
    }
}

#[tokio::test]
async fn share_groups_that_are_switched_off_are_named_with_what_switches_them_on() {
    let (_peer, share, client) = start().await;
    lock(&share).heartbeat_code = ErrorCode::UNSUPPORTED_VERSION.0;
    let mut consumer = explicit(&client).await;
    for _ in 0..2 {
        let error = consumer.next().await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::UNSUPPORTED_VERSION));
        let words = error.to_string();
        assert!(words.contains("share.version") && words.contains("4.2"), "{words}");
    }
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn what_was_said_when_a_connection_breaks_is_a_failure_and_reading_goes_on() {
    let (_peer, share, client) = start().await;
    lock(&share).batches.extend([(batch(0, 2), 0, 1), (batch(0, 2), 0, 1)]);
    let mut consumer = explicit(&client).await;
    let first = consumer.next().await.unwrap().unwrap();
    consumer.acknowledge(&first, Acknowledgement::Accept).unwrap();
    lock(&share).next = Some(Answer::HangUp);
    let outcomes = consumer.commit().await;
    let [(_, Err(error))] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(matches!(error, Error::Disconnected { .. }), "{error}");
    // The second was held in that session, too.
    let partition = hop::kafka::TopicPartition::new(TOPIC, 0);
    let late = consumer.acknowledge_offsets(&partition, [1], Acknowledgement::Accept);
    assert!(matches!(&late, Err(Error::NotHeld { offset: 1, .. })), "{late:?}");
    for expected in 0..2 {
        let shared = consumer.next().await.unwrap().unwrap();
        assert_eq!(number(&shared), expected);
        consumer.acknowledge(&shared, Acknowledgement::Accept).unwrap();
    }
    let outcomes = consumer.commit().await;
    assert!(matches!(&outcomes[..], [(_, Ok(()))]), "{outcomes:?}");
    assert_eq!(lock(&share).acknowledged, [(0, 1, 1)]);
}

#[tokio::test]
async fn a_commit_waits_for_the_fetch_that_is_under_way() {
    let (_peer, share, client) = start().await;
    lock(&share).batches.push((batch(0, 1), 0, 0));
    let mut consumer = explicit(&client).await;
    let shared = consumer.next().await.unwrap().unwrap();
    // A fetch is under way whose answer takes its time; whoever asked for it no longer waits.
    lock(&share).delay = Some(Duration::from_millis(300));
    assert!(tokio::time::timeout(Duration::from_millis(30), consumer.next()).await.is_err());
    assert_eq!(lock(&share).delay, None, "nothing is under way");
    consumer.acknowledge(&shared, Acknowledgement::Reject).unwrap();
    let outcomes = consumer.commit().await;
    assert!(matches!(&outcomes[..], [(_, Ok(()))]), "{outcomes:?}");
    assert_eq!(lock(&share).acknowledged, [(0, 0, 3)]);
}

#[tokio::test]
async fn damaged_records_are_named_and_released_or_rejected_on_request() {
    for skip in [false, true] {
        let (_peer, share, client) = start().await;
        let mut damaged = BytesMut::from(&batch(2, 2)[..]);
        *damaged.last_mut().unwrap() ^= 1;
        let records = Bytes::from([&batch(0, 2)[..], &damaged[..]].concat());
        lock(&share).batches.extend([(records, 0, 3), (batch(4, 1), 4, 4)]);
        let builder = client.share_consumer().topics([TOPIC]).group("g").skip_damaged(skip);
        let mut consumer = builder.max_wait(Duration::from_millis(20)).build().await.unwrap();
        assert_eq!(numbers(&mut consumer, 2).await, [(0, 1), (1, 1)]);
        if !skip {
            let error = consumer.next().await.unwrap_err();
            assert!(
                matches!(&error, Error::Damaged { topic, partition: 0, offset: 2, .. } if topic == TOPIC),
                "{error}"
            );
        }
        assert_eq!(numbers(&mut consumer, 1).await, [(4, 1)]);
        consumer.close().await.unwrap();
        let how = if skip { 3 } else { 2 };
        assert_eq!(lock(&share).acknowledged, [(0, 1, 1), (2, 3, how), (4, 4, 1)]);
    }
}

#[tokio::test]
async fn offsets_beyond_all_reason_are_not_counted_one_by_one() {
    let (_peer, share, client) = start().await;
    lock(&share).batches.push((batch(0, 1), 0, i64::MAX - 1));
    let mut consumer = explicit(&client).await;
    let shared = consumer.next().await.unwrap().unwrap();
    consumer.acknowledge(&shared, Acknowledgement::Accept).unwrap();
    // What was not sent is given back.
    assert!(tokio::time::timeout(Duration::from_millis(30), consumer.next()).await.is_err());
    consumer.commit().await;
    assert_eq!(lock(&share).acknowledged, [(0, 0, 1), (1, i64::MAX - 1, 2)]);
}

#[tokio::test]
async fn a_consumer_that_is_dropped_says_goodbye_in_the_background() {
    for closes in [true, false] {
        let (_peer, share, client) = start().await;
        lock(&share).batches.push((batch(0, 3), 0, 2));
        let mut consumer = explicit(&client).await;
        let shared = consumer.next().await.unwrap().unwrap();
        consumer.acknowledge(&shared, Acknowledgement::Accept).unwrap();
        if closes {
            consumer.close().await.unwrap();
        } else {
            drop(consumer);
            eventually("it says goodbye", async || {
                let share = lock(&share);
                share.ended && share.heartbeats.last() == Some(&-1)
            })
            .await;
        }
        let share = lock(&share);
        assert!(share.ended, "the session was not ended");
        assert_eq!((&share.acknowledged[..], share.heartbeats.last()), (&[(0, 0, 1)][..], Some(&-1)));
    }
}
