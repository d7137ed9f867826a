//! Members of groups, made of single requests: what a group is to be described with.

use bytes::{BufMut, Bytes, BytesMut};
use hop::wire::message::{decode_response, encode_request};
use hop::wire::spoken;
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition as Assigned;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Before static members and members that must come back with an id.
const JOIN: i16 = 2;
const SYNC: i16 = 1;
const LEAVE: i16 = 1;
const SESSION_MS: i32 = 30_000;

/// A member of a group, and its connection.
pub(crate) struct Member {
    stream: TcpStream,
    group: GroupId,
    pub(crate) id: String,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn versioned(message: &impl Encodable) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(1);
    message.encode(&mut bytes, 1).unwrap();
    bytes.freeze()
}

impl Member {
    /// Joins a group that its members assign, as the only one: it takes all of these partitions of a topic.
    pub(crate) async fn classic(address: &str, group: &str, topic: &str, partitions: &[i32]) -> Self {
        let subscription = ConsumerProtocolSubscription::default().with_topics(vec![text(topic)]);
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(versioned(&subscription));
        let assigned =
            Assigned::default().with_topic(text(topic).into()).with_partitions(partitions.to_vec());
        let assignment = ConsumerProtocolAssignment::default().with_assigned_partitions(vec![assigned]);
        Self::join(address, group, "consumer", protocol, versioned(&assignment)).await
    }

    /// Joins a group of another kind, whose bytes are nobody's business.
    pub(crate) async fn opaque(address: &str, group: &str) -> Self {
        let hostile = Bytes::from_static(&[0, 0, 0x7f, 0xff, 0xff, 0xff]);
        let protocol =
            JoinGroupRequestProtocol::default().with_name(text("p")).with_metadata(hostile.clone());
        Self::join(address, group, "connect", protocol, hostile).await
    }

    async fn join(
        address: &str,
        group: &str,
        kind: &str,
        protocol: JoinGroupRequestProtocol,
        assignment: Bytes,
    ) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut member = Self { stream, group: GroupId(text(group)), id: String::new() };
        let join = JoinGroupRequest::default()
            .with_group_id(member.group.clone())
            .with_session_timeout_ms(SESSION_MS)
            .with_rebalance_timeout_ms(SESSION_MS)
            .with_protocol_type(text(kind))
            .with_protocols(vec![protocol]);
        let joined = member.ask(JOIN, &join).await;
        assert_eq!(joined.error_code, 0);
        member.id = joined.member_id.to_string();
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(joined.member_id.clone())
            .with_assignment(assignment);
        let sync = SyncGroupRequest::default()
            .with_group_id(member.group.clone())
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id)
            .with_assignments(vec![assignment]);
        assert_eq!(member.ask(SYNC, &sync).await.error_code, 0);
        member
    }

    /// Joins a group that the coordinator assigns, until it has so many partitions. `None` where the broker does not
    /// offer such groups, and says so.
    pub(crate) async fn modern(address: &str, group: &str, topic: &str, partitions: usize) -> Option<Self> {
        let stream = TcpStream::connect(address).await.unwrap();
        let id = uuid::Uuid::new_v4().to_string();
        let mut member = Self { stream, group: GroupId(text(group)), id };
        let mut beat = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(member.group.clone())
            .with_member_id(text(&member.id))
            .with_rebalance_timeout_ms(SESSION_MS)
            .with_subscribed_topic_names(Some(vec![text(topic).into()]))
            .with_topic_partitions(Some(Vec::new()));
        for _ in 0..200 {
            let answer = member.ask(0, &beat).await;
            if hop::wire::error_code::ErrorCode(answer.error_code)
                == hop::wire::error_code::ErrorCode::UNSUPPORTED_VERSION
            {
                return None;
            }
            assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
            // Below version 1 the coordinator may choose the id.
            member.id = answer.member_id.map_or(member.id, |id| id.to_string());
            let assigned = answer.assignment.unwrap_or_default().topic_partitions;
            let owned = assigned.iter().map(|of| {
                consumer_group_heartbeat_request::TopicPartitions::default()
                    .with_topic_id(of.topic_id)
                    .with_partitions(of.partitions.clone())
            });
            let owned: Vec<_> = owned.collect();
            let has = owned.iter().map(|of| of.partitions.len()).sum::<usize>();
            beat = ConsumerGroupHeartbeatRequest::default()
                .with_group_id(member.group.clone())
                .with_member_id(text(&member.id))
                .with_member_epoch(answer.member_epoch)
                .with_rebalance_timeout_ms(-1)
                .with_topic_partitions((has > 0).then_some(owned));
            if has == partitions {
                // That it has them.
                assert_eq!(member.ask(0, &beat).await.error_code, 0);
                return Some(member);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the member gets no partitions");
    }

    /// Leaves a group that the coordinator assigns.
    pub(crate) async fn leave_modern(mut self) {
        let leave = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.group.clone())
            .with_member_id(text(&self.id))
            .with_member_epoch(-1)
            .with_rebalance_timeout_ms(-1);
        assert_eq!(self.ask(0, &leave).await.error_code, 0);
    }

    /// Leaves a group that its members assign.
    pub(crate) async fn leave(mut self) {
        let leave =
            LeaveGroupRequest::default().with_group_id(self.group.clone()).with_member_id(text(&self.id));
        assert_eq!(self.ask(LEAVE, &leave).await.error_code, 0);
    }

    async fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        assert!(spoken::<R>().contains(version));
        let mut frame = BytesMut::new();
        encode_request(&mut frame, request, version, 1, "a member").unwrap();
        self.stream.write_all(&frame).await.unwrap();
        let length = self.stream.read_u32().await.unwrap();
        let mut answer = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut answer).await.unwrap();
        decode_response::<R>(answer.into(), version).unwrap()
    }
}
