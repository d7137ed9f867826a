//! Messages read and written back, whichever request they belong to.

use bytes::{Bytes, BytesMut};
use hop::wire::api::{Api, ForRequest, with_request};
use hop::wire::layout::Side;
use hop::wire::message::{decode_request, decode_response, encode_request, encode_response};
use kafka_protocol::protocol::{HeaderVersion, Request};

/// The client that requests name in their headers.
const CLIENT_ID: &str = "me";
const CORRELATION_ID: i32 = 7;

/// The header that stands in front of an `R`, or of the answer to it.
pub fn header<R: Request>(side: Side, version: i16) -> Vec<u8> {
    let flexible = match side {
        Side::Request => R::header_version(version) >= 2,
        Side::Response => R::Response::header_version(version) >= 1,
    };
    let correlation_id = CORRELATION_ID.to_be_bytes();
    let mut header = match side {
        Side::Request => {
            [&R::KEY.to_be_bytes()[..], &version.to_be_bytes(), &correlation_id, &[0, 2], b"me"].concat()
        }
        Side::Response => correlation_id.to_vec(),
    };
    header.extend(flexible.then_some(0));
    header
}

/// The message without its header, decoded and encoded again; `None` where it is refused.
///
/// # Panics
///
/// Where the API is not in the table, or the header is not read as it was written.
pub fn again(key: i16, side: Side, version: i16, body: &[u8]) -> Option<Vec<u8>> {
    with_request(key, Again { side, version, body }).expect("it is in the table")
}

struct Again<'a> {
    side: Side,
    version: i16,
    body: &'a [u8],
}

impl ForRequest for Again<'_> {
    type Output = Option<Vec<u8>>;

    fn run<R: Request>(self, _: &'static Api) -> Self::Output {
        let header = header::<R>(self.side, self.version);
        let frame = Bytes::from([&header, self.body].concat());
        let mut again = BytesMut::new();
        match self.side {
            Side::Request => {
                let received = decode_request::<R>(frame, self.version).ok()?;
                assert_eq!(received.client_id.as_deref(), Some(CLIENT_ID));
                let request = &received.request;
                encode_request(&mut again, request, self.version, CORRELATION_ID, CLIENT_ID).ok()?;
            }
            Side::Response => {
                let response = decode_response::<R>(frame, self.version).ok()?;
                encode_response::<R>(&mut again, &response, self.version, CORRELATION_ID).ok()?;
            }
        }
        Some(again.split_off(4 + header.len()).to_vec())
    }
}
