//! A broker that does as it is told: for what a real one will not do on demand.
//!
//! [`Peer::start`] listens on a free port. Every request goes to the test's script first; what the script leaves alone
//! is answered as one broker would that leads every partition of one topic, [`TOPIC`], and checks sequence numbers.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hop::wire::api::APIS;
use hop::wire::error_code::ErrorCode;
use hop::wire::record::{Batches, DecodeLimits};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, FetchRequest, FetchResponse, InitProducerIdResponse, ListOffsetsRequest,
    ListOffsetsResponse, MetadataResponse, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader,
    SaslAuthenticateResponse, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// The one topic of a peer; it has one partition.
pub const TOPIC: &str = "t";
/// Its id, for those versions of the protocol that have ids.
pub const TOPIC_ID: Uuid = Uuid::from_u128(0x0707);

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The connection it came on, counted from 0.
    pub connection: usize,
    /// Which request of that connection it is, counted from 0.
    pub number: usize,
    /// Which API it is for.
    pub api: ApiKey,
    /// In which version.
    pub version: i16,
    body: Bytes,
}

/// What a script wants done about a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// What a broker would do.
    Normally,
    /// A broker's answer, made by [`Asked::with`].
    Message(Vec<u8>),
    /// The same, after so long.
    LateMessage(Vec<u8>, Duration),
    /// These bytes, without length or header.
    Raw(Vec<u8>),
    /// The broker's answer, under another correlation id.
    Misnumbered,
    /// The broker's answer, after so long.
    Late(Duration),
    /// The broker's answer twice.
    Twice,
    /// The broker's answer with bits of this byte flipped.
    Garbled(usize, u8),
    /// Do as a broker would, send this many bytes of the answer and nothing more.
    Stalled(usize),
    /// Do as a broker would, send this many bytes of the answer and hang up.
    Cut(usize),
    /// Nothing at all, and nothing after it.
    Silence,
    /// Hang up without doing anything.
    HangUp,
}

impl Asked {
    /// The request itself.
    pub fn request<R: Decodable>(&self) -> R {
        R::decode(&mut self.body.clone(), self.version).expect("a request")
    }

    /// A broker's answer to this request.
    pub fn with<R: Encodable + HeaderVersion>(&self, response: &R) -> Answer {
        Answer::Message(encode(self.version, response))
    }
}

/// The log of the one partition, and what brokers remember of its producers.
#[derive(Debug, Default)]
pub struct Log {
    /// Batches as they were sent, with the offset that each begins at.
    pub batches: Vec<(i64, Bytes)>,
    /// Where the log begins: earlier offsets are out of range.
    pub start: i64,
    /// The offset of the next record.
    pub end: i64,
    /// Transactions that were aborted, as a fetch lists them: producer and first offset.
    pub aborted: Vec<(i64, i64)>,
    /// Fetches that are answered with a high watermark from before the last record was replicated.
    pub behind: u32,
    next_sequence: HashMap<i64, i32>,
}

impl Log {
    /// Appends a batch as a leader does.
    pub fn append(&mut self, records: &Bytes) -> (ErrorCode, i64) {
        let Some(Ok(batch)) = Batches::new(records.clone(), DecodeLimits::default()).next() else {
            return (ErrorCode::CORRUPT_MESSAGE, -1);
        };
        let (producer, sequence) = (batch.producer_id(), batch.base_sequence());
        if producer >= 0 && !batch.is_control() && sequence >= 0 {
            let expected = self.next_sequence.get(&producer).copied().unwrap_or(0);
            if sequence < expected {
                return (ErrorCode::DUPLICATE_SEQUENCE_NUMBER, -1);
            }
            if sequence > expected {
                return (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
            }
            self.next_sequence.insert(producer, sequence + batch.record_count());
        }
        let base = self.end;
        let mut stored = BytesMut::from(&records[..]);
        stored[..8].copy_from_slice(&base.to_be_bytes());
        self.batches.push((base, stored.freeze()));
        self.end = base + batch.next_offset() - batch.base_offset();
        (ErrorCode::NONE, base)
    }

    /// The values of all records.
    pub fn values(&self) -> Vec<String> {
        let batches =
            self.batches.iter().flat_map(|(_, batch)| Batches::new(batch.clone(), DecodeLimits::default()));
        let mut values = Vec::new();
        for batch in batches {
            let batch = batch.expect("what was stored is sound");
            values.extend(batch.records().map(|record| {
                let value = record.expect("a record").value.unwrap_or_default();
                String::from_utf8_lossy(value).into_owned()
            }));
        }
        values
    }

    fn from(&self, offset: i64) -> Bytes {
        let mut records = BytesMut::new();
        for (index, (_, batch)) in self.batches.iter().enumerate() {
            let next = self.batches.get(index + 1).map_or(self.end, |(base, _)| *base);
            if next > offset {
                records.put_slice(batch);
            }
        }
        records.freeze()
    }
}

/// A script: decides about each request.
type Script = dyn FnMut(&Asked) -> Answer + Send;

/// A listener that answers as a broker would, unless its script wants something else. Gone when it is dropped.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    address: SocketAddr,
    log: Mutex<Log>,
    script: Mutex<Box<Script>>,
    connections: Mutex<Connections>,
    sizes: Mutex<HashMap<i16, usize>>,
}

