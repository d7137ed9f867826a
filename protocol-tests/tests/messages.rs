//! Every message of the table, in every version, both ways: read, written back, cut short, and lied in.

#![expect(clippy::expect_used, reason = "tests say what is wrong by panicking")]

use allocation_counter::measure;
use bytes::Bytes;
use fastrand::Rng;
use hop::wire::api::{APIS, Api, ForRequest, with_request};
use hop::wire::layout::Side;
use hop::wire::message::{decode_request, decode_response};
use kafka_protocol::protocol::Request;
use protocol_tests::example_messages::{Example, LengthForm};
use protocol_tests::round_trip::{again, header};

/// No more is reserved than this many times what has come.
const MOST_BYTES_PER_BYTE: u64 = 256;
/// What an error takes to say what it says.
const WORDS: u64 = 4096;
const EXAMPLES: usize = 40;

/// Only decodes, and says what that reserved.
struct Reserved<'a> {
    side: Side,
    version: i16,
    body: &'a [u8],
}

impl ForRequest for Reserved<'_> {
    type Output = (bool, u64, usize);

    fn run<R: Request>(self, _: &'static Api) -> Self::Output {
        let Self { side, version, body } = self;
        let frame = Bytes::from([&header::<R>(side, version), body].concat());
        let length = frame.len();
        let mut accepted = false;
        let info = measure(|| {
            accepted = match side {
                Side::Request => decode_request::<R>(frame, version).is_ok(),
                Side::Response => decode_response::<R>(frame, version).is_ok(),
            };
        });
        (accepted, info.bytes_total, length)
    }
}

fn each_message(mut then: impl FnMut(&'static Api, Side, i16)) {
    for api in APIS {
        for version in api.versions.iter() {
            then(api, Side::Request, version);
            then(api, Side::Response, version);
        }
    }
}

fn reserved(api: &Api, side: Side, version: i16, body: &[u8]) -> (bool, u64, usize) {
    with_request(api.key, Reserved { side, version, body }).expect("it is in the table")
}

#[test]
fn what_is_read_is_written_back_to_the_byte() {
    let mut rng = Rng::with_seed(1);
    let mut wrong = Vec::new();
    each_message(|api, side, version| {
        for _ in 0..EXAMPLES {
            let example = Example::new(api.key, side, version, &mut rng).expect("it has a layout");
            if again(api.key, side, version, &example.bytes).as_ref() != Some(&example.bytes) {
                wrong.push(format!("{} {version} {side:?}", api.name));
                break;
            }
        }
    });
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn what_is_cut_short_is_refused_and_so_are_answers_that_go_on() {
    let mut rng = Rng::with_seed(2);
    each_message(|api, side, version| {
        let example = Example::new(api.key, side, version, &mut rng).expect("it has a layout").bytes;
        for cut in 0..example.len() {
            assert_eq!(
                again(api.key, side, version, &example[..cut]),
                None,
                "{} {version} {side:?} {cut}",
                api.name
            );
        }
        // Bytes behind a request are passed over, as by Kafka: some clients send them.
        let taken = (side == Side::Request).then_some(example.clone());
        let longer = [&example[..], &[0]].concat();
        assert_eq!(again(api.key, side, version, &longer), taken, "{} {version} {side:?}", api.name);
    });
}

#[test]
fn a_length_that_lies_reserves_no_more_than_has_come() {
    let mut rng = Rng::with_seed(3);
    let (mut tried, mut most) = (0, (0, String::new()));
    let mut hold = |api: &Api, side, version, body: &[u8]| {
        let (accepted, reserved, length) = reserved(api, side, version, body);
        tried += 1;
        let length = length as u64;
        assert!(
            reserved <= MOST_BYTES_PER_BYTE * length + WORDS,
            "{} {version} {side:?}: {reserved} bytes reserved for {length}",
            api.name
        );
        // Small frames say more about the words of an error than about lengths.
        let factor = if length > 64 { reserved / length } else { 0 };
        if factor > most.0 {
            most = (factor, format!("{} {version} {side:?}", api.name));
        }
        accepted
    };
    each_message(|api, side, version| {
        for _ in 0..3 {
            let example = Example::new(api.key, side, version, &mut rng).expect("it has a layout");
            assert!(hold(api, side, version, &example.bytes));
            // What follows a lie may be long: then more of it seems possible.
            for padding in [0, 1000, 20_000] {
                let padded = Example {
                    bytes: [&example.bytes[..], &vec![0; padding]].concat(),
                    lengths: example.lengths.clone(),
                };
                for &length in &example.lengths {
                    let left = u32::try_from(padded.bytes.len() - length.at).expect("it is short");
                    for lie in [
                        i32::MAX.unsigned_abs(),
                        u32::MAX,
                        1 << 27,
                        left,
                        left.saturating_sub(4),
                        left / 2,
                        left / 4,
                    ] {
                        hold(api, side, version, &padded.with_length(length, lie));
                    }
                    if padding > 1000 {
                        break;
                    }
                }
                // One lie in another: each takes all that is left.
                let mut nested = padded.clone();
                for &length in &example.lengths {
                    let left =
                        u32::try_from(nested.bytes.len().saturating_sub(length.at)).expect("it is short");
                    // Compact lengths would move what follows: those of one byte stay.
                    if !matches!(length.form, LengthForm::Compact) {
                        nested.bytes = nested.with_length(length, left.saturating_sub(4));
                        hold(api, side, version, &nested.bytes);
                    }
                }
            }
        }
    });
    println!("{tried} messages; the most reserved is {} times what came: {}", most.0, most.1);
}

#[test]
fn lists_of_the_smallest_elements_reserve_no_more_than_has_come() {
    let mut most = (0, String::new());
    each_message(|api, side, version| {
        // Zeros alone are the smallest elements there are: empty texts, empty lists, no tagged fields. Every length in
        // turn counts as many as fit.
        let mut rng = Rng::with_seed(4);
        for _ in 0..8 {
            let example = Example::new(api.key, side, version, &mut rng).expect("it has a layout");
            for &length in &example.lengths {
                for count in [10, 100, 1000] {
                    let head = &example.with_length(length, count)[..];
                    let own = head.len() - (example.bytes.len() - length.at);
                    for size in (1..64).step_by(3) {
                        let element = vec![0_u8; size * count as usize];
                        let body = [&head[..own.min(head.len())], &element].concat();
                        let (_, reserved, length) = reserved(api, side, version, &body);
                        let length = length as u64;
                        assert!(
                            reserved <= MOST_BYTES_PER_BYTE * length + WORDS,
                            "{} {version} {side:?}",
                            api.name
                        );
                        if reserved / length > most.0 && length > 256 {
                            most = (reserved / length, format!("{} {version} {side:?}", api.name));
                        }
                    }
                }
            }
        }
    });
    println!("the most reserved is {} times what came: {}", most.0, most.1);
    assert!(most.0 > 0, "no list was taken: this shows nothing");
}

#[test]
fn flipped_bits_are_refused_or_read_and_never_worse() {
    let mut rng = Rng::with_seed(5);
    each_message(|api, side, version| {
        let example = Example::new(api.key, side, version, &mut rng).expect("it has a layout").bytes;
        for at in 0..example.len() {
            let mut flipped = example.clone();
            flipped[at] ^= 1 << rng.u8(..8);
            let (_, reserved, length) = reserved(api, side, version, &flipped);
            assert!(
                reserved <= MOST_BYTES_PER_BYTE * length as u64 + WORDS,
                "{} {version} {side:?}",
                api.name
            );
        }
    });
}
