//! A broker as old as Kafka 2.1: ours, behind a proxy that lets its clients see no newer versions than Kafka 2.1 has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use hop::broker::Broker;
use hop::kafka::admin::{ConfigChange, ConfigResource, NewTopic, OffsetSpec};
use hop::kafka::{Error, TopicPartition};
use hop::wire::message::{RequestHead, decode_response, encode_response};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};
use protocol_tests::target::{Target, unique};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::groups::{classic_groups, offsets_are_set};
use crate::offsets::deletes_records;
use crate::topics::{describes_the_cluster, topics_come_and_go};

/// The newest versions of Kafka 2.1; it has none of the requests that are missing here.
const NEWEST: &[(i16, i16)] = &[
    (ProduceRequest::KEY, 7),
    (FetchRequest::KEY, 10),
    (ListOffsetsRequest::KEY, 4),
    (MetadataRequest::KEY, 7),
    (OffsetCommitRequest::KEY, 6),
    (OffsetFetchRequest::KEY, 5),
    (FindCoordinatorRequest::KEY, 2),
    (JoinGroupRequest::KEY, 3),
    (HeartbeatRequest::KEY, 2),
    (LeaveGroupRequest::KEY, 2),
    (SyncGroupRequest::KEY, 2),
    (DescribeGroupsRequest::KEY, 2),
    (ListGroupsRequest::KEY, 2),
    (ApiVersionsRequest::KEY, 2),
    (CreateTopicsRequest::KEY, 3),
    (DeleteTopicsRequest::KEY, 3),
    (DeleteRecordsRequest::KEY, 1),
    (InitProducerIdRequest::KEY, 1),
    (DescribeConfigsRequest::KEY, 2),
    (AlterConfigsRequest::KEY, 1),
    (CreatePartitionsRequest::KEY, 1),
    (DeleteGroupsRequest::KEY, 1),
];

/// The requests of a connection that are not answered yet, by their correlation ids.
type Waiting = Arc<Mutex<HashMap<i32, RequestHead>>>;

async fn old_broker() -> Target {
    let broker = Broker::builder().start().await.unwrap();
    let behind = broker.address();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(broker) = TcpStream::connect(&behind).await else { return };
            // Small frames in two writes would wait for each other.
            client.set_nodelay(true).unwrap();
            broker.set_nodelay(true).unwrap();
            let ((from_client, to_client), (from_broker, to_broker)) =
                (client.into_split(), broker.into_split());
            let waiting = Waiting::default();
            let asked = Arc::clone(&waiting);
            tokio::spawn(pump(from_client, to_broker, move |frame| {
                let head = RequestHead::peek(&frame).unwrap();
                asked.lock().unwrap().insert(head.correlation_id, head);
                frame
            }));
            tokio::spawn(pump(from_broker, to_client, move |frame| {
                let id = i32::from_be_bytes(*frame.first_chunk().unwrap());
                let head = waiting.lock().unwrap().remove(&id).unwrap();
                aged(head, frame, port)
            }));
        }
    });
    Target::at(format!("127.0.0.1:{port}"), Some(broker)).await
}

/// Carries frames over until either side ends.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    change: impl Fn(Bytes) -> Bytes,
) -> Option<()> {
    loop {
        let mut frame = vec![0; usize::try_from(from.read_u32().await.ok()?).unwrap()];
        from.read_exact(&mut frame).await.ok()?;
        let frame = change(frame.into());
        to.write_u32(u32::try_from(frame.len()).unwrap()).await.ok()?;
        to.write_all(&frame).await.ok()?;
    }
}

/// The answer that an old broker behind this port would give.
fn aged(head: RequestHead, frame: Bytes, port: u16) -> Bytes {
    match head.api_key {
        ApiVersionsRequest::KEY => changed::<ApiVersionsRequest>(head, frame, |versions| {
            versions.api_keys.retain_mut(|api| {
                let Some((_, newest)) = NEWEST.iter().find(|(key, _)| *key == api.api_key) else {
                    return false;
                };
                api.max_version = *newest;
                true
            });
        }),
        MetadataRequest::KEY => changed::<MetadataRequest>(head, frame, |metadata| {
            for broker in &mut metadata.brokers {
                (broker.host, broker.port) = (StrBytes::from_static_str("127.0.0.1"), port.into());
            }
        }),
        FindCoordinatorRequest::KEY => changed::<FindCoordinatorRequest>(head, frame, |found| {
            (found.host, found.port) = (StrBytes::from_static_str("127.0.0.1"), port.into());
        }),
        _ => frame,
    }
}

fn changed<R: Request>(head: RequestHead, frame: Bytes, change: impl FnOnce(&mut R::Response)) -> Bytes {
    let mut response = decode_response::<R>(frame, head.api_version).unwrap();
    change(&mut response);
    let mut buffer = BytesMut::new();
    encode_response::<R>(&mut buffer, &response, head.api_version, head.correlation_id).unwrap();
    buffer.split_off(4).freeze()
}

#[tokio::test]
async fn what_brokers_of_every_age_can_do_goes_with_an_old_one() {
    let target = old_broker().await;
    topics_come_and_go(&target).await;
    describes_the_cluster(&target).await;
    deletes_records(&target).await;
    offsets_are_set(&target).await;
    // It says neither how groups are nor of which type.
    assert_eq!(classic_groups(&target).await, (None, None));
    let topic = ConfigResource::topic(target.topic(1).await);
    let described = target.admin.describe_configs(&[topic]).await.unwrap();
    assert!(described[0].1.as_ref().unwrap().iter().any(|entry| entry.name == "retention.ms"));
}

#[tokio::test]
async fn what_an_old_broker_cannot_do_is_said_before_it_is_asked() {
    let target = old_broker().await;
    let admin = &target.admin;
    let topic = target.topic(1).await;
    let too_old = admin.create_topics(&[NewTopic::new(unique("own")).partitions(1)]).await.unwrap_err();
    assert!(matches!(too_old, Error::TooOld { since: "2.4", .. }), "{too_old}");

    let too_old = admin.authorized_operations(&[&topic]).await;
    assert!(matches!(too_old, Err(Error::TooOld { since: "2.3", .. })));

    // Taken for a time, it would find another record.
    let partition = TopicPartition::new(topic.as_str(), 0);
    let newest = [(partition.clone(), OffsetSpec::MaxTimestamp)];
    assert!(matches!(admin.offsets(&newest).await, Err(Error::TooOld { since: "3.0", .. })));
    let both = [(partition.clone(), OffsetSpec::Latest), newest[0].clone()];
    let [end, too_old] = admin.offsets(&both).await.unwrap().try_into().unwrap();
    assert_eq!(end.1.unwrap().offset, Some(0));
    assert!(matches!(too_old.1, Err(Error::TooOld { .. })));

    let changes = [ConfigChange::delete("retention.ms")];
    let altered = admin.alter_configs(&[(ConfigResource::topic(&topic), &changes)]).await;
    assert!(matches!(altered, Err(Error::Unsupported { api: "IncrementalAlterConfigs", .. })));
    let forgotten = admin.delete_offsets(&unique("group"), &[partition]).await;
    assert!(matches!(forgotten, Err(Error::Unsupported { api: "OffsetDelete", .. })));
}
