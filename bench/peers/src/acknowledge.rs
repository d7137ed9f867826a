//! How long one record takes from `send` to its acknowledgement, beside what the broker takes by itself.
//!
//! `acknowledge BROKER TOPIC ROUNDS NOT_COUNTED` writes alerts of 1 KiB to partition 0, one at a time: in each round one
//! with this project's producer, and one as a request that was made beforehand, written to a bare socket and answered
//! there, in turns the one first and the other. Both are idempotent, and acknowledged by all replicas. It prints the median
//! and the 99th percentile of either's microseconds, without so many rounds at the beginning.

#[path = "../../../benches/alerts/mod.rs"]
#[allow(dead_code, reason = "alerts by the batch are for others")]
mod alerts;
#[path = "../clients/src/clock.rs"]
mod clock;
#[path = "../clients/src/ids.rs"]
mod ids;

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hop::kafka::{Client, Record};
use hop::wire::Compression;
use hop::wire::record::{BatchBuilder, HeaderRef, ProducerStamp};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse, RequestHeader,
    ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};

const SIZE: usize = 1024;
/// Of Produce: topics by their names, and all brokers that the benchmarks are run on know it.
const PRODUCE: i16 = 9;
const INIT_PRODUCER_ID: i16 = 4;
const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [broker, topic, rounds, not_counted] = &arguments[..] else {
        eprintln!("usage: acknowledge BROKER TOPIC ROUNDS NOT_COUNTED");
        std::process::exit(2);
    };
    let (rounds, not_counted) = (rounds.parse()?, not_counted.parse()?);
    let (mut ours, mut bare) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(acknowledge(broker, topic, rounds, not_counted))?;
    print_percentiles(&mut ours);
    print!(" ");
    print_percentiles(&mut bare);
    println!();
    Ok(())
}

async fn acknowledge(
    broker: &str,
    topic: &str,
    rounds: usize,
    not_counted: usize,
) -> Result<(Vec<u64>, Vec<u64>), Box<dyn Error>> {
    let client = Client::builder().bootstrap(broker).topics([topic.to_owned()]).connect().await?;
    let producer = client.producer().build()?;
    let mut socket = BareSocket::connect(broker, topic)?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for number in 0..not_counted + rounds {
        let (value, id) =
            (Bytes::from(alerts::alert(number, SIZE)), Bytes::copy_from_slice(&ids::id(number)));
        let record = headers(&id)
            .into_iter()
            .fold(Record::new(topic).partition(0).value(value.clone()), |record, (name, value)| {
                record.header(name, Some(Bytes::copy_from_slice(value)))
            });
        let request = socket.request(number, &value, &id)?;

        // Whoever comes second finds the broker awake: they take turns.
        let mut sent = Some(record);
        let (mut for_ours, mut for_bare) = (0, 0);
        for turn in [number % 2, (number + 1) % 2] {
            let before = clock::now();
            if turn == 0 {
                producer.send(sent.take().ok_or("a record is sent once")?).await?.await?;
                for_ours = clock::now() - before;
            } else {
                socket.ask(&request)?;
                for_bare = clock::now() - before;
                socket.check_acknowledgement()?;
            }
        }
        if number >= not_counted {
            ours.push(for_ours);
            bare.push(for_bare);
        }
    }
    producer.close().await?;
    Ok((ours, bare))
}

fn headers(id: &[u8]) -> [(&'static str, &[u8]); 3] {
    [("_id", id), ("_sender", b"observer-1234"), ("_format", b"json")]
}

fn print_percentiles(nanoseconds: &mut [u64]) {
    nanoseconds.sort_unstable();
    let last = nanoseconds.len() - 1;
    print!("{:.1} {:.1}", nanoseconds[last / 2] as f64 / 1e3, nanoseconds[last * 99 / 100] as f64 / 1e3);
}

/// Requests on a socket and their answers, and nothing else.
struct BareSocket {
    stream: TcpStream,
    topic: TopicName,
    producer_id: i64,
    producer_epoch: i16,
    answer: Vec<u8>,
}

impl BareSocket {
    fn connect(broker: &str, topic: &str) -> Result<Self, Box<dyn Error>> {
        let stream = TcpStream::connect(broker)?;
        stream.set_nodelay(true)?;
        let topic = TopicName(StrBytes::from_string(topic.to_owned()));
        let mut socket = Self { stream, topic, producer_id: -1, producer_epoch: -1, answer: Vec::new() };
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let request = frame(ApiKey::InitProducerId, INIT_PRODUCER_ID, &request)?;
        let answer = loop {
            socket.ask(&request)?;
            let answer: InitProducerIdResponse = socket.answer(INIT_PRODUCER_ID)?;
            match answer.error_code {
                0 => break answer,
                // A broker that has just been started gets its first numbers.
                COORDINATOR_LOAD_IN_PROGRESS => std::thread::sleep(Duration::from_millis(10)),
                code => return Err(format!("no identity: error {code}").into()),
            }
        };
        socket.producer_id = answer.producer_id.0;
        socket.producer_epoch = answer.producer_epoch;
        Ok(socket)
    }

    /// The bytes of a request with one record, the one with this number.
    fn request(&self, number: usize, value: &[u8], id: &[u8]) -> Result<Bytes, Box<dyn Error>> {
        let mut batch = BatchBuilder::new(Compression::None);
        let headers = headers(id).map(|(name, value)| HeaderRef { key: name.as_bytes(), value: Some(value) });
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        batch.append(now.as_millis().try_into()?, None, Some(value), &headers)?;
        let batch = batch.finish(ProducerStamp {
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: number.try_into()?,
            transactional: false,
        })?;
        let partition = PartitionProduceData::default().with_index(0).with_records(Some(batch));
        let topic =
            TopicProduceData::default().with_name(self.topic.clone()).with_partition_data(vec![partition]);
        let request = ProduceRequest::default()
            .with_transactional_id(None)
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![topic]);
        frame(ApiKey::Produce, PRODUCE, &request)
    }

    /// Writes a request and reads its answer.
    fn ask(&mut self, request: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(request)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        self.answer.resize(u32::from_be_bytes(length) as usize, 0);
        self.stream.read_exact(&mut self.answer)
    }

    fn answer<A: Decodable + HeaderVersion>(&self, version: i16) -> Result<A, Box<dyn Error>> {
        let mut answer = Bytes::copy_from_slice(&self.answer);
        ResponseHeader::decode(&mut answer, A::header_version(version))?;
        let body = A::decode(&mut answer, version)?;
        if answer.has_remaining() { Err("an answer with more behind it".into()) } else { Ok(body) }
    }

    fn check_acknowledgement(&self) -> Result<(), Box<dyn Error>> {
        let answer: ProduceResponse = self.answer(PRODUCE)?;
        let codes = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        match codes.map(|partition| partition.error_code).collect::<Vec<_>>()[..] {
            [0] => Ok(()),
            ref codes => Err(format!("not acknowledged: {codes:?}").into()),
        }
    }
}

fn frame<R: Encodable + HeaderVersion>(
    api: ApiKey,
    version: i16,
    request: &R,
) -> Result<Bytes, Box<dyn Error>> {
    let header = RequestHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_client_id(Some(StrBytes::from_static_str("bare")));
    let mut message = BytesMut::new();
    header.encode(&mut message, R::header_version(version))?;
    request.encode(&mut message, version)?;
    let mut frame = BytesMut::with_capacity(4 + message.len());
    frame.put_u32(message.len().try_into()?);
    frame.put(message);
    Ok(frame.freeze())
}
