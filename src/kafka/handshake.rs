//! From a byte stream to a usable connection: API versions and SASL, in as few flights as a broker takes.
//!
//! A pure state machine: frames in, frames out. Before authentication a broker reads one request at a time, so
//! nothing is pipelined there; the question for the API versions, and the first real request where there is one, the
//! *rider*, go behind the last SASL token in the same flight. The rider's answer is left to the connection, unless it
//! comes before the versions are known.
//!
//! [`Order::VersionsFirst`] asks for the API versions before anything else, one request a flight: slower, for peers
//! that hang up on the other order.
//!
//! The same machine renews the authentication of a connection in use ([`Handshake::renewal`]): the SASL part alone.
//!
//! References: KIP-35 and KIP-511 (ApiVersions), KIP-43 and KIP-152 (SASL), KIP-368 (session lifetime).

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Request, StrBytes};

use super::address::Address;
use super::error::{ConnectError, Step};
use super::printable::printable;
use super::sasl::{self, Exchange, Sasl};
use crate::wire::error_code::ErrorCode;
use crate::wire::message::{correlation_id, decode_response, encode_request, number};
use crate::wire::{VersionRange, spoken};

/// Kafka 2.1 alone stops at 0, and does not say how long a session lasts.
const FIRST_AUTHENTICATE_VERSION: i16 = 1;
const SASL_HANDSHAKE_VERSION: i16 = 1;
/// What brokers since Kafka 2.4 know. Version 4 would cost those before 4.0 another round trip and tells us nothing.
const API_VERSIONS_VERSION: i16 = 3;

/// Which requests a handshake sends in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// SASL at once, the versions behind its last token.
    Fastest,
    /// Versions, then SASL, then the rest, each after the answer to the one before.
    VersionsFirst,
}

/// What the machine wants next.
#[derive(Debug)]
pub(super) struct Progress {
    /// Frames to write; may be empty, when more answers are on their way.
    pub(super) send: Bytes,
    /// The connection can be used, once `send` is written.
    pub(super) done: Option<Established>,
}

/// What was learnt on the way in.
#[derive(Debug)]
pub(super) struct Established {
    pub(super) versions: ApiVersions,
    /// After this long the broker wants a new authentication (KIP-368); zero or absent means never.
    pub(super) session_lifetime: Option<Duration>,
    /// The answer to the rider, where it came before the versions were known.
    pub(super) rider_answer: Option<Bytes>,
    /// The correlation id of the next request.
    pub(super) next_request: i32,
    /// The correlation id of the next answer: that of the rider, or of the next request.
    pub(super) next_answer: i32,
}

/// What one broker can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ApiVersions {
    /// The versions that it takes, by API key.
    ranges: HashMap<i16, VersionRange>,
    /// The level of the cluster's feature `transaction.version`; 0 where it has none.
    transactions: i16,
}

/// The level of `transaction.version` from which partitions join a transaction by being written to, and each has an
/// epoch of its own (KIP-890).
const TRANSACTIONS_WITH_EPOCHS: i16 = 2;

impl ApiVersions {
    /// The newest version of `R` that both sides know.
    pub(super) fn negotiate<R: Request>(&self) -> Option<i16> {
        let ours = spoken::<R>();
        let theirs = self.ranges.get(&R::KEY)?;
        let newest = ours.max.min(theirs.max);
        (newest >= ours.min && newest >= theirs.min).then_some(newest)
    }

    /// Whether each transaction has an epoch of its own, and partitions join it by being written to (KIP-890).
    pub(super) fn has_epoch_per_transaction(&self) -> bool {
        self.transactions >= TRANSACTIONS_WITH_EPOCHS
    }
}

impl From<&ApiVersionsResponse> for ApiVersions {
    fn from(response: &ApiVersionsResponse) -> Self {
        let ranges = response
            .api_keys
            .iter()
            .map(|api| (api.api_key, VersionRange { min: api.min_version, max: api.max_version }));
        let features = &response.finalized_features;
        let transactions = features.iter().find(|feature| *feature.name == *"transaction.version");
        Self {
            ranges: ranges.collect(),
            transactions: transactions.map_or(0, |feature| feature.max_version_level),
        }
    }
}

