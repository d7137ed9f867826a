//! Writes the seeds of the fuzz targets `request` and `response`: a message of every layout that the table knows.

use std::fs;
use std::path::Path;

use fastrand::Rng;
use hop::wire::api::{APIS, Api, ForRequest, with_request};
use hop::wire::layout::{Side, layout};
use kafka_protocol::protocol::{HeaderVersion, Request};
use protocol_tests::example_messages::Example;

/// The header of a message, as the fuzz targets expect it.
struct Header(Side, i16);

impl ForRequest for Header {
    type Output = Vec<u8>;

    fn run<R: Request>(self, _: &'static Api) -> Vec<u8> {
        let Self(side, version) = self;
        let mut header = match side {
            Side::Request => {
                [&R::KEY.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 7, 0, 2], b"me"].concat()
            }
            Side::Response => vec![0, 0, 0, 7],
        };
        let flexible = match side {
            Side::Request => R::header_version(version) >= 2,
            Side::Response => R::Response::header_version(version) >= 1,
        };
        header.extend(flexible.then_some(0));
        header
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
