//! Writes the seeds of the fuzz targets `request` and `response`: a message of every layout that the table knows.

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

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut rng = Rng::with_seed(4);
    for (side, name) in [(Side::Request, "request"), (Side::Response, "response")] {
        let directory = corpus.join(name);
        fs::create_dir_all(&directory)?;
        for (number, api) in (0_u8..).zip(APIS) {
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
    Ok(())
}