/// The machine. Call [`start`](Self::start) once, then [`on_frame`](Self::on_frame) with each frame that arrives.
#[derive(Debug)]
pub(super) struct Handshake<'a> {
    broker: &'a Address,
    client_id: &'a str,
    tls: bool,
    order: Order,
    sasl: Option<(&'a Sasl, Exchange)>,
    /// A whole frame, but for its correlation id.
    rider: Option<&'a Bytes>,
    /// What was asked and not answered yet, in order; the first has correlation id `answered`.
    awaited: VecDeque<Awaited>,
    sent: i32,
    answered: i32,
    /// Whether the requests that follow authentication have been sent.
    tail_sent: bool,
    versions: Option<ApiVersions>,
    session_lifetime: Option<Duration>,
    rider_answer: Option<Bytes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    ApiVersions { version: i16 },
    SaslHandshake,
    SaslToken { version: i16 },
    Rider,
}

impl<'a> Handshake<'a> {
    pub(super) fn new(
        broker: &'a Address,
        client_id: &'a str,
        tls: bool,
        sasl: Option<&'a Sasl>,
        rider: Option<&'a Bytes>,
        order: Order,
    ) -> Result<Self, ConnectError> {
        let failed =
            |error| ConnectError::Sasl { broker: broker.clone(), source: std::sync::Arc::new(error) };
        let sasl = match sasl {
            Some(sasl) => Some((sasl, sasl.start(tls).map_err(failed)?)),
            None => None,
        };
        Ok(Self {
            broker,
            client_id,
            tls,
            order,
            sasl,
            rider,
            awaited: VecDeque::new(),
            sent: 0,
            answered: 0,
            tail_sent: false,
            versions: None,
            session_lifetime: None,
            rider_answer: None,
        })
    }

    /// Authenticates once more on a connection in use (KIP-368). The broker takes nothing else meanwhile.
    pub(super) fn renewal(
        broker: &'a Address,
        client_id: &'a str,
        tls: bool,
        sasl: &'a Sasl,
        versions: ApiVersions,
        next_request: i32,
    ) -> Result<Self, ConnectError> {
        let machine = Self::new(broker, client_id, tls, Some(sasl), None, Order::Fastest)?;
        Ok(Self {
            versions: Some(versions),
            tail_sent: true,
            sent: next_request,
            answered: next_request,
            ..machine
        })
    }

    /// The first frames to write.
    pub(super) fn start(&mut self) -> Result<Bytes, ConnectError> {
        let mut out = BytesMut::new();
        match (&self.sasl, self.order) {
            (Some(_), Order::Fastest) => self.ask_for_mechanism(&mut out)?,
            (None, Order::Fastest) => self.ask_for_the_rest(&mut out)?,
            (_, Order::VersionsFirst) => self.ask_for_versions(&mut out, API_VERSIONS_VERSION)?,
        }
        Ok(out.freeze())
    }

    /// What is being waited for, for messages.
    pub(super) fn step(&self) -> Step {
        match self.awaited.front() {
            Some(Awaited::SaslHandshake) => Step::SaslHandshake,
            Some(Awaited::SaslToken { .. }) => Step::SaslAuthenticate,
            Some(Awaited::ApiVersions { .. } | Awaited::Rider) | None => Step::ApiVersions,
        }
    }