#[derive(Debug, Default)]
struct Connections {
    opened: usize,
    open: usize,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Peer {
    /// Listens, with a script.
    pub async fn start(script: impl FnMut(&Asked) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            address,
            log: Mutex::default(),
            script: Mutex::new(Box::new(script)),
            connections: Mutex::default(),
            sizes: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// Where it listens.
    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// What is in its partition.
    pub fn log<T>(&self, look: impl FnOnce(&mut Log) -> T) -> T {
        look(&mut self.shared.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many bytes the last answer of this kind had that was a broker's own.
    pub fn answer_bytes(&self, api: ApiKey) -> usize {
        let sizes = self.shared.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.get(&(api as i16)).copied().unwrap_or(0)
    }

    /// How many connections were accepted so far.
    pub fn opened(&self) -> usize {
        self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).opened
    }

    /// How many of them are open.
    pub fn open(&self) -> usize {
        self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).open
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        let connection = {
            let mut connections = shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
            connections.opened += 1;
            connections.open += 1;
            connections.opened - 1
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // The client hanging up is how most of these end.
            let _ = serve(socket, connection, &shared).await;
            shared.connections.lock().unwrap_or_else(PoisonError::into_inner).open -= 1;
        });
    }
}

async fn serve(mut socket: TcpStream, connection: usize, shared: &Shared) -> io::Result<()> {
    for number in 0.. {
        let length = usize::try_from(socket.read_i32().await?).expect("clients send lengths");
        let mut frame = vec![0; length];
        socket.read_exact(&mut frame).await?;
        let mut frame = Bytes::from(frame);
        let api = ApiKey::try_from(frame.clone().get_i16()).expect("a known API");
        let version = frame.slice(2..).get_i16();
        let header =
            RequestHeader::decode(&mut frame, api.request_header_version(version)).expect("a header");
        let asked = Asked { connection, number, api, version, body: frame };
        let answer = (shared.script.lock().unwrap_or_else(PoisonError::into_inner))(&asked);
        let normally = |correlation| {
            let answer = framed(correlation, api, version, &shared.answer(&asked));
            shared.sizes.lock().unwrap_or_else(PoisonError::into_inner).insert(api as i16, answer.len());
            answer
        };
        let out = match answer {
            Answer::Normally => normally(header.correlation_id),
            Answer::Message(body) => framed(header.correlation_id, api, version, &body),
            Answer::LateMessage(body, after) => {
                tokio::time::sleep(after).await;
                framed(header.correlation_id, api, version, &body)
            }
            Answer::Raw(bytes) => bytes,
            Answer::Misnumbered => normally(header.correlation_id + 1),
            Answer::Late(after) => {
                tokio::time::sleep(after).await;
                normally(header.correlation_id)
            }
            Answer::Twice => normally(header.correlation_id).repeat(2),
            Answer::Garbled(at, bits) => {
                let mut answer = normally(header.correlation_id);
                if let Some(byte) = answer.get_mut(at) {
                    *byte ^= bits;
                }
                answer
            }
            Answer::Stalled(bytes) => {
                let answer = normally(header.correlation_id);
                socket.write_all(answer.get(..bytes).unwrap_or(&answer)).await?;
                socket.read_to_end(&mut Vec::new()).await?;
                return Ok(());
            }
            Answer::Cut(bytes) => {
                let answer = normally(header.correlation_id);
                socket.write_all(answer.get(..bytes).unwrap_or(&answer)).await?;
                return Ok(());
            }
            Answer::Silence => {
                socket.read_to_end(&mut Vec::new()).await?;
                return Ok(());
            }
            Answer::HangUp => return Ok(()),
        };
        socket.write_all(&out).await?;
    }
    Ok(())
}

impl Shared {
    fn answer(&self, asked: &Asked) -> Vec<u8> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, body) = (asked.version, &mut asked.body.clone());
        match asked.api {
            ApiKey::ApiVersions => encode(version, &api_versions()),
            ApiKey::SaslHandshake => encode(version, &SaslHandshakeResponse::default()),
            ApiKey::SaslAuthenticate => encode(version, &SaslAuthenticateResponse::default()),
            ApiKey::Metadata => encode(version, &metadata(&[self.address], 0)),
            ApiKey::InitProducerId => {
                encode(version, &InitProducerIdResponse::default().with_producer_id(7.into()))
            }
            ApiKey::Produce => {
                let request = ProduceRequest::decode(body, version).expect("a produce request");
                let records = request.topic_data[0].partition_data[0].records.clone().unwrap_or_default();
                let (code, offset) = log.append(&records);
                encode(version, &produced(code, offset))
            }
            ApiKey::ListOffsets => {
                let request = ListOffsetsRequest::decode(body, version).expect("a list offsets request");
                let earliest = request.topics[0].partitions[0].timestamp == -2;
                encode(version, &listed(if earliest { log.start } else { log.end }))
            }
            ApiKey::Fetch => {
                let request = FetchRequest::decode(body, version).expect("a fetch request");
                encode(version, &fetched(&mut log, request.topics[0].partitions[0].fetch_offset))
            }
            other => panic!("{other:?} is not in the script"),
        }
    }
}

