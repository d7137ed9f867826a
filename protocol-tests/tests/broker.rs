//! The embedded broker as a library: quick to start, gone when dropped, answering every request in every version, and
//! misbehaving when it is asked to, which our own client must get along with.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests say what is wrong by panicking")]

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use futures_util::StreamExt;
use hop::broker::{Broker, Denial, Fault, Fsync, Operation};
use hop::kafka::{Client, Consumer, Producer, Record, Sasl, StartOffset};
use hop::wire::api::{APIS, Api, ForRequest, with_request};
use hop::wire::error_code::ErrorCode;
use hop::wire::layout::Side;
use hop::wire::message::decode_response;
use kafka_protocol::messages::{
    ApiVersionsRequest, FetchRequest, FindCoordinatorRequest, ListOffsetsRequest, MetadataRequest,
    ProduceRequest,
};
use kafka_protocol::protocol::Request;
use protocol_tests::example_messages::Example;
use protocol_tests::round_trip::header;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn client(broker: &Broker) -> Client {
    Client::builder().bootstrap(&broker.bootstrap()).connect().await.unwrap()
}

async fn write(producer: &Producer, numbers: std::ops::Range<u32>) {
    let mut deliveries = Vec::new();
    for number in numbers {
        deliveries.push(producer.send(Record::new("t").value(number.to_string())).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
}

async fn reader(client: &Client) -> Consumer {
    client.consumer().topics(["t"]).start_at(StartOffset::Earliest).build().await.unwrap()
}

/// Reads so many numbers, sorted: there may be several partitions.
async fn read(consumer: &mut Consumer, count: usize) -> Vec<u32> {
    let mut numbers = read_in_order(consumer, count).await;
    numbers.sort_unstable();
    numbers
}

/// Reads so many numbers, as they come.
async fn read_in_order(consumer: &mut Consumer, count: usize) -> Vec<u32> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let batch = consumer.next_batch().await.unwrap().expect("more");
        for record in batch.records() {
            numbers.push(std::str::from_utf8(record.unwrap().value.unwrap()).unwrap().parse().unwrap());
        }
    }
    numbers
}

