//! A client without any sense: sends what it is told, and hands over what is answered.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hop::broker::Broker;
use hop::wire::error_code::ErrorCode;
use hop::wire::message::{decode_response, encode_request};
use hop::wire::record::{BatchBuilder, ProducerStamp};
use hop::wire::{Compression, spoken};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::target::unique;

/// A broker, and a way to ask it.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    address: String,
    next: i32,
    /// Ours, which ends with the test.
    _broker: Option<Broker>,
    /// The newest Metadata that the broker speaks tells which one it is.
    pub apis: Vec<(i16, i16)>,
}

/// A string as the protocol has it.
pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Peer {
    /// Connects to the target of the tests: the Kafka that `CONFORMANCE_BROKER` names, or a broker of ours.
    pub async fn connect() -> Self {
        let (address, broker) = match std::env::var("CONFORMANCE_BROKER") {
            Ok(address) => (address, None),
            Err(_) => {
                let broker = Broker::builder().start().await.unwrap();
                (broker.address(), Some(broker))
            }
        };
        Self { _broker: broker, ..Self::connect_to(&address).await }
    }

    /// Connects to what is reached at an address.
    pub async fn connect_to(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut peer = Self { stream, address: address.to_owned(), next: 0, _broker: None, apis: Vec::new() };
        let versions = peer
            .ask_in(
                3,
                ApiVersionsRequest::default()
                    .with_client_software_name(text("conformance"))
                    .with_client_software_version(text("1")),
            )
            .await;
        peer.apis = versions.api_keys.iter().map(|api| (api.api_key, api.max_version)).collect();
        peer
    }

    /// Connects to write to a topic of one partition by name, and waits until that can be done.
    pub async fn for_topic(address: &str, name: &str) -> (Self, Topic) {
        let mut peer = Self::connect_to(address).await;
        let topic = Topic { name: name.to_owned(), id: uuid::Uuid::nil() };
        peer.wait_for(&topic, 1).await;
        (peer, topic)
    }

    /// Another connection to the same broker.
    pub async fn another(&self) -> Self {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        Self { stream, address: self.address.clone(), next: 0, _broker: None, apis: self.apis.clone() }
    }

    /// The newest version that both sides know.
    pub fn newest<R: Request>(&self) -> i16 {
        let known = self.apis.iter().find(|(key, _)| *key == R::KEY).expect("the broker knows the request");
        spoken::<R>().max.min(known.1)
    }

    /// Sends a request, and does not wait for the answer.
    pub async fn send<R: Request>(&mut self, version: i16, request: R) {
        self.next += 1;
        let mut buffer = BytesMut::new();
        encode_request(&mut buffer, &request, version, self.next, "conformance").unwrap();
        self.stream.write_all(&buffer).await.unwrap();
    }

    /// Waits for the answer to the request that was sent last.
    pub async fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        let length = tokio::time::timeout(Duration::from_secs(30), self.stream.read_i32()).await;
        let length =
            length.expect("an answer within 30 s").expect("an answer, not the end of the connection");
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame[..4], self.next.to_be_bytes());
        decode_response::<R>(Bytes::from(frame), version).unwrap()
    }

    /// Asks in this version.
    pub async fn ask_in<R: Request>(&mut self, version: i16, request: R) -> R::Response {
        self.send(version, request).await;
        self.receive::<R>(version).await
    }

    /// Sends a frame as it is, and gives back the answer's.
    pub async fn ask_bytes(&mut self, frame: &[u8]) -> Bytes {
        self.stream.write_all(frame).await.unwrap();
        let length = self.stream.read_i32().await.unwrap();
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut frame).await.unwrap();
        frame.into()
    }

    /// Asks in the newest version.
    pub async fn ask<R: Request>(&mut self, request: R) -> R::Response {
        self.ask_in(self.newest::<R>(), request).await
    }

    /// Asks until the coordinator is up: a Kafka makes its topics for it when it is first needed.
    pub async fn ask_coordinator<R: Request + Clone>(
        &mut self,
        request: R,
        code: impl Fn(&R::Response) -> i16,
    ) -> R::Response {
        for _ in 0..200 {
            let response = self.ask(request.clone()).await;
            let busy = [
                ErrorCode::COORDINATOR_NOT_AVAILABLE,
                ErrorCode::NOT_COORDINATOR,
                ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
                ErrorCode::CONCURRENT_TRANSACTIONS,
            ];
            if !busy.contains(&ErrorCode(code(&response))) {
                return response;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the coordinator does not come up");
    }

    /// Waits until a group or transactional id has a coordinator.
    pub async fn find_coordinator(&mut self, key: &str, key_type: i8) {
        let request =
            FindCoordinatorRequest::default().with_key_type(key_type).with_coordinator_keys(vec![text(key)]);
        let found = self.ask_coordinator(request, |response| response.coordinators[0].error_code).await;
        assert_eq!(found.coordinators[0].error_code, 0);
    }

    /// Makes a topic that no other test has, and waits until its partitions can be asked about.
    pub async fn create_topic(&mut self, partitions: i32, configs: &[(&str, &str)]) -> Topic {
        let name = unique("conformance");
        let configs = configs.iter().map(|(name, value)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        });
        let topic = CreatableTopic::default()
            .with_name(TopicName(text(&name)))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
        let created = self.ask(request).await;
        assert_eq!(created.topics[0].error_code, 0, "{:?}", created.topics[0].error_message);
        let topic = Topic { name, id: created.topics[0].topic_id };
        self.wait_for(&topic, partitions).await;
        topic
    }

    /// Waits until the partitions of a new topic can be used: a Kafka makes it known to its brokers a little later.
    async fn wait_for(&mut self, topic: &Topic, partitions: i32) {
        for _ in 0..200 {
            let mut up = true;
            for partition in 0..partitions {
                up &= self.offset_in(topic, partition, -1, 0).await.2 == ErrorCode::NONE;
            }
            if up {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the topic does not come up");
    }

    /// Writes a batch.
    pub async fn produce(&mut self, topic: &Topic, partition: i32, batch: Bytes) -> PartitionProduceResponse {
        self.produce_as(topic, partition, batch, None).await
    }

    /// Writes a batch, in a transaction where one is named.
    pub async fn produce_as(
        &mut self,
        topic: &Topic,
        partition: i32,
        batch: Bytes,
        transactional_id: Option<&str>,
    ) -> PartitionProduceResponse {
        // By name, in a version that every target knows and in which partitions must be added to transactions first.
        let response = self.ask_in(9, produce_request(topic, partition, batch, transactional_id, -1)).await;
        response.responses[0].partition_responses[0].clone()
    }

    /// Reads from an offset of the first partition on.
    pub async fn fetch(
        &mut self,
        topic: &Topic,
        offset: i64,
        change: impl FnOnce(FetchRequest) -> FetchRequest,
    ) -> PartitionData {
        let response = self.ask_in(12, change(fetch_request(topic, offset))).await;
        assert_eq!(response.error_code, 0);
        response.responses[0].partitions[0].clone()
    }

    /// The offset behind the last record.
    pub async fn end(&mut self, topic: &Topic) -> Result<i64, ErrorCode> {
        let (offset, _, code) = self.offset_of(topic, -1, 0).await;
        if code == ErrorCode::NONE { Ok(offset) } else { Err(code) }
    }

    /// Offset, timestamp and code for a time.
    pub async fn offset_of(&mut self, topic: &Topic, timestamp: i64, isolation: i8) -> (i64, i64, ErrorCode) {
        self.offset_in(topic, 0, timestamp, isolation).await
    }

    async fn offset_in(
        &mut self,
        topic: &Topic,
        partition: i32,
        timestamp: i64,
        isolation: i8,
    ) -> (i64, i64, ErrorCode) {
        use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
        let partition = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_current_leader_epoch(-1)
            .with_timestamp(timestamp);
        let asked =
            ListOffsetsTopic::default().with_name(topic.topic_name()).with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_isolation_level(isolation)
            .with_topics(vec![asked]);
        let answer = self.ask_in(7, request).await.topics[0].partitions[0].clone();
        (answer.offset, answer.timestamp, ErrorCode(answer.error_code))
    }
}

/// A topic of a test.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id; nil where that does not matter.
    pub id: uuid::Uuid,
}

impl Topic {
    /// Its name as the protocol has it.
    pub fn topic_name(&self) -> TopicName {
        TopicName(text(&self.name))
    }
}

/// A request to write a batch.
pub fn produce_request(
    topic: &Topic,
    partition: i32,
    batch: Bytes,
    transactional_id: Option<&str>,
    acks: i16,
) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let data = TopicProduceData::default().with_name(topic.topic_name()).with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_transactional_id(transactional_id.map(|id| TransactionalId(text(id))))
        .with_acks(acks)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![data])
}

