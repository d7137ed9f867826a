//! Writes the seeds of the fuzz targets `request`, `response` and `broker_connection`: a message of every layout that
//! the table knows, and what a client may send to a broker.

use std::fs;
use std::path::Path;

use fastrand::Rng;
use hop::wire::api::{APIS, Api, ForRequest, with_request};
use hop::wire::layout::{Side, layout};
use kafka_protocol::protocol::Request;
use protocol_tests::example_messages::Example;
use protocol_tests::round_trip::header;

/// The header of a message, as the fuzz targets expect it.
struct Header(Side, i16);

impl ForRequest for Header {
    type Output = Vec<u8>;

    fn run<R: Request>(self, _: &'static Api) -> Vec<u8> {
        header::<R>(self.0, self.1)
    }
}

/// An API that is added changes nothing in the seeds of the others.
fn rng(api: &Api) -> Rng {
    Rng::with_seed(api.key.unsigned_abs().into())
}

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (side, name) in [(Side::Request, "request"), (Side::Response, "response")] {
        let directory = corpus.join(name);
        fs::create_dir_all(&directory)?;
        for (number, api) in (0_u8..).zip(APIS) {
            let mut rng = rng(api);
            for (choice, version) in (0_u8..).zip(api.versions.iter()) {
                let next = layout(api.key, side, version + 1).filter(|_| version < api.versions.max);
                if next == layout(api.key, side, version) {
                    continue;
                }
                let header = with_request(api.key, Header(side, version)).unwrap_or_default();
                let example = Example::new(api.key, side, version, &mut rng).unwrap_or_default();
                let seed = [&[number, choice], &header[..], &example.bytes].concat();
                fs::write(directory.join(format!("{}_{version}", api.name)), seed)?;
            }
        }
    }
    broker_seeds(&corpus.join("broker_connection"))
}

/// For each request two of the newest version in frames, to a broker that lets anybody in or has let this client in; and
/// streams of bytes.
fn broker_seeds(directory: &Path) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    for (number, api) in (0_u8..).zip(APIS) {
        let mut rng = rng(api);
        let version = api.versions.max;
        let header = with_request(api.key, Header(Side::Request, version)).unwrap_or_default();
        let mut seed = vec![if number % 2 == 0 { 4 } else { 7 }];
        for _ in 0..2 {
            let example = Example::new(api.key, Side::Request, version, &mut rng).unwrap_or_default();
            let frame = [&header[..], &example.bytes].concat();
            let Ok(length) = u16::try_from(frame.len()) else { continue };
            seed.extend_from_slice(&length.to_be_bytes());
            seed.extend_from_slice(&frame);
        }
        fs::write(directory.join(api.name), seed)?;
    }
    // The length of a request that nobody sends, and the greetings of others.
    fs::write(directory.join("long"), b"\x01\x7f\xff\xff\xff\0\0")?;
    fs::write(directory.join("http"), b"\x00GET / HTTP/1.1\r\n\r\n")
}