    /// Takes the next frame of the broker, without its length prefix.
    pub(super) fn on_frame(&mut self, frame: Bytes) -> Result<Progress, ConnectError> {
        let Some(&awaited) = self.awaited.front() else {
            return Err(self.garbled("an answer that nothing was asked for"));
        };
        if correlation_id(&frame) != Some(self.answered) {
            return Err(self.garbled("the answer carries the correlation id of another request"));
        }
        let mut out = BytesMut::new();
        match awaited {
            Awaited::ApiVersions { version } => self.on_versions(frame, version, &mut out)?,
            Awaited::SaslHandshake => {
                let response = self.decode::<SaslHandshakeRequest>(frame, SASL_HANDSHAKE_VERSION)?;
                self.on_mechanism(&response, &mut out)?;
            }
            Awaited::SaslToken { version } => {
                let response = self.decode::<SaslAuthenticateRequest>(frame, version)?;
                self.on_token(&response, &mut out)?;
            }
            Awaited::Rider => self.rider_answer = Some(frame),
        }
        self.awaited.pop_front();
        self.answered = self.answered.wrapping_add(1);

        let done = if self.tail_sent && self.awaited.iter().all(|left| *left == Awaited::Rider) {
            self.versions.take().map(|versions| Established {
                versions,
                session_lifetime: self.session_lifetime,
                rider_answer: self.rider_answer.take(),
                next_request: self.sent,
                next_answer: self.answered,
            })
        } else {
            None
        };
        Ok(Progress { send: out.freeze(), done })
    }

    fn on_versions(&mut self, frame: Bytes, version: i16, out: &mut BytesMut) -> Result<(), ConnectError> {
        // A broker that does not know the version asked for says so in version 0, whatever was asked.
        let refused = frame.get(4..6) == Some(&ErrorCode::UNSUPPORTED_VERSION.0.to_be_bytes());
        let response = self.decode::<ApiVersionsRequest>(frame, if refused { 0 } else { version })?;
        let code = ErrorCode(response.error_code);
        let versions = ApiVersions::from(&response);
        if refused && version > 0 {
            let next = versions.negotiate::<ApiVersionsRequest>().filter(|&next| next < version).unwrap_or(0);
            return self.ask_for_versions(out, next);
        }
        if code != ErrorCode::NONE {
            return Err(self.garbled(format!("it answers {code}")));
        }
        self.versions = Some(versions);
        if self.order == Order::VersionsFirst && !self.tail_sent {
            match self.sasl {
                Some(_) => self.ask_for_mechanism(out)?,
                None => self.ask_for_the_rest(out)?,
            }
        }
        Ok(())
    }

    fn on_mechanism(
        &mut self,
        response: &SaslHandshakeResponse,
        out: &mut BytesMut,
    ) -> Result<(), ConnectError> {
        let Some((sasl, exchange)) = &mut self.sasl else { return Ok(()) };
        let code = ErrorCode(response.error_code);
        if code == ErrorCode::UNSUPPORTED_SASL_MECHANISM {
            let offered = response.mechanisms.iter().map(|name| printable(name)).collect();
            return Err(ConnectError::Mechanism {
                broker: self.broker.clone(),
                mechanism: sasl.mechanism_name(),
                offered,
            });
        }
        if code == ErrorCode::ILLEGAL_SASL_STATE {
            let evidence =
                "it takes no credential on this port; use its port with authentication, or no credential";
            return Err(ConnectError::NotKafka {
                broker: self.broker.clone(),
                evidence: evidence.to_owned(),
            });
        }
        if code != ErrorCode::NONE {
            return Err(self.garbled(format!("it answers {code}")));
        }
        let token = exchange.initial();
        self.send_token(token, out)
    }

    fn on_token(
        &mut self,
        response: &SaslAuthenticateResponse,
        out: &mut BytesMut,
    ) -> Result<(), ConnectError> {
        let Some((sasl, exchange)) = &mut self.sasl else { return Ok(()) };
        let code = ErrorCode(response.error_code);
        if code != ErrorCode::NONE {
            let message =
                response.error_message.as_ref().map_or_else(|| code.to_string(), |words| printable(words));
            return Err(ConnectError::Refused {
                broker: self.broker.clone(),
                username: sasl.username().to_owned(),
                mechanism: sasl.mechanism_name(),
                message,
            });
        }
        let step = exchange.step(&response.auth_bytes).map_err(|error| ConnectError::Sasl {
            broker: self.broker.clone(),
            source: std::sync::Arc::new(error),
        })?;
        match step {
            sasl::Step::Send(token) => self.send_token(token, out),
            sasl::Step::Done => {
                let lifetime = u64::try_from(response.session_lifetime_ms).unwrap_or(0);
                self.session_lifetime = (lifetime > 0).then(|| Duration::from_millis(lifetime));
                if self.tail_sent { Ok(()) } else { self.ask_for_the_rest(out) }
            }
        }
    }