/// A request to read from an offset of the first partition on.
pub fn fetch_request(topic: &Topic, offset: i64) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_current_leader_epoch(-1)
        .with_last_fetched_epoch(-1)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    let asked = FetchTopic::default().with_topic(topic.topic_name()).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(100)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![asked])
}

/// What a batch is made of.
#[derive(Debug, Clone)]
pub struct Records {
    /// Timestamps, keys and values.
    pub values: Vec<(i64, Option<&'static str>, String)>,
    /// How they are packed.
    pub compression: Compression,
    /// Who writes them.
    pub stamp: ProducerStamp,
}

impl Records {
    /// Records of now with these values.
    pub fn of(values: &[&str]) -> Self {
        let values = values.iter().map(|value| (now(), Some("key"), (*value).to_owned()));
        Self { values: values.collect(), compression: Compression::None, stamp: ProducerStamp::NONE }
    }

    /// Records of these times.
    pub fn at(times: &[i64]) -> Self {
        let values = times.iter().map(|&time| (time, Some("key"), format!("at {time}")));
        Self { values: values.collect(), compression: Compression::None, stamp: ProducerStamp::NONE }
    }

    /// The same, written by this producer.
    pub fn from(
        mut self,
        producer_id: i64,
        producer_epoch: i16,
        base_sequence: i32,
        transactional: bool,
    ) -> Self {
        self.stamp = ProducerStamp { producer_id, producer_epoch, base_sequence, transactional };
        self
    }

    /// The bytes.
    pub fn batch(&self) -> Bytes {
        let mut builder = BatchBuilder::new(self.compression);
        for (time, key, value) in &self.values {
            builder.append(*time, key.map(str::as_bytes), Some(value.as_bytes()), &[]).unwrap();
        }
        builder.finish(self.stamp).unwrap()
    }
}

/// Milliseconds since 1970 UTC.
pub fn now() -> i64 {
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(unix.as_millis()).unwrap()
}

/// Code and what it is called, for an assertion that says more than a number.
pub fn code(code: i16) -> ErrorCode {
    ErrorCode(code)
}