#[tokio::test]
async fn it_is_ready_at_once_and_gone_when_dropped() {
    // The first in a process pays for what all share.
    drop(Broker::builder().start().await.unwrap());
    let quickest = {
        let mut times = Vec::new();
        for _ in 0..10 {
            let started = Instant::now();
            let broker =
                Broker::builder().tls().user("u", "p".to_owned()).topic("t", 3).start().await.unwrap();
            times.push(started.elapsed());
            let address = broker.address();
            drop(broker);
            while TcpStream::connect(&address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        }
        times.into_iter().min().unwrap()
    };
    println!("ready in {quickest:?}, with TLS");
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_before_it_listens() {
    for builder in [
        Broker::builder().brokers(0),
        Broker::builder().default_partitions(0),
        Broker::builder().topic("t", 0),
        Broker::builder().topic("no/name", 1),
        Broker::builder().max_connections(0),
        // More than all requests together may have would be waited for without end.
        Broker::builder().max_request_bytes((256 << 20) + 1),
        Broker::builder().fsync(Fsync::Every(Duration::ZERO)),
        Broker::builder().tls_certificate("no certificate", "no key".to_owned()),
    ] {
        assert!(builder.start().await.is_err());
    }
}

#[tokio::test]
async fn a_directory_is_for_one_broker_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let first = Broker::builder().data(directory.path()).topic("t", 1).start().await.unwrap();
    write(&client(&first).await.producer().build().unwrap(), 0..10).await;
    let second = Broker::builder().data(directory.path()).start().await;
    assert!(second.unwrap_err().to_string().contains("another broker uses it"));
    first.stop().await;
    let second = Broker::builder().data(directory.path()).start().await.unwrap();
    assert_eq!(read(&mut reader(&client(&second).await).await, 10).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn memory_is_bounded_and_the_oldest_messages_make_room() {
    let broker = Broker::builder().memory_limit(1 << 20).topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    let producer = client.producer().build().unwrap();
    for _ in 0..40 {
        producer.send(Record::new("t").value(vec![b'x'; 100_000])).await.unwrap().await.unwrap();
    }
    let mut consumer = reader(&client).await;
    let first = consumer.next_batch().await.unwrap().expect("a batch");
    let offset = first.records().next().unwrap().unwrap().offset;
    assert!((30..=31).contains(&offset), "{offset}");
}

// ---- Every request in every version -----------------------------------------------------------------------------------

/// Asks with a made-up request, and reads the answer.
struct Ask {
    version: i16,
    body: Vec<u8>,
}

impl ForRequest for Ask {
    type Output = (Vec<u8>, fn(Bytes, i16) -> Result<(), String>, i16);

    fn run<R: Request>(self, _: &'static Api) -> Self::Output {
        let read = |frame, version| {
            decode_response::<R>(frame, version).map(|_| ()).map_err(|error| error.to_string())
        };
        ([header::<R>(Side::Request, self.version), self.body].concat(), read, self.version)
    }
}

#[tokio::test(start_paused = true)]
async fn every_request_is_answered_in_every_version_it_is_said_to_be_known_in() {
    let mut rng = Rng::with_seed(5);
    let mut asked = 0;
    for fault in [None, Some(Fault::on_any().answer(ErrorCode::REQUEST_TIMED_OUT).always())] {
        let broker = Broker::builder().topic("t", 1).start().await.unwrap();
        let versions = {
            let request = header::<ApiVersionsRequest>(Side::Request, 0);
            let answer = exchange(&broker, &request).await.expect("an answer");
            decode_response::<ApiVersionsRequest>(answer, 0).unwrap().api_keys
        };
        if let Some(fault) = fault.clone() {
            broker.misbehave(fault);
        }
        for api in APIS {
            let Some(known) = versions.iter().find(|known| known.api_key == api.key) else { continue };
            // The table is what the client speaks; of SaslHandshake the broker knows one more.
            assert!(
                known.min_version <= api.versions.min && known.max_version == api.versions.max,
                "{}",
                api.name
            );
            for version in api.versions.iter() {
                for _ in 0..5 {
                    let Some(example) = Example::new(api.key, Side::Request, version, &mut rng) else {
                        continue;
                    };
                    let ask = Ask { version, body: example.bytes };
                    let (request, read, version) = with_request(api.key, ask).unwrap();
                    let answer = exchange(&broker, &request).await;
                    // A made-up Produce may ask for no answer, or fail without one; login ends with one that is wrong.
                    let Some(answer) = answer else {
                        assert_eq!(api.name, "Produce", "{version}: no answer");
                        continue;
                    };
                    read(answer, version).unwrap_or_else(|error| panic!("{} {version}: {error}", api.name));
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 1500, "{asked}");
}

/// Sends one request over a connection of its own.
async fn exchange(broker: &Broker, request: &[u8]) -> Option<Bytes> {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (mut reader, mut writer) = tokio::io::split(ours);
    let request = request.to_vec();
    // It ends with its halves dropped, which ends the broker's side.
    let client = async move {
        let mut frame = BytesMut::new();
        frame.extend_from_slice(&u32::try_from(request.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(&request);
        writer.write_all(&frame).await.unwrap();
        let length = reader.read_u32().await.ok()?;
        let mut answer = vec![0; usize::try_from(length).unwrap()];
        reader.read_exact(&mut answer).await.ok()?;
        Some(answer.into())
    };
    let (answer, _) = tokio::join!(client, async { format!("{:?}", broker.serve(theirs).await) });
    answer
}

// ---- Logins of another time ---------------------------------------------------------------------------------------------

/// Sends bytes, and reads as many of the answer; `None` where the connection ends instead.
async fn say(stream: &mut TcpStream, bytes: &[u8], answered: usize) -> Option<Vec<u8>> {
    stream.write_all(bytes).await.ok()?;
    let mut answer = vec![0; answered];
    stream.read_exact(&mut answer).await.ok()?;
    Some(answer)
}

#[tokio::test]
async fn tokens_without_the_head_of_a_request_let_in_too_and_nobody_changes_into_another() {
    let broker = Broker::builder()
        .user("u", "p".to_owned())
        .user("v", "q".to_owned())
        .session_lifetime(Duration::from_millis(200))
        .start()
        .await
        .unwrap();
    // SaslHandshake 0 for PLAIN, correlation id 1, no client id; its answer lists the mechanisms behind code 0.
    let handshake = b"\0\0\0\x11\0\x11\0\0\0\0\0\x01\xff\xff\0\x05PLAIN";
    let versions = b"\0\0\0\x0a\0\x12\0\0\0\0\0\x02\xff\xff";
    let offered = 4 + 4 + 2 + 4 + "SCRAM-SHA-512".len() + "SCRAM-SHA-256".len() + "PLAIN".len() + 3 * 2;
    let connect = async || TcpStream::connect(broker.address()).await.unwrap();

    let mut stream = connect().await;
    let answer = say(&mut stream, handshake, offered).await.unwrap();
    assert_eq!(&answer[4..10], [0, 0, 0, 1, 0, 0]);
    assert_eq!(say(&mut stream, b"\0\0\0\x04\0u\0p", 4).await.unwrap(), [0; 4]);
    assert!(say(&mut stream, versions, 8).await.is_some());
    // The same user once more, and then another.
    let rest = drain(&mut stream).await;
    assert!(rest > 0);
    say(&mut stream, handshake, offered).await.unwrap();
    assert_eq!(say(&mut stream, b"\0\0\0\x04\0u\0p", 4).await.unwrap(), [0; 4]);
    say(&mut stream, handshake, offered).await.unwrap();
    assert_eq!(say(&mut stream, b"\0\0\0\x04\0v\0q", 4).await, None);

    let mut stream = connect().await;
    say(&mut stream, handshake, offered).await.unwrap();
    assert_eq!(say(&mut stream, b"\0\0\0\x04\0u\0x", 4).await, None);

    // Such a login ends like any other: this asks for metadata when its time is over.
    let mut stream = connect().await;
    say(&mut stream, handshake, offered).await.unwrap();
    say(&mut stream, b"\0\0\0\x04\0u\0p", 4).await.unwrap();
    let metadata = b"\0\0\0\x0e\0\x03\0\0\0\0\0\x03\xff\xff\0\0\0\0";
    let started = Instant::now();
    while say(&mut stream, metadata, 4).await.is_some() {
        drain(&mut stream).await;
        tokio::task::yield_now().await;
    }
    assert!(started.elapsed() >= Duration::from_millis(190));
}

/// Reads what is left of an answer.
async fn drain(stream: &mut TcpStream) -> usize {
    let mut buffer = vec![0; 1 << 16];
    stream.readable().await.unwrap();
    stream.try_read(&mut buffer).unwrap_or(0)
}

// ---- Our client on a broker that misbehaves -----------------------------------------------------------------------------

/// Writes and reads numbers while this goes wrong: each is there once, in order.
async fn survives(faults: Vec<Fault>) {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    // Batches so small that several are on their way when it happens.
    let producer = client.producer().batch_bytes(200).build().unwrap();
    let mut consumer = reader(&client).await;
    let mut numbers = 0..100;
    for fault in faults {
        let what = fault.to_string();
        broker.misbehave(fault);
        write(&producer, numbers.clone()).await;
        assert_eq!(read_in_order(&mut consumer, 100).await, numbers.clone().collect::<Vec<_>>(), "{what}");
        broker.behave();
        numbers = numbers.end..numbers.end + 100;
    }
    assert_eq!(producer.acknowledged(), u64::from(numbers.start));
    // A client that comes later sees the same.
    let count = usize::try_from(numbers.start).unwrap();
    assert_eq!(
        read_in_order(&mut reader(&client).await, count).await,
        (0..numbers.start).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn codes_that_pass_are_outlived() {
    let produce = |code| Fault::on::<ProduceRequest>().answer(code).times(3);
    let fetch = |code| Fault::on::<FetchRequest>().answer(code).times(3);
    survives(vec![
        produce(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        produce(ErrorCode::REQUEST_TIMED_OUT),
        produce(ErrorCode::NOT_ENOUGH_REPLICAS),
        produce(ErrorCode::KAFKA_STORAGE_ERROR),
        fetch(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        fetch(ErrorCode::UNKNOWN_LEADER_EPOCH),
        fetch(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        fetch(ErrorCode::KAFKA_STORAGE_ERROR),
    ])
    .await;
}

#[tokio::test]
async fn connections_that_end_over_a_request_lose_and_double_nothing() {
    survives(vec![
        Fault::on::<ProduceRequest>().hang_up_before().times(2),
        // Written, and never acknowledged: sent again, and known again.
        Fault::on::<ProduceRequest>().hang_up_after().times(2),
        Fault::on::<ProduceRequest>().truncate(3).times(2),
        Fault::on::<ProduceRequest>().truncate(20),
        Fault::on::<FetchRequest>().hang_up_before().times(2),
        Fault::on::<FetchRequest>().hang_up_after().times(2),
        Fault::on::<FetchRequest>().truncate(30).times(2),
        Fault::on::<MetadataRequest>().hang_up_before().times(2),
        Fault::on_any().delay(Duration::from_millis(20)).times(10),
        Fault::on::<ProduceRequest>().throttle(Duration::from_millis(10)).times(3),
    ])
    .await;
}

#[tokio::test]
async fn leaders_that_move_are_followed() {
    let broker = Broker::builder().brokers(3).topic("t", 3).start().await.unwrap();
    let client = client(&broker).await;
    let producer = client.producer().build().unwrap();
    let mut consumer = reader(&client).await;
    for (round, next) in (0..9).zip([1, 2, 0].into_iter().cycle()) {
        for partition in 0..3 {
            broker.move_leader("t", partition, (partition + next) % 3).unwrap();
        }
        let numbers = round * 50..(round + 1) * 50;
        write(&producer, numbers.clone()).await;
        assert_eq!(read(&mut consumer, 50).await, numbers.collect::<Vec<_>>());
    }
    assert_eq!(broker.move_leader("t", 9, 0), Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    assert_eq!(broker.move_leader("t", 0, 9), Err(ErrorCode::BROKER_NOT_AVAILABLE));
}

#[tokio::test]
async fn a_log_that_begins_later_is_read_from_its_beginning() {
    // The oldest messages have made room.
    let broker = Broker::builder().memory_limit(3000).topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    write(&client.producer().batch_bytes(100).build().unwrap(), 0..200).await;
    let mut consumer = reader(&client).await;
    let first = read_in_order(&mut consumer, 1).await[0];
    assert!((100..200).contains(&first), "{first}");
}

#[tokio::test]
async fn a_cable_that_is_pulled_is_noticed() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    let producer = client.producer().build().unwrap();
    let mut consumer = reader(&client).await;
    for round in 0..5 {
        broker.hang_up();
        let numbers = round * 10..(round + 1) * 10;
        write(&producer, numbers.clone()).await;
        assert_eq!(read(&mut consumer, 10).await, numbers.collect::<Vec<_>>());
    }
}

/// A broker that knows `u` and `v` and takes a login for no longer than this, and two clients of `u`: on one connection, what
/// is written waits behind a fetch that waits, and may then come too late.
async fn with_short_logins(lifetime: Duration) -> (Broker, Client, Client) {
    let users = Broker::builder().user("u", "p".to_owned()).user("v", "q".to_owned());
    let broker = users.session_lifetime(lifetime).topic("t", 1).start().await.unwrap();
    let connect = || {
        let sasl = Sasl::scram_sha_512("u", "p".into());
        Client::builder().bootstrap(&broker.bootstrap()).sasl(sasl).connect()
    };
    let (writing, reading) = (connect().await.unwrap(), connect().await.unwrap());
    (broker, writing, reading)
}

fn connections_of(client: &Client) -> u64 {
    client.metrics().iter().map(|broker| broker.connections).sum()
}

#[tokio::test]
async fn a_login_is_renewed_before_it_ends() {
    let (_broker, writing, reading) = with_short_logins(Duration::from_millis(1500)).await;
    let producer = writing.producer().build().unwrap();
    let mut consumer = reader(&reading).await;
    let started = Instant::now();
    let mut number = 0;
    while started.elapsed() < Duration::from_secs(4) {
        write(&producer, number..number + 1).await;
        assert_eq!(read(&mut consumer, 1).await, [number]);
        number += 1;
    }
    // The broker ends the connection of a login that has ended.
    for client in [writing, reading] {
        assert_eq!(connections_of(&client), 1, "renewed in place");
    }
}

#[tokio::test]
async fn reading_goes_on_as_another_user() {
    let (_broker, writing, reading) = with_short_logins(Duration::from_millis(1000)).await;
    let producer = writing.producer().build().unwrap();
    let mut consumer = reader(&reading).await;
    write(&producer, 0..1).await;
    assert_eq!(read(&mut consumer, 1).await, [0]);
    for client in [&writing, &consumer.client()] {
        client.set_access(None, Some(Sasl::scram_sha_512("v", "q".into())));
    }
    let started = Instant::now();
    let mut number = 1;
    while started.elapsed() < Duration::from_secs(3) {
        write(&producer, number..number + 1).await;
        assert_eq!(read(&mut consumer, 1).await, [number]);
        assert!(consumer.interruption().is_none());
        number += 1;
    }
    for client in [writing, reading] {
        assert_eq!(connections_of(&client), 2, "the login of the new user is renewed in place");
    }
}

#[tokio::test]
async fn what_is_denied_is_not_seen_or_not_done() {
    let broker = Broker::builder()
        .topic("open", 1)
        .topic("hidden", 1)
        .topic("sealed", 1)
        .deny(Denial::new("*", Operation::Describe, "hidden"))
        .deny(Denial::new("*", Operation::Read, "sealed"))
        .start()
        .await
        .unwrap();
    let client = client(&broker).await;
    let mut seen: Vec<_> = client.list_topics().await.unwrap().into_iter().map(|topic| topic.name).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["open", "sealed"]);
    let producer = client.producer().build().unwrap();
    producer.send(Record::new("sealed").value("v")).await.unwrap().await.unwrap();
    let consumer = client.consumer().topics(["sealed"]).start_at(StartOffset::Earliest).build().await;
    let refused = match consumer {
        Ok(mut consumer) => consumer.next_batch().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(refused.to_string().contains("not authorised to read topic 'sealed'"), "{refused}");
}

#[tokio::test]
async fn faults_are_counted_and_may_be_for_one_broker() {
    let broker = Broker::builder().brokers(2).topic("t", 2).start().await.unwrap();
    broker.misbehave(
        Fault::on::<ListOffsetsRequest>().answer(ErrorCode::REQUEST_TIMED_OUT).from_node(1).times(2),
    );
    broker.misbehave(Fault::on::<FindCoordinatorRequest>().hang_up_before().after(1));
    let client = client(&broker).await;
    let producer = client.producer().build().unwrap();
    write(&producer, 0..20).await;
    assert_eq!(read(&mut reader(&client).await, 20).await, (0..20).collect::<Vec<_>>());
    assert!(broker.leader("t", 0).is_some() && broker.leader("t", 9).is_none());
    broker.move_coordinator("g", 1).unwrap();
    assert_eq!(broker.coordinator("g"), 1);
}

#[tokio::test]
async fn consumers_of_one_client_do_not_wait_for_each_other() {
    let broker = Broker::builder().topic("quiet", 1).topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    let hour = Duration::from_secs(3_600);
    let patient = client.consumer().topics(["quiet"]).start_at(StartOffset::Earliest).max_wait(hour);
    let mut patient = patient.build().await.unwrap();
    let mut other = reader(&client).await;
    let producer = client.producer().build().unwrap();
    let all = async {
        for number in 0..20 {
            write(&producer, number..number + 1).await;
            assert_eq!(read(&mut other, 1).await, [number]);
        }
    };
    tokio::select! {
        () = all => {}
        event = patient.next_event() => panic!("nothing is written there: {event:?}"),
    }
}

#[tokio::test]
async fn a_stream_has_every_record_also_those_it_has_to_wait_for_and_ends_when_stopped() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    let producer = client.producer().build().unwrap();
    write(&producer, 0..5).await;
    let consumer = reader(&client).await;
    let stopper = consumer.stopper();
    let mut stream = Box::pin(consumer.into_stream());
    let mut values = Vec::new();
    for number in 0..10_u32 {
        // Nothing is there yet of the second half when it is asked for.
        if number >= 5 {
            let (record, ()) = tokio::join!(stream.next(), write(&producer, number..number + 1));
            values.push(record.unwrap().unwrap().value.unwrap());
        } else {
            values.push(stream.next().await.unwrap().unwrap().value.unwrap());
        }
    }
    assert_eq!(values, (0..10).map(|number: u32| number.to_string()).collect::<Vec<_>>());
    let (end, ()) = tokio::join!(stream.next(), async { stopper.stop() });
    assert!(end.is_none());
    assert!(stream.next().await.is_none());
}