    fn send_token(&mut self, token: Vec<u8>, out: &mut BytesMut) -> Result<(), ConnectError> {
        let version = match &self.versions {
            Some(versions) => versions.negotiate::<SaslAuthenticateRequest>().unwrap_or(0),
            None => FIRST_AUTHENTICATE_VERSION,
        };
        let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(token));
        self.ask(out, &request, version, Awaited::SaslToken { version })?;
        let last = self.sasl.as_ref().is_some_and(|(_, exchange)| exchange.next_is_last());
        if last && self.order == Order::Fastest && !self.tail_sent {
            self.ask_for_the_rest(out)?;
        }
        Ok(())
    }

    fn ask_for_mechanism(&mut self, out: &mut BytesMut) -> Result<(), ConnectError> {
        let Some((sasl, _)) = &self.sasl else { return Ok(()) };
        let request =
            SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(sasl.mechanism_name()));
        self.ask(out, &request, SASL_HANDSHAKE_VERSION, Awaited::SaslHandshake)
    }

    fn ask_for_versions(&mut self, out: &mut BytesMut, version: i16) -> Result<(), ConnectError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(env!("CARGO_PKG_NAME")))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        self.ask(out, &request, version, Awaited::ApiVersions { version })
    }

    fn ask_for_the_rest(&mut self, out: &mut BytesMut) -> Result<(), ConnectError> {
        self.tail_sent = true;
        if self.versions.is_none() {
            self.ask_for_versions(out, API_VERSIONS_VERSION)?;
        }
        let Some(rider) = self.rider.take() else { return Ok(()) };
        let start = out.len();
        out.extend_from_slice(rider);
        if let Some(frame) = out.get_mut(start..) {
            number(frame, self.sent);
        }
        self.asked(Awaited::Rider);
        Ok(())
    }

    fn ask<R: Request>(
        &mut self,
        out: &mut BytesMut,
        request: &R,
        version: i16,
        awaited: Awaited,
    ) -> Result<(), ConnectError> {
        encode_request(out, request, version, self.sent, self.client_id)
            .map_err(|error| self.garbled(error.to_string()))?;
        self.asked(awaited);
        Ok(())
    }

    fn asked(&mut self, awaited: Awaited) {
        self.sent = self.sent.wrapping_add(1);
        self.awaited.push_back(awaited);
    }

    fn decode<R: Request>(&self, frame: Bytes, version: i16) -> Result<R::Response, ConnectError> {
        decode_response::<R>(frame, version).map_err(|error| self.garbled(error.to_string()))
    }

    fn garbled(&self, reason: impl Into<String>) -> ConnectError {
        ConnectError::Garbled { broker: self.broker.clone(), step: self.step(), reason: reason.into() }
    }

    /// Whether TLS is under this handshake, for messages.
    pub(super) fn is_tls(&self) -> bool {
        self.tls
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::api_versions_response::ApiVersion;
    use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
    use kafka_protocol::protocol::{Encodable, HeaderVersion};

    use super::*;

    fn broker() -> Address {
        Address::new("h", 9092)
    }

    /// An answer as it comes off the wire, without its length.
    fn frame<R: Request>(correlation: i32, version: i16, response: &R::Response) -> Bytes {
        let mut out = BytesMut::new();
        out.extend_from_slice(&correlation.to_be_bytes());
        // ApiVersions is answered with the old header always; others have an empty list of tagged fields.
        if R::Response::header_version(version) == 1 {
            out.extend_from_slice(&[0]);
        }
        response.encode(&mut out, version).expect("a sound response");
        out.freeze()
    }

    fn versions(ranges: &[(i16, i16, i16)]) -> ApiVersionsResponse {
        let api = |&(key, min, max): &(i16, i16, i16)| {
            ApiVersion::default().with_api_key(key).with_min_version(min).with_max_version(max)
        };
        ApiVersionsResponse::default().with_api_keys(ranges.iter().map(api).collect())
    }

    /// The API keys and versions of the requests in `frames`.
    fn requests(frames: &Bytes) -> Vec<(i16, i16)> {
        let (mut rest, mut found) = (&frames[..], Vec::new());
        while !rest.is_empty() {
            let length = usize::try_from(i32::from_be_bytes(rest[..4].try_into().unwrap())).unwrap();
            let number = |at: usize| i16::from_be_bytes(rest[at..at + 2].try_into().unwrap());
            found.push((number(4), number(6)));
            rest = &rest[4 + length..];
        }
        found
    }

    const API_VERSIONS: i16 = 18;
    const METADATA: i16 = 3;
    const SASL_HANDSHAKE: i16 = 17;
    const SASL_AUTHENTICATE: i16 = 36;

    fn sent(progress: Progress) -> Vec<(i16, i16)> {
        assert!(progress.done.is_none(), "{progress:?}");
        requests(&progress.send)
    }

    fn ready(progress: Progress) -> Established {
        assert!(progress.send.is_empty(), "{progress:?}");
        progress.done.expect("it is ready")
    }

    fn waits(progress: &Progress) -> bool {
        progress.send.is_empty() && progress.done.is_none()
    }

    /// A metadata request, as a connection would have it ride along.
    fn rider() -> Bytes {
        let mut frame = BytesMut::new();
        encode_request(&mut frame, &MetadataRequest::default(), 7, 0, "c").expect("a sound request");
        frame.freeze()
    }

    #[test]
    fn without_sasl_everything_goes_in_one_flight() {
        let broker = broker();
        let rider = rider();
        let mut handshake = Handshake::new(&broker, "c", false, None, Some(&rider), Order::Fastest).unwrap();
        assert_eq!(requests(&handshake.start().unwrap()), [(API_VERSIONS, 3), (METADATA, 7)]);
        let answer = frame::<ApiVersionsRequest>(0, 3, &versions(&[(METADATA, 0, 13)]));
        let established = ready(handshake.on_frame(answer).unwrap());
        assert_eq!(established.rider_answer, None);
        assert_eq!((established.next_request, established.next_answer), (2, 1));
        assert_eq!(
            established.versions.negotiate::<MetadataRequest>(),
            Some(spoken::<MetadataRequest>().max)
        );
    }

    #[test]
    fn the_rest_rides_behind_the_last_token() {
        let (broker, sasl) = (broker(), Sasl::plain("u", "p".into()));
        let rider = rider();
        let mut handshake =
            Handshake::new(&broker, "c", true, Some(&sasl), Some(&rider), Order::Fastest).unwrap();
        assert_eq!(requests(&handshake.start().unwrap()), [(SASL_HANDSHAKE, 1)]);
        let answer = frame::<SaslHandshakeRequest>(0, 1, &SaslHandshakeResponse::default());
        let progress = handshake.on_frame(answer).unwrap();
        // The fourth request carries the fourth correlation id, and is otherwise what was given.
        let last = &progress.send[progress.send.len() - rider.len()..];
        assert_eq!((&last[..8], &last[8..12], &last[12..]), (&rider[..8], &[0, 0, 0, 3][..], &rider[12..]));
        assert_eq!(sent(progress), [(SASL_AUTHENTICATE, 1), (API_VERSIONS, 3), (METADATA, 7)]);
        let accepted = SaslAuthenticateResponse::default().with_session_lifetime_ms(60_000);
        let answer = frame::<SaslAuthenticateRequest>(1, 1, &accepted);
        assert!(waits(&handshake.on_frame(answer).unwrap()));
        let answer = frame::<ApiVersionsRequest>(2, 3, &versions(&[]));
        let established = ready(handshake.on_frame(answer).unwrap());
        assert_eq!(established.session_lifetime, Some(Duration::from_secs(60)));
    }

    #[test]
    fn versions_first_takes_one_step_at_a_time() {
        let (broker, sasl) = (broker(), Sasl::plain("u", "p".into()));
        let mut handshake =
            Handshake::new(&broker, "c", true, Some(&sasl), None, Order::VersionsFirst).unwrap();
        assert_eq!(requests(&handshake.start().unwrap()), [(API_VERSIONS, 3)]);
        let known = versions(&[(SASL_AUTHENTICATE, 0, 0)]);
        assert_eq!(
            sent(handshake.on_frame(frame::<ApiVersionsRequest>(0, 3, &known)).unwrap()),
            [(SASL_HANDSHAKE, 1)]
        );
        let answer = frame::<SaslHandshakeRequest>(1, 1, &SaslHandshakeResponse::default());
        assert_eq!(sent(handshake.on_frame(answer).unwrap()), [(SASL_AUTHENTICATE, 0)]);
        let answer = frame::<SaslAuthenticateRequest>(2, 0, &SaslAuthenticateResponse::default());
        let established = ready(handshake.on_frame(answer).unwrap());
        assert_eq!(established.session_lifetime, None);
    }

    #[test]
    fn versions_first_sends_the_rider_last() {
        let (broker, sasl, rider) = (broker(), Sasl::plain("u", "p".into()), rider());
        let mut handshake =
            Handshake::new(&broker, "c", true, Some(&sasl), Some(&rider), Order::VersionsFirst).unwrap();
        handshake.start().unwrap();
        handshake.on_frame(frame::<ApiVersionsRequest>(0, 3, &versions(&[]))).unwrap();
        handshake.on_frame(frame::<SaslHandshakeRequest>(1, 1, &SaslHandshakeResponse::default())).unwrap();
        let accepted = frame::<SaslAuthenticateRequest>(2, 0, &SaslAuthenticateResponse::default());
        let progress = handshake.on_frame(accepted).unwrap();
        assert_eq!(requests(&progress.send), [(METADATA, 7)]);
        let established = progress.done.expect("nothing else is waited for");
        assert_eq!((established.next_request, established.next_answer), (4, 3));
    }

    #[test]
    fn a_renewal_is_the_sasl_part_alone() {
        let (broker, sasl) = (broker(), Sasl::plain("u", "p".into()));
        let known = ApiVersions::from(&versions(&[(SASL_AUTHENTICATE, 0, 2)]));
        let mut renewal = Handshake::renewal(&broker, "c", true, &sasl, known.clone(), 40).unwrap();
        assert_eq!(requests(&renewal.start().unwrap()), [(SASL_HANDSHAKE, 1)]);
        let answer = frame::<SaslHandshakeRequest>(40, 1, &SaslHandshakeResponse::default());
        assert_eq!(sent(renewal.on_frame(answer).unwrap()), [(SASL_AUTHENTICATE, 2)]);
        let accepted = SaslAuthenticateResponse::default().with_session_lifetime_ms(5_000);
        let answer = frame::<SaslAuthenticateRequest>(41, 2, &accepted);
        let established = ready(renewal.on_frame(answer).unwrap());
        assert_eq!(established.session_lifetime, Some(Duration::from_secs(5)));
        assert_eq!((established.versions, established.next_request), (known, 42));
    }

    #[test]
    fn a_broker_that_does_not_know_the_version_is_asked_again_in_its_own() {
        let broker = broker();
        for (known, next) in [(&[(API_VERSIONS, 0, 2)][..], 2), (&[][..], 0)] {
            let mut handshake = Handshake::new(&broker, "c", false, None, None, Order::Fastest).unwrap();
            handshake.start().unwrap();
            let refused = versions(known).with_error_code(ErrorCode::UNSUPPORTED_VERSION.0);
            let flight = sent(handshake.on_frame(frame::<ApiVersionsRequest>(0, 0, &refused)).unwrap());
            assert_eq!(flight, [(API_VERSIONS, next)]);
            let answer = frame::<ApiVersionsRequest>(1, next, &versions(&[(METADATA, 0, 7)]));
            let established = ready(handshake.on_frame(answer).unwrap());
            assert_eq!(established.versions.negotiate::<MetadataRequest>(), Some(7));
        }
    }

    #[test]
    fn a_rider_answered_before_the_versions_are_known_is_kept() {
        let (broker, rider) = (broker(), rider());
        let mut handshake = Handshake::new(&broker, "c", false, None, Some(&rider), Order::Fastest).unwrap();
        handshake.start().unwrap();
        let refused = versions(&[(API_VERSIONS, 0, 2)]).with_error_code(ErrorCode::UNSUPPORTED_VERSION.0);
        let flight = sent(handshake.on_frame(frame::<ApiVersionsRequest>(0, 0, &refused)).unwrap());
        assert_eq!(flight, [(API_VERSIONS, 2)]);
        let answer = frame::<MetadataRequest>(1, 7, &MetadataResponse::default());
        assert!(waits(&handshake.on_frame(answer.clone()).unwrap()));
        let known = frame::<ApiVersionsRequest>(2, 2, &versions(&[]));
        let established = ready(handshake.on_frame(known).unwrap());
        assert_eq!(established.rider_answer, Some(answer));
        assert_eq!((established.next_request, established.next_answer), (3, 3));
    }

    #[test]
    fn refusals_are_told_apart() {
        let (broker, sasl) = (broker(), Sasl::plain("u", "p".into()));
        let begin = || {
            let mut handshake =
                Handshake::new(&broker, "c", true, Some(&sasl), None, Order::Fastest).unwrap();
            handshake.start().unwrap();
            handshake
        };
        let offered = SaslHandshakeResponse::default()
            .with_error_code(ErrorCode::UNSUPPORTED_SASL_MECHANISM.0)
            .with_mechanisms(vec![StrBytes::from_static_str("SCRAM-SHA-512")]);
        let error = begin().on_frame(frame::<SaslHandshakeRequest>(0, 1, &offered)).unwrap_err();
        assert!(
            matches!(&error, ConnectError::Mechanism { offered, .. } if offered == &["SCRAM-SHA-512"]),
            "{error}"
        );

        let mut handshake = begin();
        handshake.on_frame(frame::<SaslHandshakeRequest>(0, 1, &SaslHandshakeResponse::default())).unwrap();
        let refused = SaslAuthenticateResponse::default()
            .with_error_code(ErrorCode::SASL_AUTHENTICATION_FAILED.0)
            .with_error_message(Some(StrBytes::from_static_str("no\x1b[2J entry")));
        let error = handshake.on_frame(frame::<SaslAuthenticateRequest>(1, 1, &refused)).unwrap_err();
        assert!(
            matches!(&error, ConnectError::Refused { message, .. } if message == "no [2J entry"),
            "{error}"
        );
        assert!(!error.is_retriable());
    }

    #[test]
    fn answers_out_of_order_are_refused() {
        let broker = broker();
        let mut handshake = Handshake::new(&broker, "c", false, None, None, Order::Fastest).unwrap();
        handshake.start().unwrap();
        let error = handshake.on_frame(frame::<ApiVersionsRequest>(7, 3, &versions(&[]))).unwrap_err();
        assert!(matches!(error, ConnectError::Garbled { .. }), "{error}");
    }

    #[test]
    fn a_version_that_the_broker_no_longer_takes_is_not_negotiated() {
        let api = |range| ApiVersions::from(&versions(&[range])).negotiate::<MetadataRequest>();
        assert_eq!(api((METADATA, 100, 101)), None);
        assert_eq!(api((METADATA, -5, -1)), None);
        assert_eq!(ApiVersions::default().negotiate::<MetadataRequest>(), None);
    }
}
