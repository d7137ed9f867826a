//! What a member of a classic group asks its coordinator, as the protocol has it.

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::{ClassicMember, millis};
use crate::kafka::group::assignor::Assignor;
use crate::kafka::group::member::Membership;
use crate::kafka::group::subscription::{Subscription, UserData};

/// The protocol type of consumers; others are for other things than topics.
const CONSUMER: &str = "consumer";

impl ClassicMember {
    pub(super) fn join_request(&self) -> JoinGroupRequest {
        let membership = &self.membership;
        let protocols = membership.assignors.iter().map(|&assignor| {
            let user_data = assignor.user_data();
            let owned = if user_data == UserData::Assignment { &self.last_share } else { &self.owned };
            let subscription = Subscription {
                topics: self.topics.iter().cloned().collect(),
                owned: owned.iter().cloned().collect(),
                generation: self.owned_since,
                rack: membership.rack.clone(),
            };
            JoinGroupRequestProtocol::default()
                .with_name(StrBytes::from_static_str(assignor.name()))
                .with_metadata(subscription.encode(user_data).into())
        });
        JoinGroupRequest::default()
            .with_group_id(group(membership))
            .with_session_timeout_ms(millis(membership.session_timeout))
            .with_rebalance_timeout_ms(millis(membership.max_poll_interval))
            .with_member_id(StrBytes::from_string(self.member_id.clone()))
            .with_group_instance_id(instance(membership))
            .with_protocol_type(StrBytes::from_static_str(CONSUMER))
            .with_protocols(protocols.collect())
    }

    pub(super) fn sync_request(
        &self,
        assignor: Assignor,
        shares: Vec<SyncGroupRequestAssignment>,
    ) -> SyncGroupRequest {
        SyncGroupRequest::default()
            .with_group_id(group(&self.membership))
            .with_generation_id(self.generation)
            .with_member_id(StrBytes::from_string(self.member_id.clone()))
            .with_group_instance_id(instance(&self.membership))
            .with_protocol_type(Some(StrBytes::from_static_str(CONSUMER)))
            .with_protocol_name(Some(StrBytes::from_static_str(assignor.name())))
            .with_assignments(shares)
    }

    pub(super) fn heartbeat_request(&self) -> HeartbeatRequest {
        HeartbeatRequest::default()
            .with_group_id(group(&self.membership))
            .with_generation_id(self.generation)
            .with_member_id(StrBytes::from_string(self.member_id.clone()))
            .with_group_instance_id(instance(&self.membership))
    }

    pub(super) fn leave_request(&self) -> LeaveGroupRequest {
        LeaveGroupRequest::default()
            .with_group_id(group(&self.membership))
            .with_member_id(StrBytes::from_string(self.member_id.clone()))
    }
}

fn group(membership: &Membership) -> GroupId {
    StrBytes::from_string(membership.group.to_string()).into()
}

fn instance(membership: &Membership) -> Option<StrBytes> {
    membership.instance_id.clone().map(StrBytes::from_string)
}