/// A broker that knows all that this client speaks.
pub fn api_versions() -> ApiVersionsResponse {
    let apis = APIS.iter().map(|api| {
        ApiVersion::default()
            .with_api_key(api.key)
            .with_min_version(api.versions.min)
            .with_max_version(api.versions.max)
    });
    ApiVersionsResponse::default().with_api_keys(apis.collect())
}

/// A cluster of these brokers, numbered from 0, of which `leader` leads the partition.
pub fn metadata(brokers: &[SocketAddr], leader: i32) -> MetadataResponse {
    let brokers = brokers.iter().zip(0_i32..).map(|(address, id)| {
        MetadataResponseBroker::default()
            .with_node_id(id.into())
            .with_host(StrBytes::from_string(address.ip().to_string()))
            .with_port(address.port().into())
    });
    let partition = MetadataResponsePartition::default().with_leader_id(leader.into()).with_leader_epoch(-1);
    let topic = MetadataResponseTopic::default()
        .with_name(Some(topic_name()))
        .with_topic_id(TOPIC_ID)
        .with_partitions(vec![partition]);
    MetadataResponse::default().with_brokers(brokers.collect()).with_topics(vec![topic])
}

/// The answer to a produce request.
pub fn produced(code: ErrorCode, offset: i64) -> ProduceResponse {
    let partition = PartitionProduceResponse::default().with_error_code(code.0).with_base_offset(offset);
    let topic = TopicProduceResponse::default()
        .with_name(topic_name())
        .with_topic_id(TOPIC_ID)
        .with_partition_responses(vec![partition]);
    ProduceResponse::default().with_responses(vec![topic])
}

/// The answer to a fetch request that went wrong.
pub fn not_fetched(code: ErrorCode) -> FetchResponse {
    fetch_response(PartitionData::default().with_error_code(code.0).with_high_watermark(-1))
}

fn fetched(log: &mut Log, offset: i64) -> FetchResponse {
    let is_behind = i64::from(log.behind > 0);
    log.behind = log.behind.saturating_sub(1);
    if offset < log.start || offset > log.end {
        return not_fetched(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    let aborted = log.aborted.iter().map(|&(producer, first)| {
        AbortedTransaction::default().with_producer_id(producer.into()).with_first_offset(first)
    });
    let partition = PartitionData::default()
        .with_high_watermark(log.end - is_behind)
        .with_last_stable_offset(log.end)
        .with_aborted_transactions(Some(aborted.collect()))
        .with_records(Some(log.from(offset)));
    fetch_response(partition)
}

fn fetch_response(partition: PartitionData) -> FetchResponse {
    let topic = FetchableTopicResponse::default()
        .with_topic(topic_name())
        .with_topic_id(TOPIC_ID)
        .with_partitions(vec![partition]);
    FetchResponse::default().with_responses(vec![topic])
}

fn listed(offset: i64) -> ListOffsetsResponse {
    let partition = ListOffsetsPartitionResponse::default().with_offset(offset);
    let topic = ListOffsetsTopicResponse::default().with_name(topic_name()).with_partitions(vec![partition]);
    ListOffsetsResponse::default().with_topics(vec![topic])
}

fn topic_name() -> kafka_protocol::messages::TopicName {
    StrBytes::from_static_str(TOPIC).into()
}

fn encode<R: Encodable>(version: i16, response: &R) -> Vec<u8> {
    let mut body = BytesMut::new();
    response.encode(&mut body, version).expect("a sound response");
    body.to_vec()
}

fn framed(correlation: i32, api: ApiKey, version: i16, body: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_i32(0);
    let header = ResponseHeader::default().with_correlation_id(correlation);
    header.encode(&mut out, api.response_header_version(version)).expect("a sound header");
    out.put_slice(body);
    let length = i32::try_from(out.len() - 4).expect("a small answer");
    out[..4].copy_from_slice(&length.to_be_bytes());
    out.to_vec()
}
